"""Gaussian cube files: a grid of values with its atoms, in bohr and e/bohr^3.

A cube of a periodic structure does not repeat the end point of an axis, so that its
voxels fill the cell; ASE and VESTA read it the same way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.io.cube import read_cube as ase_read_cube

from ..files import atomic_write
from .grid import Grid

#: Values that are formatted at once.
_CHUNK = 2**18


def write_cube(
    path: str | os.PathLike[str],
    atoms: Atoms,
    grid: Grid,
    *,
    comment: str = "",
    unit: float = units.Bohr**3,
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
    """
    with atomic_write(path) as stream:
        stream.write(_header(atoms, grid, comment).encode("ascii", "replace"))
        for text in _rows(grid.values, unit):
            stream.write(text)


def read_cube(path: str | os.PathLike[str], *, unit: float = units.Bohr**3) -> tuple[Atoms, Grid]:
    """Atoms and grid of a cube file, the grid in ASE's units.

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
        The file is no cube, or it is truncated.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no cube file {path}")
    try:
        with path.open() as stream:
            content: dict[str, Any] = ase_read_cube(stream, read_data=True)
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a cube file, or it is truncated: give a complete Gaussian cube"
        ) from error
    if len(content["datas"]) > 1:
        raise ValueError(f"{path} has {len(content['datas'])} sets of values: only one can be read")
    values = np.asarray(content["data"], dtype=float)
    spacing = np.asarray(content["spacing"], dtype=float)
    cell = spacing * np.array(values.shape)[:, None]
    origin = np.asarray(content["origin"], dtype=float)
    return content["atoms"], Grid(values / unit, origin, cell)


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


def _rows(values: np.ndarray, unit: float) -> Iterator[bytes]:
    """Text of the values: six in a line, a new line after each row along z."""
    nz = values.shape[2]
    row_format = "\n".join(" ".join(["%12.5E"] * min(6, nz - start)) for start in range(0, nz, 6))
    rows = values.reshape(-1, nz)
    per_chunk = max(1, _CHUNK // nz)
    for start in range(0, len(rows), per_chunk):
        chunk = rows[start : start + per_chunk] * unit
        text = ((row_format + "\n") * len(chunk)) % tuple(chunk.ravel().tolist())
        yield text.encode("ascii")
