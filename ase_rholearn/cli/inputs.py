"""What commands are given, and where their results go: both are looked at before any work."""

from __future__ import annotations

from collections import deque
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ase import Atoms

    from ..density import Density, Grid
    from ..model import DensityModel

Structure = Annotated[
    Path,
    typer.Argument(
        metavar="STRUCTURE",
        help="File that ASE reads, whose density is predicted; or a density: .npz of "
        "'predict --npz', .h5 of 'predict -o'.",
    ),
]
Model = Annotated[str, typer.Option("--model", "-m", help="Shipped name or path of a model file.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ... (default: the best here).")]
Index = Annotated[int, typer.Option(help="Which frame, from 0; negative: from the end.")]
Spacing = Annotated[float, typer.Option(help="Of the grid, Angstrom.")]
Margin = Annotated[float, typer.Option(help="Space around molecules, Angstrom.")]
Level = Annotated[int, typer.Option(min=0, max=5, help="Quality of the quadrature.")]


def load_model(model: str, device: str | None) -> DensityModel:
    """Load a model; torch is imported now and not before."""
    from .. import model as room

    return room.load_model(model, device)


def load_density(path: Path, model: str, index: int, device: str | None) -> Density:
    """The density of a frame: predicted, or read from a file of densities."""
    from ..density import Density
    from ..trajectory import DensityTrajectory

    if path.suffix.lower() == ".npz":
        return Density.read(path)
    if path.suffix.lower() in (".h5", ".hdf5"):
        with DensityTrajectory(path) as trajectory:
            return trajectory.density(index)
    atoms = _structure(path, index)
    predictor = load_model(model, device)
    predictor.check(atoms, argument=str(path))
    predictor.alarm().look([atoms])
    return Density(atoms, predictor.basis, predictor.coefficients([atoms])[0])


def load_density_or_grid(
    path: Path, model: str, index: int, device: str | None
) -> Density | tuple[Atoms, Grid]:
    """A density, or a structure with its density on a grid if the file is one of grids."""
    from ..density import read_grid
    from ..density.files import format_of

    try:
        kind = format_of(path)
    except ValueError:
        return load_density(path, model, index, device)
    if kind not in ("npz", "hdf5"):
        return read_grid(path)
    try:
        return load_density(path, model, index, device)
    except ValueError:
        return read_grid(path)


def _structure(path: Path, index: int) -> Atoms:
    from ..trajectory import iterate_structures

    frames = iterate_structures(path)
    if index >= 0:
        found = list(islice(frames, index, index + 1))
    else:
        tail = deque(frames, maxlen=-index)
        found = [tail[0]] if len(tail) == -index else []
    if not found:
        raise ValueError(f"index is {index}: {path} has fewer frames")
    return found[0]


def output_path(
    output: Path | None, structure: Path, suffix: str, known: tuple[str, ...] = ()
) -> Path:
    """Where a result goes: beside nothing, in the present folder, if it was not said.

    Parameters
    ----------
    output
        What the user said.
    structure
        The input, whose name is the default.
    suffix
        Of the default.
    known
        Suffixes that are allowed; any if there are none.
    """
    path = Path(structure.stem + suffix) if output is None else output
    if known and path.suffix.lower() not in known:
        raise ValueError(f"output is {str(path)!r}: give a name that ends in {', '.join(known)}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: make it first")
    return path


def atom_list(text: str) -> list[int]:
    """Indices in a list such as ``0,3,5-7``."""
    chosen: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            chosen += range(int(first), int(last or first) + 1)
    except ValueError:
        raise ValueError(f"atoms is {text!r}: give indices from 0, such as 0,3,5-7") from None
    return chosen
