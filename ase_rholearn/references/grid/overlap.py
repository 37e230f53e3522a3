"""Overlap metric: least squares at the points of the grid. Atomic units.

Sums over the points stand for integrals on both sides of the normal equations, so that a
density which lies in the basis comes back exactly, wherever the box of a molecule ends and
whatever the spacing. Points may be left out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...basis import Basis
from ...density.evaluation.functions import FunctionBlock, function_blocks
from .fourier import FourierMetric


class OverlapMetric:
    """Overlaps of the functions with each other and with values at points.

    Parameters
    ----------
    basis
        The auxiliary basis.
    numbers, positions
        Atomic numbers, and positions in bohr.
    cell, pbc
        Periods in bohr.
    points
        Those that take part in the fit: shape (n_used, 3), bohr.
    volume
        Of a voxel, bohr^3.
    used
        Which points of the grid take part: shape (nx, ny, nz).
    """

    def __init__(
        self,
        basis: Basis,
        numbers: np.ndarray,
        positions: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
        points: np.ndarray,
        volume: float,
        used: np.ndarray,
    ) -> None:
        self._functions = (basis, numbers, positions, points, cell, pbc)
        self._size = basis.size(numbers)
        self._volume = volume
        self._used = used
        self.matrix = self._overlap()

    def project(self, values: np.ndarray, charge: float) -> np.ndarray:
        """Integral of every function with values (nx, ny, nz) in e/bohr^3: shape (size,).

        The charge plays no part.
        """
        electrons = values[self._used] * self._volume
        result = np.zeros(self._size)
        for block in self._blocks():
            result[block.functions] += electrons[block.points] @ block.values
        return result

    def _overlap(self) -> np.ndarray:
        return self._volume * gram_matrix(self._blocks(), self._size)

    def _blocks(self) -> Iterator[FunctionBlock]:
        return function_blocks(*self._functions)


def gram_matrix(blocks: Iterator[FunctionBlock], size: int) -> np.ndarray:
    """Sum over points of the products of all functions: (size, size), bohr^-3."""
    matrix = np.zeros((size, size))
    for block in blocks:
        # NumPy computes only half of a product with its own transpose
        product = block.values.T @ block.values
        matrix[np.ix_(block.functions, block.functions)] += product
    return matrix


class ExcludedMetric:
    """Overlap metric of a crystal without some points of its grid.

    They are few, so that it is quicker to subtract them from the whole.

    Parameters
    ----------
    whole
        The overlap metric of all points.
    blocks
        Functions at the points that are left out.
    volume
        Of a voxel, bohr^3.
    used
        Which points of the grid take part: shape (nx, ny, nz).
    """

    def __init__(
        self, whole: FourierMetric, blocks: Iterator[FunctionBlock], volume: float, used: np.ndarray
    ) -> None:
        self._whole = whole
        self._used = used
        self.matrix = whole.matrix - volume * gram_matrix(blocks, len(whole.matrix))

    def project(self, values: np.ndarray, charge: float) -> np.ndarray:
        """See :meth:`OverlapMetric.project`."""
        return self._whole.project(np.where(self._used, values, 0.0), charge)
