"""The commands that use models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from .inputs import Device, Level, Margin, Model, load_model
from .progress import counting

if TYPE_CHECKING:
    from ..density import Density
    from ..model import DensityModel
    from ..trajectory import Quantities


def predict(
    structures: Annotated[list[Path], typer.Argument(help="Files that ASE reads, any frames.")],
    model: Model = "water-pbe",
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File of all frames, .extxyz or .h5, which a killed run goes on with; or folder "
            "of --cube and --npz.",
        ),
    ] = Path(),
    cube: Annotated[bool, typer.Option("--cube", help="Write each density as .cube.")] = False,
    npz: Annotated[bool, typer.Option("--npz", help="Write basis and coefficients.")] = False,
    charges: Annotated[
        str | None, typer.Option(help="Into the file: charges, hirshfeld or voronoi, in e.")
    ] = None,
    molecular_dipoles: Annotated[
        bool,
        typer.Option(
            "--molecular-dipoles",
            help="Into the file: dipoles of molecules from Hirshfeld's atoms, in e Angstrom. An "
            "approximation, for liquids.",
        ),
    ] = False,
    field: Annotated[
        str | None,
        typer.Option(
            help="Into an .h5 file: density, deformation (e/Angstrom^3) or potential (V)."
        ),
    ] = None,
    level: Level = 3,
    spacing: Annotated[
        float | None, typer.Option(help="Of grids, Angstrom (default: cubes 0.1, fields 0.2).")
    ] = None,
    margin: Margin = 3.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin the file anew instead of going on with it.")
    ] = False,
    device: Device = None,
) -> None:
    """Predict densities of all frames: a line each with electrons and dipole, or a file.

    Memory does not grow with the number of frames. All are checked before any work.
    """
    from ..trajectory import Quantities
    from ..trajectory.writer import is_frame_file

    step = (0.2 if is_frame_file(output) else 0.1) if spacing is None else spacing
    quantities = Quantities(charges, molecular_dipoles, level, field, step, margin)
    if is_frame_file(output):
        if cube or npz:
            raise ValueError(f"output is {str(output)!r}: --cube and --npz need a folder")
        _predict_file(structures, load_model(model, device), output, quantities, overwrite)
    elif charges or molecular_dipoles or field:
        raise ValueError(
            f"output is {str(output)!r}: --charges, --molecular-dipoles and --field need a file, "
            ".extxyz or .h5"
        )
    else:
        suffixes = [suffix for wanted, suffix in ((cube, ".cube"), (npz, ".npz")) if wanted]
        grid = {"spacing": step, "margin": margin}
        _predict_lines(structures, load_model(model, device), output, suffixes, grid)


def info(
    model: Annotated[str, typer.Argument(help="Shipped name or path of a model file.")] = "",
) -> None:
    """Show what a model is; without a name, list the shipped models."""
    from ..model import shipped_models

    if not model:
        for name, path in shipped_models().items():
            typer.echo(f"{name:20} {path}")
        return
    loaded = load_model(model, "cpu")
    for key, value in _describe(loaded):
        typer.echo(f"{key:18} {value}")


def _predict_file(
    structures: list[Path],
    model: DensityModel,
    output: Path,
    quantities: Quantities,
    overwrite: bool,
) -> None:
    from ..trajectory import predict_trajectory

    with counting() as checked, tqdm(unit="structure", disable=None) as bar:

        def show(done: int, total: int) -> None:
            if bar.total is None:  # what an earlier run did says nothing about the rate
                bar.reset(total)
                bar.initial = bar.n = done
            bar.update(done - bar.n)

        count = predict_trajectory(
            model,
            structures,
            output,
            quantities,
            overwrite=overwrite,
            on_survey=checked,
            on_frame=show,
        )
    typer.echo(f"{output} has {count} frames")


def _predict_lines(
    structures: list[Path],
    model: DensityModel,
    output: Path,
    suffixes: list[str],
    grid: dict[str, float],
) -> None:
    from ..trajectory import densities
    from ..trajectory.reading import frame_names, frames, survey

    with counting() as checked:
        counts = survey(model, structures, on_frame=checked).counts
    if suffixes:
        output.mkdir(parents=True, exist_ok=True)
    typer.echo(f"{'structure':30} {'formula':>12} {'electrons':>14} {'dipole / e Angstrom':>32}")
    found = densities(model, frames(structures, counts))
    several = sum(counts) > 1
    bar = tqdm(found, total=sum(counts), unit="structure", disable=None if several else True)
    for name, rho in zip(frame_names(structures, counts), bar, strict=True):
        with tqdm.external_write_mode():
            typer.echo(_line(name, rho))
        for suffix in suffixes:
            rho.write(output / f"{name}{suffix}", progress=True, **grid)


def _line(name: str, rho: Density) -> str:
    dipole = "periodic"
    if not rho.atoms.pbc.any():
        dipole = " ".join(f"{x:10.5f}" for x in rho.dipole())
    formula = rho.atoms.get_chemical_formula()
    return f"{name:30} {formula:>12} {rho.number_of_electrons:14.6f} {dipole:>32}"


def _describe(model: DensityModel) -> Iterator[tuple[str, str]]:
    """Lines of ``info``."""
    from ase.data import chemical_symbols

    card = model.card
    yield "model", card.name
    yield "file", f"{model.path} ({model.path.stat().st_size / 1e6:.1f} MB, {model.dtype})"
    if card.description:
        yield "description", card.description
    yield "species", ", ".join(chemical_symbols[z] for z in model.basis.species)
    yield "charges", ", ".join(map(str, card.charges))
    yield "basis", str(model.basis)
    yield "cutoff", f"{model.cutoff:g} Angstrom"
    for title, values in (
        ("level of theory", card.level_of_theory),
        ("training", card.training),
        ("errors", card.errors),
    ):
        for key, value in values.items():
            text = f"{value:.4g}" if isinstance(value, float) else json.dumps(value)
            yield title, f"{key} = {text}"
            title = ""
    if card.history is not None:
        stages = ", ".join(f"{name} {error:.3g} %" for name, error in card.history.stages.items())
        yield "stages", f"{stages} of the deformation density, {card.history.part} part"
    if card.licence:
        yield "licence", card.licence
    if card.citation:
        yield "citation", card.citation
