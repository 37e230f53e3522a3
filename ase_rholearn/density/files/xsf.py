"""XSF files of XCrySDen: structure in Angstrom, values on a "general grid".

Its points begin at the origin and end at the tips of the spanning vectors. Along a periodic
direction the last point repeats the first one, which our grids do not do: it is added on
writing and taken off on reading. XSF knows no units of values; like Quantum ESPRESSO, we write
e/bohr^3.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from ase import Atoms, units
from ase.data import atomic_numbers

from ...files import atomic_write
from ..grid import Grid
from .numbers import continuous, read_numbers
from .slabs import whole, x_fastest

_KEYWORDS = {
    "CRYSTAL": (True, True, True),
    "SLAB": (True, True, False),
    "POLYMER": (True, False, False),
    "MOLECULE": (False, False, False),
}

#: Digits after the point, and values of a line.
_DECIMALS, _PER_LINE = 9, 5

#: Largest difference of two vectors that are the same, Angstrom.
_SAME = 1e-5


def write_xsf(
    path: str | os.PathLike[str],
    atoms: Atoms,
    grid: Grid,
    *,
    unit: float = units.Bohr**3,
    slabs: Iterable[np.ndarray] | None = None,
) -> None:
    """Write a structure and a grid as an XSF file, ten significant digits a value.

    Parameters
    ----------
    path
        The file appears complete or not at all.
    atoms
        Periodic along all axes, the first two, the first, or none: XSF knows no others.
    grid
        Values in ASE's units, at least two points along directions that are not periodic;
        along the others it spans the cell.
    unit
        What values are multiplied by; the default brings e/Angstrom^3 to e/bohr^3.
    slabs
        Values instead of those of ``grid``, see :func:`~ase_rholearn.density.write_cube`.
        They wait in a temporary file beside ``path``, because x runs fastest.

    Raises
    ------
    ValueError
        A value is NaN or infinite, or structure and grid do not fit the format.
    """
    head = _head(atoms, grid)
    with atomic_write(path) as stream, whole(grid, slabs, path) as values:
        stream.write(head.encode("ascii"))
        pieces = x_fastest(values, _PER_LINE, repeated=atoms.pbc.tolist())
        for text in continuous(pieces, _DECIMALS, _PER_LINE, unit):
            stream.write(text)
        stream.write(b"END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n")


def read_xsf(path: str | os.PathLike[str], *, unit: float = units.Bohr**3) -> tuple[Atoms, Grid]:
    """Structure and first grid of an XSF file, the grid in ASE's units.

    Parameters
    ----------
    path
        An XSF file with a three-dimensional grid and one structure.
    unit
        What the values are divided by; the default brings e/bohr^3 to e/Angstrom^3.

    Raises
    ------
    ValueError
        The file is of another format, truncated, an animation, or it has no grid.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no XSF file {path}")
    try:
        with path.open("rb") as stream:
            atoms = _read_structure(stream)
            shape = [int(word) for word in _words(stream)]
            origin, *span = (_vector(_words(stream)) for _ in range(4))
            if len(shape) != 3 or min(shape) < 2:
                raise ValueError(f"{shape} points")
            values = read_numbers(stream, int(np.prod(shape))).reshape(shape, order="F")
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not an XSF file with a structure and a grid, or it is truncated ({error}): "
            "give a complete file"
        ) from error
    cell = np.array(span)
    for axis, n in enumerate(shape):
        lattice = atoms.cell.array[axis]
        if atoms.pbc[axis] and np.allclose(cell[axis], lattice, rtol=0, atol=_SAME):
            values = np.delete(values, n - 1, axis)
        else:
            cell[axis] *= n / (n - 1)
    return atoms, Grid(np.ascontiguousarray(values) / unit, origin, cell)


def _head(atoms: Atoms, grid: Grid) -> str:
    """Everything before the values."""
    pbc = atoms.pbc
    names = [name for name, value in _KEYWORDS.items() if value == tuple(pbc.tolist())]
    if not names:
        raise ValueError(
            f"atoms.pbc is {pbc.tolist()}: XSF knows structures that are periodic along all axes, "
            "the first two, the first, or none; permute the axes"
        )
    if not np.allclose(grid.cell[pbc], atoms.cell.array[pbc], rtol=0, atol=_SAME):
        raise ValueError(
            f"the grid spans {grid.cell.tolist()}, the structure repeats after "
            f"{atoms.cell.array.tolist()}: give a grid over exactly one cell along periodic axes"
        )
    shape = np.array(grid.shape)
    if (shape[~pbc] < 2).any():
        raise ValueError(
            f"the grid has {grid.shape} points: XSF needs two along axes that are not periodic"
        )
    lines = ["ATOMS"]  # which stands for the keyword of molecules
    if pbc.any():
        cell = np.where(pbc[:, None], atoms.cell.array, grid.cell)
        lines = [names[0], "PRIMVEC", *map(_row, cell), "PRIMCOORD", f"{len(atoms)} 1"]
    lines += [f"{z:3d} {_row(x)}" for z, x in zip(atoms.numbers, atoms.positions, strict=True)]
    span = np.where(pbc, 1.0, (shape - 1) / shape)[:, None] * grid.cell
    lines += [
        "BEGIN_BLOCK_DATAGRID_3D",
        "values_of_densities_in_e/bohr^3",
        "BEGIN_DATAGRID_3D_ase_rholearn",
        " ".join(str(n) for n in (shape + pbc).tolist()),
        *map(_row, (grid.origin, *span)),
    ]
    return "\n".join(lines) + "\n"


def _row(vector: np.ndarray) -> str:
    return " ".join(f"{x:20.14f}" for x in vector)


def _read_structure(stream: IO[bytes]) -> Atoms:
    """Atoms, up to the line that begins the grid."""
    pbc, cell = (False, False, False), np.zeros((3, 3))
    numbers: list[int] = []
    positions: list[np.ndarray] = []
    while not (words := _words(stream))[0].startswith(("BEGIN_DATAGRID_3D", "DATAGRID_3D")):
        keyword = words[0].upper()
        if keyword in _KEYWORDS:
            pbc = _KEYWORDS[keyword]
        elif keyword == "PRIMVEC":
            cell = np.array([_vector(_words(stream)) for _ in range(3)])
        elif keyword == "CONVVEC":
            for _ in range(3):
                _words(stream)
        elif keyword == "PRIMCOORD":
            for _ in range(int(_words(stream)[0])):
                _add_atom(_words(stream), numbers, positions)
        elif keyword == "ANIMSTEPS":
            raise ValueError("it is an animation")
        elif keyword == "ATOMS":
            while not (words := _words(stream))[0].startswith("BEGIN_BLOCK"):
                _add_atom(words, numbers, positions)
    if not numbers:
        raise ValueError("it has no atoms")
    return Atoms(numbers, np.array(positions), cell=cell if any(pbc) else None, pbc=pbc)


def _add_atom(words: list[str], numbers: list[int], positions: list[np.ndarray]) -> None:
    name = words[0]
    numbers.append(int(name) if name.isdigit() else atomic_numbers[name.capitalize()])
    positions.append(_vector(words[1:]))


def _words(stream: IO[bytes]) -> list[str]:
    """The words of the next line that has any and is no comment."""
    for line in iter(stream.readline, b""):
        words = line.decode("ascii").split()
        if words and not words[0].startswith("#"):
            return words
    raise ValueError("it ends early")


def _vector(words: list[str]) -> np.ndarray:
    if len(words) < 3:
        raise ValueError(f"{words} is not a vector")
    return np.array([float(word) for word in words[:3]])
