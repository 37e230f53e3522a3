"""Gaussian cube files: a grid of values with its atoms, in bohr and e/bohr^3.

A cube of a periodic structure does not repeat the end point of an axis, so that its
voxels fill the cell; ASE and VESTA read it the same way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from ase import Atoms, units

from ...files import atomic_write
from ..grid import Grid
from .numbers import NumberWriter, read_rows
from .slabs import checked_slabs

#: Values of a line, and digits after the point: the layout of Fortran's 6E13.5.
_PER_LINE, _DECIMALS = 6, 5


def write_cube(
    path: str | os.PathLike[str],
    atoms: Atoms,
    grid: Grid,
    *,
    comment: str = "",
    unit: float = units.Bohr**3,
    slabs: Iterable[np.ndarray] | None = None,
) -> None:
    """Write a grid as a cube file, six significant digits a value.

    Parameters
    ----------
    path
        The file appears complete or not at all.
    atoms
        Its atoms go into the header.
    grid
        Values in ASE's units.
    comment
        First line of the file.
    unit
        What values are multiplied by; the default brings e/Angstrom^3 to e/bohr^3.
    slabs
        Values instead of those of ``grid``, in pieces along x: arrays of shape (n, ny, nz)
        whose n add up to nx. Only one is in memory at a time, and ``grid`` says where the
        points are.

    Raises
    ------
    ValueError
        A value is NaN or infinite, or the slabs do not make up the grid.
    """
    writer = NumberWriter(grid.shape[2], _DECIMALS, _PER_LINE)
    with atomic_write(path) as stream:
        stream.write(_header(atoms, grid, comment).encode("ascii", "replace"))
        for slab in checked_slabs(grid, slabs):
            for text in writer.text(slab.reshape(-1), unit):
                stream.write(text)


def read_cube(path: str | os.PathLike[str], *, unit: float = units.Bohr**3) -> tuple[Atoms, Grid]:
    """Atoms and grid of a cube file, the grid in ASE's units.

    The atoms get the edges of the grid as their cell. A cube does not say whether the
    structure is periodic; set ``atoms.pbc`` if it is not.

    Parameters
    ----------
    path
        A cube file with one set of values.
    unit
        What the values of the file are divided by; the default brings e/bohr^3 to
        e/Angstrom^3.

    Raises
    ------
    ValueError
        The file is no cube, it is truncated, or it holds several sets of values.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no cube file {path}")
    try:
        with path.open("rb") as stream:
            atoms, frame, sets, repeated = _read_header(stream)
            values = (
                read_rows(stream, frame.values.size, frame.shape[2]) if sets == 1 else np.zeros(0)
            )
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a cube file, or it is truncated: give a complete Gaussian cube"
        ) from error
    if sets > 1:
        raise ValueError(f"{path} has {sets} sets of values: only one can be read")
    values = values.reshape(frame.shape)
    if repeated:
        values = np.ascontiguousarray(values[:-1, :-1, :-1])
    values /= unit
    return atoms, Grid(values, frame.origin, atoms.cell.array.copy())


def _header(atoms: Atoms, grid: Grid, comment: str) -> str:
    lines = [
        " ".join(comment.split()) or "Electron density",
        "e/bohr^3, written by ase_rholearn",
        _row(len(atoms), grid.origin / units.Bohr),
    ]
    for n, vector in zip(grid.shape, grid.cell, strict=True):
        lines.append(_row(n, vector / n / units.Bohr))
    for z, position in zip(atoms.numbers, atoms.positions / units.Bohr, strict=True):
        lines.append(f"{z:5d} {float(z):11.6f}" + "".join(f" {x:13.8f}" for x in position))
    return "\n".join(lines) + "\n"


def _row(count: int, vector: np.ndarray) -> str:
    # the blanks keep large numbers apart, which fill their columns
    return f"{count:5d}" + "".join(f" {x:15.10f}" for x in vector)


def _read_header(stream: IO[bytes]) -> tuple[Atoms, Grid, int, bool]:
    """Atoms, empty grid of the file's shape, sets of values, and whether ends are repeated."""
    comments = stream.readline(), stream.readline()
    # castep2cube repeats the first point of an axis at its end, and says so
    repeated = b"castep2cube" in comments[1]
    loops = comments[1].upper().split()[2::3] if b"OUTER LOOP" in comments[1].upper() else []
    if [loop[:1] for loop in loops] not in ([], [b"X", b"Y", b"Z"]):
        raise ValueError("z does not run fastest")
    count, *fields = _words(stream)
    natoms = abs(int(count))
    origin = _vector(fields)
    sets = int(fields[3]) if len(fields) > 3 else 1
    shape, steps = [], []
    for _ in range(3):
        n, *vector = _words(stream)
        shape.append(int(n))
        steps.append(_vector(vector) * units.Bohr)
    lines = [_words(stream) for _ in range(natoms)]
    numbers = [int(line[0]) for line in lines]
    positions = np.array([_vector(line[2:]) for line in lines]).reshape(-1, 3) * units.Bohr
    if int(count) < 0:  # orbitals: how many, and which
        labels = _words(stream)
        sets = int(labels[0])
        while len(labels) <= sets:
            labels += _words(stream)
    # negative numbers of points mean Angstrom to some programs only
    if min(shape) < 1 + repeated or sets < 1:
        raise ValueError(f"{shape} points and {sets} sets of values")
    cell = np.array(steps) * (np.array(shape) - repeated)[:, None]
    atoms = Atoms(numbers, positions, cell=cell, pbc=True if repeated else cell.any(axis=1))
    empty = np.broadcast_to(np.zeros(1), shape)
    return atoms, Grid(empty, origin * units.Bohr, cell), sets, repeated


def _words(stream: IO[bytes]) -> list[str]:
    words = stream.readline().decode("ascii").split()
    if not words:
        raise ValueError("the header ends early")
    return words


def _vector(words: list[str]) -> np.ndarray:
    if len(words) < 3:
        raise ValueError(f"{words} is not a vector")
    return np.array([float(word) for word in words[:3]])
