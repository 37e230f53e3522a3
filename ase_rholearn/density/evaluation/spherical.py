"""Sums of spherical functions of atoms at arbitrary points, from tables. Atomic units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .points import Images, compact_blocks, wrap

#: Radii of the tables, i^2 / n^2 times the largest one (bohr): dense where cores are.
_INTERVALS, _LARGEST = 6000, 40.0


def table_radii() -> np.ndarray:
    """Radii at which the functions are tabulated: shape (n,), bohr."""
    return np.asarray(_LARGEST * (np.arange(_INTERVALS + 1) / _INTERVALS) ** 2)


@dataclass(frozen=True)
class SphericalTables:
    """Several spherical functions about each of some atoms.

    Attributes
    ----------
    values
        At :func:`table_radii`, for each atom: shape (natoms, n, n_functions).
    reaches
        Radius of each atom beyond which they are left out: shape (natoms,), bohr.
    """

    values: np.ndarray
    reaches: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, tolerance: float) -> SphericalTables:
        """Tables that end where all functions stay below a tolerance."""
        radii = table_radii()
        above = (np.abs(values) > tolerance).any(axis=2)
        last = values.shape[1] - 1 - np.argmax(above[:, ::-1], axis=1)
        ends = np.where(above.any(axis=1), np.minimum(last + 1, len(radii) - 1), 0)
        return cls(values, radii[ends])

    def sums(
        self, centres: np.ndarray, points: np.ndarray, cell: np.ndarray, pbc: np.ndarray
    ) -> np.ndarray:
        """Each function summed over atoms and their images: shape (n_points, n_functions).

        Parameters
        ----------
        centres, points
            (natoms, 3) and (n_points, 3), bohr.
        cell, pbc
            Cell vectors in bohr (3, 3), and which of them are periodic (3,).
        """
        result = np.zeros((len(points), self.values.shape[2]))
        if len(points) == 0:
            return result
        points = wrap(points, cell, pbc)
        images = Images.near(centres, _as_list(self.reaches), points, cell, pbc)
        for chosen in compact_blocks(points):
            for atom, centre in images.touching(points[chosen]):
                r = np.linalg.norm(points[chosen] - centre, axis=1)
                near = np.flatnonzero(r < self.reaches[atom])
                result[chosen[near]] += _interpolated(self.values[atom], r[near])
        return result


def _interpolated(table: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Linear interpolation in the square root of the radius: shape (n, n_functions)."""
    place = np.sqrt(r / _LARGEST) * _INTERVALS
    index = np.minimum(place.astype(np.int64), _INTERVALS - 1)
    fraction = (place - index)[:, None]
    return np.asarray(table[index] * (1 - fraction) + table[index + 1] * fraction)


def _as_list(reaches: np.ndarray) -> Sequence[float]:
    listed: list[float] = reaches.tolist()
    return listed
