"""``ase-rholearn aims atoms`` and ``recover``: radial functions of FHI-aims' product basis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .aims import OptionsFile, run_steps

if TYPE_CHECKING:
    from ..basis import Basis
    from ..training.options.aims import AimsOptions

#: Folder of the runs within those of the options.
_FOLDER = "recovery"


def atoms(
    species: Annotated[list[str], typer.Argument(metavar="SYMBOLS", help="Elements.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A file that ASE writes.")] = Path(
        "atoms.xyz"
    ),
    pairs: Annotated[
        int, typer.Option(help="Of each element; more make fewer and larger runs.")
    ] = 4,
    separation: Annotated[float, typer.Option(help="Of neighbours, Angstrom.")] = 15.0,
) -> None:
    """Write the structure that radial functions are recovered from: separate atoms."""
    from ..aims.recovery import recovery_structure

    structure = recovery_structure(species, pairs=pairs, separation=separation)
    structure.write(output)
    typer.echo(f"{structure.get_chemical_formula()} in {output}")


def recover(
    options: OptionsFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="JSON file of the basis with the functions.")
    ] = Path("basis.json"),
    size: Annotated[
        float, typer.Option(help="Norm of each change of the density, e/bohr^1.5.")
    ] = 0.01,
    radial_multiplier: Annotated[
        int, typer.Option(help="Density of FHI-aims' radial grid in these runs.")
    ] = 8,
) -> None:
    """Run what radial functions are read off, and write them; needs the fit of separate atoms."""
    from ..aims.judge import judge
    from ..aims.layout import step_directory, structure_directory
    from ..aims.recovery import recover_functions, set_up_recovery
    from ..training.options import load_options
    from ..training.options.aims import AimsOptions

    loaded = load_options(AimsOptions, options)
    fit = step_directory(structure_directory(loaded.runs, 0), "fit")
    verdict = judge(fit, "fit")
    if verdict.state != "done":
        reason = f" ({verdict.reason})" if verdict.reason else ""
        raise ValueError(f"{fit} is {verdict.state}{reason}: run `ase-rholearn aims run` first")
    root = loaded.runs / _FOLDER
    made = set_up_recovery(
        fit,
        root,
        loaded.settings(),
        size=size,
        radial_multiplier=radial_multiplier,
        experimental=loaded.experimental,
    )
    typer.echo(f"{len(made)} runs are set up in {root}")
    run_steps(loaded, root, ["rebuild"])
    found = recover_functions(root)
    output.write_text(_basis(loaded, fit).with_functions(found.shells).to_json())
    typer.echo(f"differences that are no radial function: {100 * found.residual:.2g} %")
    typer.echo(f"differences between equal atoms: {100 * found.asymmetry:.2g} %")
    if found.overlap_error is not None:
        typer.echo(f"overlaps, against those of FHI-aims: {100 * found.overlap_error:.2g} %")
    typer.echo(f"wrote {output}")


def _basis(options: AimsOptions, fit: Path) -> Basis:
    """That of the data set, if there is one; else that of the fit."""
    from ..aims.geometry import read_geometry
    from ..aims.ri_files import read_ri_fit
    from ..training import DataSet
    from ..training.collecting import product_basis

    if options.dataset is not None and (options.dataset / "dataset.json").exists():
        return DataSet.open(options.dataset).basis
    return product_basis([(read_geometry(fit).atoms, read_ri_fit(fit))])
