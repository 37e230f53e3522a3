"""Averages of tight terms over the voxels of a grid with any axes. Atomic units.

A voxel is a parallelepiped around its point. Terms are evaluated at the middles of the cells of
a finer grid around their centre, as fine as their exponents need, and the cells are added up to
voxels. That keeps the integral; each average is right to some 1e-3 of the largest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .points import class_values
from .terms import TermClass, term_radii

#: Terms with a h^2 above it are averaged over voxels where that is asked for: point values
#: of smoother ones add up to their integral within exp(-pi^2 / 0.15) = 1e-28.
TIGHT = 0.15

#: The same for the steps of the finer grid: the integral is right to exp(-pi^2 / 0.2) = 4e-22.
_FINE = 0.2

#: Means over cells from values at the middles of two neighbours before to two behind.
_CELL_MEAN = np.array([[0, 0, 1, 0, 0], [0, 1, -2, 1, 0], [1, -4, 6, -4, 1]]).T @ np.array(
    [1, 1 / 24, -17 / 5760]
)


def split_tight(terms: TermClass, step: float) -> tuple[TermClass | None, TermClass | None]:
    """Terms that are smooth on the scale of a step in bohr, and those that are not."""
    tight = terms.exponents * step**2 > TIGHT
    return _part(terms, ~tight, terms.radius), _part(terms, tight, terms.radius)


def _part(terms: TermClass, chosen: torch.Tensor, radius: float) -> TermClass | None:
    if not chosen.any():
        return None
    return TermClass(radius, terms.exponents[chosen], terms.weights[chosen])


@dataclass(frozen=True)
class VoxelGrid:
    """Voxels of some planes of a grid.

    Attributes
    ----------
    origin, steps
        First point (3,) and steps (3, 3) in bohr.
    shape
        Points of the whole grid.
    folded
        Axes along which both ends are the same.
    rows
        Planes along the first axis that are wanted.
    tolerance
        Of the terms, e/bohr^3.
    device
        Where terms are evaluated.
    """

    origin: np.ndarray
    steps: np.ndarray
    shape: tuple[int, int, int]
    folded: np.ndarray
    rows: range
    tolerance: float
    device: torch.device

    def add_averages(self, values: np.ndarray, centre: np.ndarray, terms: TermClass) -> None:
        """Add the averages of tight terms to values of the planes: (len(rows), ny, nz)."""
        for part, fineness in self._by_fineness(terms):
            self._add(values, centre, part, fineness)

    def _by_fineness(self, terms: TermClass) -> Iterator[tuple[TermClass, np.ndarray]]:
        """Terms that share a finer grid, and into how many cells it cuts each step."""
        lengths = np.linalg.norm(self.steps, axis=1)
        wanted = lengths * np.sqrt(terms.exponents.numpy() / _FINE)[:, None]
        powers = np.ceil(np.log2(np.maximum(wanted, 1.0))).astype(int)
        radii = term_radii(terms.exponents.numpy(), terms.weights.numpy(), self.tolerance)
        for power in np.unique(powers, axis=0):
            chosen = (powers == power).all(axis=1)
            part = _part(terms, torch.from_numpy(chosen), float(radii[chosen].max()))
            if part is not None:
                yield part, 2**power

    def _add(
        self, values: np.ndarray, centre: np.ndarray, terms: TermClass, fineness: np.ndarray
    ) -> None:
        inverse = np.linalg.inv(self.steps)
        middle = (centre - self.origin) @ inverse
        reach = terms.radius * np.linalg.norm(inverse, axis=0)
        # cell f of an axis goes from f / q - 1 / 2 to (f + 1) / q - 1 / 2 steps
        first = np.floor((middle - reach + 0.5) * fineness).astype(int) - 2
        last = np.floor((middle + reach + 0.5) * fineness).astype(int) + 2
        windows = [np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]
        voxels = [
            self._voxels(axis, window // q)
            for axis, (window, q) in enumerate(zip(windows, fineness.tolist(), strict=True))
        ]
        if not all(len(targets) for targets, _ in voxels):
            return
        axes = [
            ((window + 0.5) / q - 0.5)[:, None] * step
            for window, q, step in zip(windows, fineness.tolist(), self.steps, strict=True)
        ]
        means = _values_of_cells(axes, self.origin - centre, terms, self.device)
        for (_, matrix), q in zip(voxels, fineness.tolist(), strict=True):
            # the axis that is first goes last: after three of them the order is the old one
            means = torch.tensordot(means, torch.from_numpy(matrix / q).to(means), ([0], [1]))
        x, y, z = (targets for targets, _ in voxels)
        # a voxel of a small cell may take from several images
        np.add.at(values, (x[:, None, None], y[:, None], z), means.cpu().numpy())

    def _voxels(self, axis: int, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Voxels of cells: where they are in the planes, and what they take from each cell."""
        index = np.arange(owners[0], owners[-1] + 1)
        inside = index % self.shape[axis] if self.folded[axis] else index
        wanted = self.rows if axis == 0 else range(self.shape[axis])
        kept = (inside >= wanted.start) & (inside < wanted.stop)
        belongs = (index[kept, None] == owners).astype(float)
        padded = np.pad(belongs, ((0, 0), (2, 2)), mode="edge")
        size = len(owners)
        taken = sum(c * padded[:, k : k + size] for k, c in enumerate(_CELL_MEAN.tolist()))
        return inside[kept] - wanted.start, np.asarray(taken)


def _values_of_cells(
    axes: list[np.ndarray], origin: np.ndarray, terms: TermClass, device: torch.device
) -> torch.Tensor:
    """Values at the middles of cells, which are sums of one vector of each of three axes."""
    vectors = (origin + axes[0][:, None, None] + axes[1][:, None] + axes[2]).reshape(-1, 3)
    r2 = np.einsum("ij,ij->i", vectors, vectors)
    near = np.flatnonzero(r2 <= terms.radius**2)
    values = torch.zeros(len(vectors), dtype=torch.float64, device=device)
    values[torch.from_numpy(near).to(device)] = class_values(
        terms, torch.from_numpy(vectors[near]).to(device), torch.from_numpy(r2[near]).to(device)
    )[:, 0]
    return values.reshape([len(axis) for axis in axes])
