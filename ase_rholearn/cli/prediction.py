"""The commands that use models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

if TYPE_CHECKING:
    from ase import Atoms

    from ..model import DensityModel

Model = Annotated[str, typer.Option("--model", "-m", help="Shipped name or path of a model file.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ... (default: the best here).")]


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


def info(
    model: Annotated[str, typer.Argument(help="Shipped name or path of a model file.")] = "",
) -> None:
    """Show what a model is; without a name, list the shipped models."""
    from ..model import shipped_models

    if not model:
        for name, path in shipped_models().items():
            typer.echo(f"{name:20} {path}")
        return
    loaded = _load(model, "cpu")
    for key, value in _describe(loaded):
        typer.echo(f"{key:18} {value}")


def _load(model: str, device: str | None) -> DensityModel:
    from ..model import load_model

    return load_model(model, device)


def _frames(path: Path) -> Iterator[tuple[str, Atoms]]:
    """Name and structure of every frame of a file."""
    from ..structures import read_structures

    frames = read_structures(path)
    for index, atoms in enumerate(frames):
        yield (path.stem if len(frames) == 1 else f"{path.stem}_{index:05d}"), atoms


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
    from ..density import Density

    rho = Density(atoms, model.basis, model.coefficients([atoms])[0])
    dipole = "periodic"
    if not atoms.pbc.any():
        dipole = " ".join(f"{x:10.5f}" for x in rho.dipole())
    formula = atoms.get_chemical_formula()
    with tqdm.external_write_mode():
        typer.echo(f"{name:30} {formula:>12} {rho.number_of_electrons:14.6f} {dipole:>32}")
    for wanted, suffix in ((cube, ".cube"), (npz, ".npz")):
        if wanted:
            rho.write(output / f"{name}{suffix}", spacing=spacing, margin=margin, progress=True)


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
