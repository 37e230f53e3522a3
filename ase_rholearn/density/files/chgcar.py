"""VASP's CHGCAR, CHG and AECCAR files: density times cell volume on a periodic grid.

The end point of an axis is not repeated, and x runs fastest.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import IO

import numpy as np
from ase import Atoms
from ase.io import ParseError
from ase.io.vasp import read_vasp

from ...files import atomic_write
from ..grid import Grid
from .numbers import continuous, read_numbers
from .slabs import whole, x_fastest

#: Title of what is written: VASP shows no more than 40 characters.
_TITLE = "total density, no PAW augmentation"

#: Decimals and values of a line.
_LONG, _SHORT = (10, 5), (5, 10)

#: Largest difference of two cells that are the same, Angstrom.
_SAME = 1e-6


def looks_like_chgcar(path: str | os.PathLike[str]) -> bool:
    """Whether a file starts as a POSCAR does: comment, scale, three vectors of three numbers."""
    try:
        with Path(path).open(encoding="ascii", errors="strict") as stream:
            lines = [stream.readline().split() for _ in range(5)]
        scale, *vectors = [[float(x) for x in line] for line in lines[1:]]
    except (OSError, ValueError):
        return False
    return len(scale) in (1, 3) and all(len(vector) == 3 for vector in vectors)


def read_chgcar(path: str | os.PathLike[str]) -> tuple[Atoms, Grid]:
    """Atoms and total density of a CHGCAR, CHG or AECCAR file.

    What follows the total density is left alone: the occupancies inside the PAW spheres are
    corrections that the values on the grid hold already, and the second set of values is the
    density of spins.

    Returns
    -------
    Atoms
        Periodic.
    Grid
        Over the cell, e/Angstrom^3.

    Raises
    ------
    ValueError
        The file is of another format, names no elements, or it is truncated.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if not looks_like_chgcar(path):
        raise ValueError(
            f"{path} is not a CHGCAR: it does not start with a comment, a scale and three vectors"
        )
    try:
        with path.open("rb") as stream:
            atoms = _read_structure(stream)
            shape = _shape(stream.readline().decode("ascii"))
            values = read_numbers(stream, int(np.prod(shape)))
    except (ValueError, IndexError, KeyError, ParseError) as error:
        raise ValueError(
            f"{path} is not a CHGCAR, or it is truncated ({error}): give a complete file of VASP"
        ) from error
    # x runs fastest; a copy, because the evaluation wants C order
    density = np.ascontiguousarray(values.reshape(shape, order="F")) / atoms.get_volume()
    return atoms, Grid(density, np.zeros(3), atoms.cell.array.copy())


def write_chgcar(
    path: str | os.PathLike[str],
    atoms: Atoms,
    grid: Grid,
    *,
    short: bool = False,
    slabs: Iterable[np.ndarray] | None = None,
) -> None:
    """Write a density as a CHGCAR, or in the shorter form of a CHG.

    It holds the total density and nothing else: no augmentation occupancies of PAW spheres,
    which VASP wants where it starts from a CHGCAR, and no density of spins. The first line
    says so. Programs that show or analyse densities need neither.

    Parameters
    ----------
    path
        The file appears complete or not at all.
    atoms
        Written in their order, with as many groups of elements as that takes. Molecules are
        put into the box of the grid, moved so that it begins at zero.
    grid
        e/Angstrom^3; over exactly one cell in periodic directions.
    short
        Six significant digits and ten values a line (CHG), instead of eleven and five.
    slabs
        Values instead of those of ``grid``, see :func:`~ase_rholearn.density.write_cube`.
        They wait in a temporary file beside ``path``, because x runs fastest.

    Raises
    ------
    ValueError
        A value is NaN or infinite, or the grid does not fit the structure.
    """
    head = _structure(atoms, grid)
    decimals, per_line = _SHORT if short else _LONG
    volume = abs(float(np.linalg.det(grid.cell)))
    with atomic_write(path) as stream, whole(grid, slabs, path) as values:
        stream.write(f"{head}\n {' '.join(f'{n:4d}' for n in grid.shape)}\n".encode("ascii"))
        for text in continuous(x_fastest(values, per_line), decimals, per_line, volume):
            stream.write(text)


def _shape(line: str) -> tuple[int, int, int]:
    """Points along each axis."""
    numbers = [int(word) for word in line.split()]
    if len(numbers) != 3 or min(numbers) < 1:
        raise ValueError(f"{line.strip()!r} stands where the three numbers of points should")
    return numbers[0], numbers[1], numbers[2]


def _read_structure(stream: IO[bytes]) -> Atoms:
    """Atoms of the head, which ends with an empty line."""
    lines = [stream.readline().decode("ascii") for _ in range(6)]
    while lines[-1].strip():
        lines.append(stream.readline().decode("ascii"))
    return read_vasp(io.StringIO("".join(lines[:-1])))


def _structure(atoms: Atoms, grid: Grid) -> str:
    """Head of the file: a POSCAR of the atoms in the box of the grid, in their order."""
    pbc = atoms.pbc
    if not np.allclose(grid.cell[pbc], atoms.cell.array[pbc], rtol=0, atol=_SAME):
        raise ValueError(
            f"the grid spans {grid.cell.tolist()}, the structure repeats after "
            f"{atoms.cell.array.tolist()}: a CHGCAR needs a grid over exactly one cell"
        )
    groups = [(symbol, len(list(same))) for symbol, same in groupby(atoms.symbols)]
    lines = [
        _TITLE,
        "   1.00000000000000",
        *("".join(f" {x:22.16f}" for x in vector) for vector in grid.cell),
        "".join(f" {symbol:>4}" for symbol, _ in groups),
        "".join(f" {count:4d}" for _, count in groups),
        "Direct",
    ]
    fractions = np.linalg.solve(grid.cell.T, (atoms.positions - grid.origin).T).T
    lines += ["".join(f" {x:19.16f}" for x in row) for row in fractions]
    return "\n".join(lines) + "\n"
