"""VASP's CHGCAR, CHG and AECCAR files: density times cell volume on a periodic grid."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import ParseError
from ase.io.vasp import read_vasp

from ..grid import Grid

#: Fortran leaves the E out of an exponent of three digits.
_LONG_EXPONENT = re.compile(r"(\d)([+-]\d{3})\b")


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
        lines = path.read_text(encoding="ascii").splitlines()
        blank = next(k for k in range(5, len(lines)) if not lines[k].strip())
        atoms = read_vasp(io.StringIO("\n".join(lines[:blank]) + "\n"))
        shape = _shape(lines[blank + 1])
        values = _values(lines[blank + 2 :], int(np.prod(shape)))
    except (ValueError, IndexError, KeyError, StopIteration, ParseError) as error:
        raise ValueError(
            f"{path} is not a CHGCAR, or it is truncated ({error}): give a complete file of VASP"
        ) from error
    # x runs fastest; a copy, because the evaluation wants C order
    density = np.ascontiguousarray(values.reshape(shape, order="F")) / atoms.get_volume()
    return atoms, Grid(density, np.zeros(3), atoms.cell.array.copy())


def _shape(line: str) -> tuple[int, int, int]:
    """Points along each axis."""
    numbers = [int(word) for word in line.split()]
    if len(numbers) != 3 or min(numbers) < 1:
        raise ValueError(f"{line.strip()!r} stands where the three numbers of points should")
    return numbers[0], numbers[1], numbers[2]


def _values(lines: list[str], count: int) -> np.ndarray:
    """The first ``count`` values, which end with a line: shape (count,)."""
    per_line = len(lines[0].split())
    if per_line < 1:
        raise ValueError("there are no values after the numbers of points")
    text = " ".join(lines[: -(-count // per_line)])
    if "*" in text:
        raise ValueError("there are asterisks where a value should be")
    words = text.split()
    if len(words) != count:
        raise ValueError(f"{len(words)} values were found where {count} should be")
    try:
        return np.array(words, dtype=float)
    except ValueError:
        return np.array(_LONG_EXPONENT.sub(r"\1E\2", text).split(), dtype=float)
