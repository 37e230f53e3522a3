"""The density on a uniform grid: which way suits the grid. Atomic units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from ..grid import grid_points
from .device import usable_device
from .images import PlacedClass, folded_axes, placed_classes
from .oblique import ObliqueGrid, ObliqueSum
from .points import evaluate_at_points
from .separable import OrthogonalGrid, SeparableSum
from .table_grid import TableGrid
from .terms import AtomTerms, TermClass
from .voxels import VoxelGrid, split_tight

#: Points that are evaluated one by one at a time in frames without volume.
_BLOCK = 2**20

#: Volume of a frame, in units of the product of its edges, that counts as none.
_FLAT = 1e-9

#: Seconds before a progress bar appears.
_PATIENCE = 3.0


class GridSum(Protocol):
    """What terms are added to, and the values that come of it."""

    def add_class(self, centres: np.ndarray, terms: TermClass) -> None:
        """Add the terms of one class around some centres: (n, 3) bohr."""

    def values(self) -> np.ndarray:
        """Shape (n_rows, ny, nz), once everything has been added."""


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
        The periods of the structure. Where an edge of the grid is one of them, images along
        it are folded into one-dimensional tables; all others are atoms of their own.
    average
        Average tight terms over each voxel instead of taking their values at the points.
    dtype
        Of the values, and of the matrix products.
    tolerance
        That of the terms, e/bohr^3.
    device
        Where tables, products and values live; the processor if left out. Values come back
        to the processor slab by slab.
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
    device: torch.device | str | None = None

    def __post_init__(self) -> None:
        if self.average and self._is_flat:
            raise ValueError(
                'core is "voxel-average" but the voxels have no volume: give core="point", or a '
                "frame whose edges do not lie in one plane"
            )
        if self.average and self._has_tables:
            raise ValueError(
                'core is "voxel-average" but the basis has tabulated functions, whose averages '
                'are not known: give core="point"'
            )
        usable_device(self.device)

    def values(self, rows: range | None = None, *, progress: bool = False) -> np.ndarray:
        """Values in some planes along the first axis: shape (len(rows), ny, nz), e/bohr^3.

        By matrix products, except in frames without volume.

        Parameters
        ----------
        rows
            Planes, all by default.
        progress
            Show a bar on a terminal if it takes long.
        """
        rows = range(self.shape[0]) if rows is None else rows
        if self._is_flat:
            return self._values_at_points(rows, progress)
        summed = self._sum(rows)
        for atom in _bar(self._atoms, "atom", progress):
            for placed in atom:
                summed.add_class(placed.centres, placed.terms)
        values = summed.values()
        return self._with_tables(values, rows, progress) if self._has_tables else values

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
    def _is_flat(self) -> bool:
        """Whether the edges lie in one plane."""
        lengths = np.linalg.norm(self.cell, axis=1)
        return bool(abs(np.linalg.det(self.cell)) <= _FLAT * lengths.prod())

    @cached_property
    def _folded(self) -> np.ndarray:
        return folded_axes(self.cell, self.lattice, self.pbc)

    @cached_property
    def _atoms(self) -> list[list[PlacedClass]]:
        """Terms of each atom, and of those of its images that the grid does not fold."""
        return placed_classes(
            self.terms, self.origin, self.cell, self.shape, self.lattice, self.pbc
        )

    @property
    def _steps(self) -> np.ndarray:
        return self.cell / np.array(self.shape)[:, None]

    def _sum(self, rows: range) -> GridSum:
        """The way that suits the axes."""
        device = usable_device(self.device)
        straight = OrthogonalGrid.of(self.origin, self.cell, self.shape, self._folded)
        if straight is not None:
            return SeparableSum(straight, rows, self.dtype, device, self.average)
        reach = max((one.terms.radius for atom in self._atoms for one in atom), default=0.0)
        skew = ObliqueGrid.of(self.origin, self.cell, self.shape, self._folded, reach)
        summed = ObliqueSum(skew, rows, self.dtype, device, self.tolerance)
        if not self.average:
            return summed
        voxels = VoxelGrid(
            self.origin, self._steps, self.shape, self._folded, rows, self.tolerance, device
        )
        return _AveragedSum(summed, voxels)

    def _with_tables(self, values: np.ndarray, rows: range, progress: bool) -> np.ndarray:
        """What is tabulated added to values."""
        values = np.ascontiguousarray(values)
        start = self.origin + rows.start * self._steps[0]
        planes = TableGrid(start, self._steps, values.shape, self.lattice, self.pbc)
        planes.add(values, _bar(self.terms, "atom", progress))
        return values

    def _values_at_points(self, rows: range, progress: bool) -> np.ndarray:
        ny, nz = self.shape[1:]
        plane = grid_points(np.zeros(3), np.array([0 * self.cell[0], *self.cell[1:]]), (1, ny, nz))
        values = torch.zeros((len(rows), ny, nz), dtype=self.dtype).numpy()
        step = max(1, _BLOCK // (ny * nz))
        for start in _bar(range(0, len(rows), step), "slab", progress):
            along = np.array(rows[start : start + step]) / self.shape[0]
            points = self.origin + along[:, None, None, None] * self.cell[0] + plane
            flat = evaluate_at_points(
                self.terms, points.reshape(-1, 3), self.lattice, self.pbc, device=self.device
            )
            values[start : start + step] = flat.reshape(-1, ny, nz)
        return values


@dataclass
class _AveragedSum:
    """Smooth terms at the points of a grid, tight ones averaged over its voxels."""

    smooth: ObliqueSum
    voxels: VoxelGrid
    _tight: list[tuple[np.ndarray, TermClass]] = field(init=False, default_factory=list)

    def add_class(self, centres: np.ndarray, terms: TermClass) -> None:
        smooth, tight = split_tight(terms, float(np.linalg.norm(self.voxels.steps, axis=1).max()))
        if smooth is not None:
            self.smooth.add_class(centres, smooth)
        if tight is not None:
            self._tight += [(centre, tight) for centre in centres]

    def values(self) -> np.ndarray:
        values = self.smooth.values()
        for centre, terms in self._tight:
            self.voxels.add_averages(values, centre, terms)
        return values


_T = TypeVar("_T")


def _bar(items: Sequence[_T], unit: str, progress: bool) -> Iterable[_T]:
    """The items, with a bar on a terminal after a while."""
    if not progress:
        return items
    bar: Iterable[_T] = tqdm(items, unit=unit, disable=None, delay=_PATIENCE, leave=False)
    return bar
