"""The density on a uniform grid: which way suits the grid. Atomic units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from ..grid import grid_points
from .oblique import ObliqueGrid
from .points import evaluate_at_points
from .separable import Axis, add_class
from .table_grid import TableGrid
from .terms import AtomTerms

#: Largest cosine between two axes that counts as a right angle.
_RIGHT_ANGLE = 1e-12

#: Numbers that one temporary matrix may hold (64 MB in double precision).
_TEMPORARY = 2**23

#: Seconds before a progress bar appears.
_PATIENCE = 3.0


@dataclass(frozen=True)
class GridTask:
    """What is to be evaluated where, in atomic units.

    Attributes
    ----------
    terms
        In double precision, see :func:`~ase_rholearn.density.evaluation.terms.density_terms`.
    origin, cell, shape
        The grid, voxel convention.
    lattice, pbc
        The periods of the structure. Where the grid spans exactly one period along each
        periodic direction, images are folded into one-dimensional tables.
    average
        Average tight terms over each voxel instead of taking their values at the points.
    dtype
        Of the values, and of the matrix products.
    tolerance
        That of the terms, e/bohr^3.
    """

    terms: Sequence[AtomTerms]
    origin: np.ndarray
    cell: np.ndarray
    shape: tuple[int, int, int]
    lattice: np.ndarray
    pbc: np.ndarray
    average: bool = False
    dtype: torch.dtype = torch.float64
    tolerance: float = 1e-12

    def __post_init__(self) -> None:
        if self.average and not self._is_separable:
            raise ValueError(
                'core is "voxel-average" but the grid is not along x, y and z with one period '
                'in each periodic direction: give core="point", or an orthogonal cell'
            )
        if self.average and self._has_tables:
            raise ValueError(
                'core is "voxel-average" but the basis has tabulated functions, whose averages '
                'are not known: give core="point"'
            )

    def values(self, rows: range | None = None, *, progress: bool = False) -> np.ndarray:
        """Values in some planes along the first axis: shape (len(rows), ny, nz), e/bohr^3.

        By matrix products where the grid spans one period along each periodic direction,
        otherwise point by point.

        Parameters
        ----------
        rows
            Planes, all by default.
        progress
            Show a bar on a terminal if it takes long.
        """
        rows = range(self.shape[0]) if rows is None else rows
        values = self._gaussians(rows, progress=progress)
        if not self._has_tables:
            return values
        values = np.ascontiguousarray(values)
        steps = self.cell / np.array(self.shape)[:, None]
        planes = TableGrid(
            self.origin + rows.start * steps[0], steps, values.shape, self.lattice, self.pbc
        )
        planes.add(values, _bar(self.terms, "atom", progress))
        return values

    def _gaussians(self, rows: range, *, progress: bool) -> np.ndarray:
        """The values without tabulated functions."""
        values = torch.zeros((len(rows), *self.shape[1:]), dtype=self.dtype)
        if self._is_separable:
            self._add_products(values, rows, progress)
        elif (oblique := ObliqueGrid.of(self.origin, self.cell, self.shape, self.pbc)) and (
            self._spans_periods
        ):
            summed = oblique.accumulator(rows, self.dtype, self.tolerance)
            for atom in _bar(self.terms, "atom", progress):
                for term_class in atom.classes:
                    summed.add_class(atom.centre, term_class)
            return summed.values()
        else:
            self._add_points(values, rows, progress)
        return values.numpy()

    def iterate(
        self, memory: float, *, scale: float = 1.0, progress: bool = False
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Planes and ``scale`` times their values, in slabs of at most ``memory`` bytes."""
        plane = self.shape[1] * self.shape[2] * self.dtype.itemsize
        planes = max(1, int(memory // plane))
        slabs = [
            range(start, min(start + planes, self.shape[0]))
            for start in range(0, self.shape[0], planes)
        ]
        for rows in _bar(slabs, "slab", progress):
            values = self.values(rows)
            values *= scale
            yield rows, values

    @property
    def _has_tables(self) -> bool:
        return any(atom.table is not None for atom in self.terms)

    @property
    def _spans_periods(self) -> bool:
        """Whether the grid is one period long along each periodic direction."""
        slack = _RIGHT_ANGLE * np.linalg.norm(self.cell, axis=1).max()
        periodic = self.pbc
        return np.allclose(self.cell[periodic], self.lattice[periodic], rtol=0, atol=slack)

    @property
    def _is_separable(self) -> bool:
        """Whether the axes are x, y, z, besides."""
        diagonal = np.diag(self.cell)
        slack = _RIGHT_ANGLE * np.linalg.norm(self.cell, axis=1).max()
        straight = np.abs(self.cell - np.diag(diagonal)).max() <= slack
        return bool(straight and (diagonal > 0).all() and self._spans_periods)

    def _add_products(self, values: torch.Tensor, rows: range, progress: bool) -> None:
        """Gaussians are products of functions of x, y and z: one matrix product per class."""
        axes = [
            Axis(float(o), float(length / n), n, bool(periodic))
            for o, length, n, periodic in zip(
                self.origin, np.diag(self.cell), self.shape, self.pbc, strict=True
            )
        ]
        for atom in _bar(self.terms, "atom", progress):
            for term_class in atom.classes:
                add_class(values, rows, axes, atom.centre, term_class, average=self.average)

    def _add_points(self, values: torch.Tensor, rows: range, progress: bool) -> None:
        ny, nz = self.shape[1:]
        plane = grid_points(np.zeros(3), np.array([0 * self.cell[0], *self.cell[1:]]), (1, ny, nz))
        step = max(1, _TEMPORARY // (3 * ny * nz))
        terms = [atom.gaussians for atom in self.terms]
        for start in _bar(range(0, len(rows), step), "slab", progress):
            axis = np.array(rows[start : start + step]) / self.shape[0]
            points = self.origin + axis[:, None, None, None] * self.cell[0] + plane
            flat = evaluate_at_points(terms, points.reshape(-1, 3), self.lattice, self.pbc)
            values[start : start + step] = torch.from_numpy(flat).reshape(-1, ny, nz)


_T = TypeVar("_T")


def _bar(items: Sequence[_T], unit: str, progress: bool) -> Iterable[_T]:
    """The items, with a bar on a terminal after a while."""
    if not progress:
        return items
    bar: Iterable[_T] = tqdm(items, unit=unit, disable=None, delay=_PATIENCE, leave=False)
    return bar
