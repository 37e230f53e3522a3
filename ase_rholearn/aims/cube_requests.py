"""Cubes that FHI-aims is asked for: ``output cube`` blocks of ``control.in``.

FHI-aims takes the origin for the centre of the grid, and every block for one cube.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from ..density import Grid
from ..density.frame import grid_frame


@dataclass(frozen=True)
class CubeGrid:
    """Where FHI-aims tabulates fields.

    Attributes
    ----------
    spacing
        Largest distance of neighbouring points, Angstrom.
    margin
        Space around molecules, Angstrom.
    """

    spacing: float = 0.1
    margin: float = 3.0

    def __post_init__(self) -> None:
        if not self.spacing > 0 or not self.margin >= 0:
            raise ValueError(
                f"spacing is {self.spacing} and margin {self.margin}: give lengths in Angstrom"
            )


def cube_block(field: str, atoms: Atoms, grid: CubeGrid) -> str:
    """Lines of ``control.in`` for one field on a grid.

    Along periodic directions the grid spans the cell without repeating its end, along the others
    a box around the atoms.

    Parameters
    ----------
    field
        As FHI-aims names it: ``"total_density"``, ``"ri_density"``, ...
    atoms
        The structure.
    grid
        The grid.
    """
    frame = grid_frame(atoms, grid.spacing, grid.margin)
    steps = frame.cell / np.array(frame.shape)[:, None]
    lines = [f"output cube {field}", "  cube origin " + _vector(_centre(frame))]
    lines += [
        f"  cube edge {n} " + _vector(step) for n, step in zip(frame.shape, steps, strict=True)
    ]
    return "\n".join(lines) + "\n"


def _centre(frame: Grid) -> np.ndarray:
    """The middle of the first and the last point of a grid."""
    shape = np.array(frame.shape)
    return np.asarray(frame.origin + ((shape - 1) / (2 * shape)) @ frame.cell)


def _vector(values: np.ndarray) -> str:
    return " ".join(f"{value:.12f}" for value in values)


def find_cube(directory: str | os.PathLike[str], field: str = "total_density") -> Path:
    """The cube of a field in a run's directory, whose name has the number of the request.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    pattern = re.compile(rf"cube_\d+_{re.escape(field)}\.cube")
    found = sorted(p for p in Path(directory).glob("*.cube") if pattern.fullmatch(p.name))
    if not found:
        raise FileNotFoundError(f"there is no cube of {field} in {directory}")
    return found[-1]
