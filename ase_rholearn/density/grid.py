"""Uniform grids of values, in ASE's units."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms


@dataclass(frozen=True)
class Grid:
    """Values on a uniform grid.

    Point (i, j, k) is at ``origin + i / nx * cell[0] + j / ny * cell[1] + k / nz * cell[2]``:
    voxel convention, the end of each axis is not repeated.

    Attributes
    ----------
    values
        Shape (nx, ny, nz); e/Angstrom^3 for densities.
    origin
        (3,) Angstrom.
    cell
        Rows are the edges of the whole grid: (3, 3) Angstrom.
    """

    values: np.ndarray
    origin: np.ndarray
    cell: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Points along each axis."""
        nx, ny, nz = self.values.shape
        return nx, ny, nz

    @property
    def voxel_volume(self) -> float:
        """Angstrom^3 a point."""
        return float(abs(np.linalg.det(self.cell)) / self.values.size)

    @property
    def integral(self) -> float:
        """Sum of the values times the voxel volume."""
        return float(self.values.sum() * self.voxel_volume)

    def points(self) -> np.ndarray:
        """Coordinates of all points, shape (nx, ny, nz, 3), in Angstrom."""
        return grid_points(self.origin, self.cell, self.shape)

    def write(self, path: str | os.PathLike[str], atoms: Atoms) -> None:
        """Write to a file, see :func:`~ase_rholearn.density.write_grid`."""
        from .files import write_grid

        write_grid(path, atoms, self)


def grid_points(origin: np.ndarray, cell: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Coordinates of the points of a grid in the voxel convention: shape (*shape, 3)."""
    axes = [np.arange(n)[:, None] / n * vector for n, vector in zip(shape, cell, strict=True)]
    points: np.ndarray = (
        origin + axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]
    )
    return points
