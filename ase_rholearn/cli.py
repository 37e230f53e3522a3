"""The command ``ase-rholearn``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

if TYPE_CHECKING:
    from ase import Atoms

    from .model import DensityModel
    from .training.generation import Progress

app = typer.Typer(
    name="ase-rholearn",
    help="Electron densities of atoms by machine learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

data = typer.Typer(
    help="Look after data sets.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(data, name="data")

#: Exit status after Ctrl-C, as shells have it.
_INTERRUPTED = 130

#: Seconds between lines about the progress of a job in a log file.
_LOG_INTERVAL = 60.0

Model = Annotated[str, typer.Option("--model", "-m", help="Shipped name or path of a model file.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ... (default: the best here).")]
OptionsFile = Annotated[Path, typer.Argument(metavar="OPTIONS", help="YAML file of options.")]
DataFolder = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a data set.")]
Ids = Annotated[
    Path | None, typer.Option(help="Only these: a file with one id a line, or a split.")
]
Part = Annotated[
    str | None, typer.Option(help="Which part of the split: training, validation or test.")
]


def main() -> None:
    """Run the command: mistakes of the user end with one line, not with a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        _fail("interrupted", status=_INTERRUPTED)
    except SystemExit as end:
        if end.code == _INTERRUPTED:  # typer has noticed Ctrl-C and says nothing
            _fail("interrupted", status=_INTERRUPTED)
        raise
    except ModuleNotFoundError as error:
        _fail(f"{error.name} is not installed: pip install 'ase-rholearn[train]'")
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        _fail(str(error))


@app.command()
def predict(
    structures: Annotated[list[Path], typer.Argument(help="Files that ASE reads, any frames.")],
    model: Model = "water-pbe",
    cube: Annotated[bool, typer.Option("--cube", help="Write the density as .cube.")] = False,
    npz: Annotated[bool, typer.Option("--npz", help="Write basis and coefficients.")] = False,
    spacing: Annotated[float, typer.Option(help="Grid spacing of cubes, Angstrom.")] = 0.1,
    margin: Annotated[float, typer.Option(help="Space around molecules, Angstrom.")] = 3.0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the files.")] = Path(),
    device: Device = None,
) -> None:
    """Predict densities: a line with electrons and dipole a frame, and files on request."""
    frames = [frame for path in structures for frame in _frames(path)]
    predictor = _load(model, device)
    for name, atoms in frames:
        predictor.check(atoms, argument=name)
    if cube or npz:
        output.mkdir(parents=True, exist_ok=True)
    typer.echo(f"{'structure':30} {'formula':>12} {'electrons':>14} {'dipole / e Angstrom':>32}")
    for name, atoms in _progress(frames):
        _predict_one(predictor, name, atoms, cube, npz, spacing, margin, output)


@app.command()
def info(
    model: Annotated[str, typer.Argument(help="Shipped name or path of a model file.")] = "",
) -> None:
    """Show what a model is; without a name, list the shipped models."""
    from .model import shipped_models

    if not model:
        for name, path in shipped_models().items():
            typer.echo(f"{name:20} {path}")
        return
    loaded = _load(model, "cpu")
    for key, value in _describe(loaded):
        typer.echo(f"{key:18} {value}")


@app.command()
def generate(options: OptionsFile) -> None:
    """Make reference densities for a file of molecules."""
    from .training.generation.job import generate_from_options
    from .training.options import GenerateOptions, load_options

    loaded = load_options(GenerateOptions, options)
    with _following("sampling") as sampling, _following("references") as show:
        end = generate_from_options(loaded, say=typer.echo, on_sampling=sampling, on_progress=show)
    _report_end(end)


@app.command()
def fit(options: OptionsFile) -> None:
    """Make reference densities from calculations that exist already."""
    from .training.fitting.job import fit_from_options
    from .training.options import FitOptions, load_options

    loaded = load_options(FitOptions, options)
    with _following("reading") as reading, _following("fits") as show:
        end = fit_from_options(loaded, on_reading=reading, on_progress=show)
    _report_end(end)


@app.command()
def train(options: OptionsFile) -> None:
    """Train a network, or go on with an interrupted run."""
    from .training.options import TrainOptions, load_options
    from .training.train import train as run

    result = run(
        load_options(TrainOptions, options), say=typer.echo, progress_bar=sys.stderr.isatty()
    )
    typer.echo(f"weights: {result}")


@app.command()
def evaluate(
    options: OptionsFile,
    part: Annotated[str, typer.Option(help="training, validation or test.")] = "test",
    level: Annotated[int, typer.Option(min=0, max=5, help="Quality of the quadrature.")] = 2,
    one_shot: Annotated[bool, typer.Option(help="Compute figure (d), the slow one.")] = True,
) -> None:
    """Judge the network of a run on one part of its data set."""
    from .training.export import evaluate_run
    from .training.options import TrainOptions, load_options

    loaded = load_options(TrainOptions, options)
    with tqdm(unit="structure", disable=None) as bar:
        result = evaluate_run(loaded, part, level, one_shot, on_progress=lambda: bar.update())
    typer.echo(f"{'':44} {'mean':>9} {'worst':>9}")
    for name, meaning in result["meaning"].items():
        if name in result["mean"]:
            typer.echo(f"{meaning:44} {result['mean'][name]:9.4f} {result['worst'][name]:9.4f}")


@app.command()
def export(
    options: OptionsFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.")] = Path("model.pt"),
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
) -> None:
    """Write the network of a run as a model file, with its errors if they were evaluated."""
    from .training.export import export_run
    from .training.options import TrainOptions, load_options

    export_run(load_options(TrainOptions, options), output, dtype)
    typer.echo(f"wrote {output}")


@data.command("info")
def data_info(
    folder: DataFolder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is in a data set."""
    from .training.data import info, info_lines

    with _counting() as count:
        found = info(folder, on_progress=count)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for title, text in info_lines(found):
        typer.echo(f"{title:18} {text}")


@data.command("check")
def data_check(
    folder: DataFolder,
    quick: Annotated[bool, typer.Option("--quick", help="Compare checksums alone.")] = False,
) -> None:
    """Look for everything that is wrong with a data set; status 1 if there is anything."""
    from .training.data import check

    problems = 0
    with _counting() as count:
        for problem in check(folder, quick=quick, on_progress=count):
            problems += 1
            with tqdm.external_write_mode():
                typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{folder} is whole")


@data.command("merge")
def data_merge(
    folders: Annotated[list[Path], typer.Argument(metavar="DATASETS", help="Data sets.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the result.")],
    orbitals: Annotated[bool, typer.Option(help="Copy occupied orbitals too.")] = True,
    ids: Ids = None,
    part: Part = None,
) -> None:
    """Put data sets into one, each reference once; compacts a single one."""
    from .training.data import merge, read_ids

    selected = read_ids(ids, part) if ids else None
    with _counting() as count:
        result = merge(folders, output, orbitals=orbitals, ids=selected, on_progress=count)
    typer.echo(f"{output} has {len(result)} references in {len(result.shards)} shards")


@data.command("split")
def data_split(
    folder: DataFolder,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.")] = Path("split.json"),
    validation: Annotated[float, typer.Option(help="Fraction.")] = 0.1,
    test: Annotated[float, typer.Option(help="Fraction.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the random draw.")] = 0,
    group: Annotated[
        str | None, typer.Option(metavar="KEY", help="Keep equal atoms.info[KEY] together.")
    ] = None,
) -> None:
    """Divide a data set into parts for training, validation and test."""
    from .training.data import DataSet, groups_by, split_ids, write_split

    dataset = DataSet.open(folder)
    groups = groups_by(dataset, group) if group else None
    parts = split_ids(dataset.ids, validation, test, seed, groups=groups)
    write_split(output, parts)
    for name, ids in parts.items():
        typer.echo(f"{name:18} {len(ids)}")


@data.command("export")
def data_export(
    folder: DataFolder,
    output: Annotated[Path, typer.Argument(help=".xyz, .extxyz, or .zip for metatrain.")],
    target: Annotated[str, typer.Option(help="Name of the densities in metatrain.")] = "",
    ids: Ids = None,
    part: Part = None,
) -> None:
    """Write a data set as extended xyz, or with its densities as metatrain's DiskDataset."""
    import yaml

    from .training.data import DataSet, export, read_ids

    selected = read_ids(ids, part) if ids else None
    with _counting() as count:
        number = export(folder, output, target=target, ids=selected, on_progress=count)
    typer.echo(f"wrote {number} structures to {output}")
    if output.suffix == ".zip":
        from .training.data.diskdataset import target_options

        options = {"targets": target_options(DataSet.open(folder), output, target)}
        typer.echo("in the options of metatrain, under training_set:")
        typer.echo(yaml.safe_dump(options, sort_keys=False, default_flow_style=None), nl=False)


@data.command("import")
def data_import(
    path: Annotated[Path, typer.Argument(metavar="ZIP", help="A DiskDataset of metatrain.")],
    folder: DataFolder,
    basis: Annotated[
        str, typer.Option(help="Of the densities: a data set, JSON file, model, or PySCF name.")
    ],
    target: Annotated[str, typer.Option(help="Name of the densities in the file.")] = "",
) -> None:
    """Bring the densities of a DiskDataset into a data set, which may be there already."""
    from .training.data.diskdataset import import_zip

    with _counting() as count:
        number = import_zip(path, folder, basis, target=target, on_progress=count)
    typer.echo(f"{number} new references in {folder}")


def _fail(message: str, status: int = 1) -> None:
    typer.echo(f"ase-rholearn: {message}", err=True)
    raise SystemExit(status)


def _load(model: str, device: str | None) -> DensityModel:
    from .model import load_model

    return load_model(model, device)


def _frames(path: Path) -> Iterator[tuple[str, Atoms]]:
    """Name and structure of every frame of a file."""
    from .structures import read_structures

    frames = read_structures(path)
    for index, atoms in enumerate(frames):
        yield (path.stem if len(frames) == 1 else f"{path.stem}_{index:05d}"), atoms


@contextmanager
def _following(what: str) -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a long job: a bar on a terminal, a line now and then in a log."""
    bar: Any = None
    first, started, told = 0, 0.0, 0.0

    def show(progress: Progress) -> None:
        nonlocal bar, first, started, told
        count, now = progress.done + progress.failed, time.monotonic()
        if bar is None:
            # what earlier runs did says nothing about the rate
            first, started, told = count, now, now
            bar = tqdm(desc=what, total=progress.total, initial=first, disable=None, smoothing=0.05)
        if not bar.disable:
            bar.update(count - bar.n)
        elif now - told > _LOG_INTERVAL:
            told = now
            total, elapsed = progress.total, now - started
            typer.echo(tqdm.format_meter(count, total, elapsed, initial=first, prefix=what))

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def _counting() -> Iterator[Callable[[], None]]:
    """Count structures on a terminal."""
    with tqdm(unit="structure", disable=None, leave=False) as bar:

        def count() -> None:
            bar.update()

        yield count


def _report_end(end: Progress) -> None:
    typer.echo(f"{end.done} of {end.total} structures have a reference")
    if end.failed:
        typer.echo(f"{end.failed} failed: see failures.jsonl in the data set")
        raise typer.Exit(1)


def _progress(frames: list[tuple[str, Atoms]]) -> Any:
    """A bar on the terminal if there is more than one frame."""
    return tqdm(frames, unit="structure", disable=None if len(frames) > 1 else True)


def _predict_one(
    model: DensityModel,
    name: str,
    atoms: Atoms,
    cube: bool,
    npz: bool,
    spacing: float,
    margin: float,
    output: Path,
) -> None:
    from .density import Density

    rho = Density(atoms, model.basis, model.coefficients([atoms])[0])
    dipole = "periodic"
    if not atoms.pbc.any():
        dipole = " ".join(f"{x:10.5f}" for x in rho.dipole())
    formula = atoms.get_chemical_formula()
    with tqdm.external_write_mode():
        typer.echo(f"{name:30} {formula:>12} {rho.number_of_electrons:14.6f} {dipole:>32}")
    for wanted, suffix in ((cube, ".cube"), (npz, ".npz")):
        if wanted:
            rho.write(output / f"{name}{suffix}", spacing=spacing, margin=margin)


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
    if card.licence:
        yield "licence", card.licence
    if card.citation:
        yield "citation", card.citation


if __name__ == "__main__":
    main()
