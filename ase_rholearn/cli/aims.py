"""``ase-rholearn aims``: densities of FHI-aims, from structures to a data set, and back."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .inputs import Device, Model, load_model
from .progress import counting, following

if TYPE_CHECKING:
    from ase import Atoms

    from ..aims import Verdict
    from ..aims.settings import Step
    from ..basis import Basis
    from ..training.options.aims import AimsOptions

app = typer.Typer(
    help="Densities of FHI-aims: runs, data sets, and predictions to start from.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class StepName(str, Enum):
    """Runs of FHI-aims."""

    scf = "scf"
    fit = "fit"
    rebuild = "rebuild"


OptionsFile = Annotated[Path, typer.Argument(metavar="OPTIONS", help="YAML file of options.")]
Steps = Annotated[
    list[StepName] | None,
    typer.Option("--step", help="Which run; several times for several (default: scf and fit)."),
]


@app.command()
def setup(options: OptionsFile, step: Steps = None) -> None:
    """Write input files, a directory for each structure."""
    from ..aims import set_up

    loaded = _load(options)
    with counting() as count:
        made = set_up(
            _structures(loaded), loaded.runs, loaded.settings(), _steps(step), on_progress=count
        )
    typer.echo(f"{len(made)} structures are set up in {loaded.runs}")


@app.command()
def run(options: OptionsFile, step: Steps = None) -> None:
    """Run FHI-aims where it has not been run; start again after any interruption."""
    loaded = _load(options)
    run_steps(loaded, loaded.runs, _steps(step))


def run_steps(options: AimsOptions, root: Path, steps: list[Step]) -> None:
    """Run what has not been run in a folder of runs, and say what has failed."""
    from ..aims import Outcome, run_all
    from ..aims.layout import structure_directories
    from ..training.generation import Progress

    done = failed = 0
    total = len(structure_directories(root))
    with following("structures") as show, options.workers.workers().executor() as executor:

        def report(outcome: Outcome) -> None:
            nonlocal done, failed
            done, failed = done + outcome.done, failed + (not outcome.done)
            show(Progress(done, failed, total))

        outcomes = run_all(
            root,
            steps,
            executor,
            command=options.command,
            timeout=options.timeout,
            retry=options.retry,
            keep_overlap_text=options.keep_overlap_text,
            on_outcome=report,
        )
    typer.echo(f"{done} of {total} structures are done")
    for outcome in outcomes:
        if not outcome.done:
            typer.echo(f"{outcome.structure.name} {outcome.reason}")
    if failed:
        raise typer.Exit(1)


@app.command()
def status(
    options: OptionsFile,
    step: Steps = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which runs are done, and why others failed; status 1 if any did."""
    from ..aims import status as verdicts

    loaded, steps = _load(options), _steps(step)
    found = list(verdicts(loaded.runs, steps))
    if as_json:
        typer.echo(json.dumps([_plain(verdict) for verdict in found], indent=1))
    else:
        for one in steps:
            states = Counter(verdict.state for verdict in found if verdict.step == one)
            typer.echo(f"{one:8} " + ", ".join(f"{n} {state}" for state, n in states.items()))
        for verdict in found:
            if verdict.state == "failed":
                typer.echo(f"{verdict.directory.parent.name}/{verdict.step}: {verdict.reason}")
    if any(verdict.state == "failed" for verdict in found):
        raise typer.Exit(1)


@app.command()
def collect(options: OptionsFile) -> None:
    """Bring the fits that are done into a data set, which ``train`` reads."""
    from ..aims.judge import judge
    from ..aims.layout import step_directory, structure_directory
    from ..training.collecting import collect as bring

    loaded = _load(options)
    if loaded.dataset is None:
        raise ValueError("dataset is missing: give the folder of the data set")
    structures = _structures(loaded)
    folders = [
        step_directory(structure_directory(loaded.runs, index), "fit")
        for index in range(len(structures))
    ]
    verdicts = [judge(folder, "fit") for folder in folders]
    done = [index for index, verdict in enumerate(verdicts) if verdict.state == "done"]
    if not done:
        raise ValueError(f"no fit in {loaded.runs} is done: see `ase-rholearn aims status`")
    with counting() as count:
        found = bring(
            [folders[index] for index in done],
            loaded.dataset,
            structures=[structures[index] for index in done],
            settings=loaded.level(),
            on_progress=count,
        )
    typer.echo(f"{found.added} new references in {loaded.dataset}")
    if len(done) < len(structures):
        typer.echo(f"{len(structures) - len(done)} structures have no fit yet, or a failed one")
    for folder, reason in found.failed.items():
        typer.echo(f"{folder}: {reason}")
    if found.failed:
        raise typer.Exit(1)


@app.command()
def seed(
    options: OptionsFile,
    model: Model = "water-pbe",
    version: Annotated[
        str | None, typer.Option(help="Of FHI-aims (default: that of the fits), as 240925.")
    ] = None,
    basis: Annotated[
        Path | None,
        typer.Option(
            help="Product basis with radial functions (JSON), for models in other bases, whose "
            "densities are projected onto it."
        ),
    ] = None,
    device: Device = None,
) -> None:
    """Write runs that start from predicted densities; `aims run --step rebuild` runs them."""
    from ..aims.layout import step_directory, structure_directory
    from ..aims.restart import write_restart
    from ..aims.run import remove_outputs
    from ..aims.setup import set_up
    from ..aims.versions import INDEX_FILES

    loaded = _load(options)
    if str(loaded.keywords.get("spin", "none")) != "none":
        raise ValueError(
            "keywords have spin, but a model predicts the whole density: AimsSeeded takes one of "
            "the difference of both spins' densities, too"
        )
    structures = _structures(loaded)
    predictor = load_model(model, device)
    for index, atoms in enumerate(structures):
        predictor.check(atoms, argument=f"frame {index} of {loaded.structures}")
    product, written_by = _basis(basis), version or _version_of_fit(loaded.runs)
    set_up(structures, loaded.runs, loaded.settings(), ("rebuild",))
    with counting() as count:
        for index, atoms in enumerate(structures):
            folder = structure_directory(loaded.runs, index)
            fit, target = step_directory(folder, "fit"), step_directory(folder, "rebuild")
            coefficients = _predicted(predictor, atoms, product, fit)
            remove_outputs(target, "rebuild")  # of other coefficients
            for name in INDEX_FILES:  # of early versions, which order the coefficients
                if (fit / name).exists():
                    shutil.copy(fit / name, target / name)
            write_restart(target, atoms, coefficients, version=written_by)
            count()
    typer.echo(f"{len(structures)} runs are set up: ase-rholearn aims run {options} --step rebuild")


@app.command()
def cube(
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Of a run with ri_restart_coeffs.out.")
    ],
    basis: Annotated[Path, typer.Option(help="Product basis with radial functions (JSON).")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The suffix says the format.")
    ] = Path("density.cube"),
    spacing: Annotated[float, typer.Option(help="Of the grid, Angstrom.")] = 0.1,
    margin: Annotated[float, typer.Option(help="Space around molecules, Angstrom.")] = 3.0,
    version: Annotated[
        str | None, typer.Option(help="Of FHI-aims (default: what aims.out says).")
    ] = None,
) -> None:
    """Tabulate a fitted density without FHI-aims."""
    from ..aims.geometry import read_geometry
    from ..aims.predicted import check_counts, counts_of
    from ..aims.ri_files import read_ri_fit
    from ..density import Density

    product = _basis(basis)
    assert product is not None
    product.check_known("a cube")
    fit, geometry = read_ri_fit(directory, version), read_geometry(directory)
    check_counts(counts_of(product), fit.basis.by_label(geometry.labels))
    rho = Density(geometry.atoms, product, fit.coefficients, normalize=False)
    rho.write(output, spacing=spacing, margin=margin)
    typer.echo(f"wrote {output}")


def _load(path: Path) -> AimsOptions:
    from ..training.options import load_options
    from ..training.options.aims import AimsOptions

    return load_options(AimsOptions, path)


def _structures(options: AimsOptions) -> list[Atoms]:
    from ..structure_files import iterate_structures

    return list(iterate_structures(options.structures))


def _steps(given: list[StepName] | None) -> list[Step]:
    return [name.value for name in given] if given else ["scf", "fit"]


def _plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict as plain data."""
    found: dict[str, Any] = {
        "directory": str(verdict.directory),
        "step": verdict.step,
        "state": verdict.state,
    }
    if verdict.reason:
        found["reason"] = verdict.reason
    if verdict.step == "rebuild" and verdict.state == "done":
        found.update(_errors(verdict.directory))
    if verdict.output is not None:
        for name in ("version", "total_energy", "scf_cycles", "fermi_level", "gap", "total_time"):
            found[name] = getattr(verdict.output, name)
    return found


def _errors(rebuilt: Path) -> dict[str, float]:
    """Errors of a predicted density on FHI-aims' grid, in percent; none without the fit's."""
    from ..aims.grid_files import read_grid_density
    from ..aims.layout import step_directory

    try:
        fit = read_grid_density(step_directory(rebuilt.parent, "fit"))
        to_scf, to_fit = fit.errors_of(read_grid_density(rebuilt))
    except (ValueError, FileNotFoundError):
        return {}
    return {"nmae_to_scf": to_scf, "nmae_to_fit": to_fit}


def _basis(path: Path | None) -> Basis | None:
    """A basis of a JSON file."""
    from ..model.files.others import as_basis

    return None if path is None else as_basis(path)


def _version_of_fit(runs: Path) -> int:
    """Version of FHI-aims that the fits were made with."""
    from ..aims.layout import step_directory, structure_directories
    from ..aims.versions import OUTPUT, version_of_output

    for structure in structure_directories(runs):
        output = step_directory(structure, "fit") / OUTPUT
        found = version_of_output(output) if output.exists() else None
        if found is not None:
            return found
    raise ValueError(f"there is no fit in {runs} that says the version of FHI-aims: give --version")


def _predicted(predictor: Any, atoms: Atoms, product: Basis | None, fit: Path) -> Any:
    """Coefficients on the product basis, which is compared with that of the fit if there is one."""
    from ..aims.basis_info import NAME, read_basis_info
    from ..aims.geometry import read_geometry
    from ..aims.predicted import check_counts, counts_of, product_coefficients
    from ..density import Density

    coefficients = predictor.coefficients([atoms])[0]
    rho = Density(atoms, predictor.basis, coefficients, normalize=False)
    if (fit / NAME).exists():
        known = read_basis_info(fit).by_label(read_geometry(fit).labels)
        check_counts(counts_of(product or predictor.basis), known)
    if product is None:
        return product_coefficients(rho)
    from ..aims.projection import project_density

    return project_density(rho, product).coefficients
