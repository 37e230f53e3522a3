"""Tabulated functions on uniform grids of any shape. Atomic units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from .points import Images
from .tables import AtomTable
from .terms import AtomTerms

#: Points of the box around an atom that are looked at together.
_BOX = 2**16

#: Points that an atom's images gather before they are evaluated.
_BATCH = 2**15


@dataclass(frozen=True)
class TableGrid:
    """Planes of a uniform grid.

    Attributes
    ----------
    origin, steps
        First point (3,) of the grid and steps along its axes (3, 3).
    shape
        Points along each axis, only those of the planes along the first.
    lattice, pbc
        Periods of the structure, which need not be those of the grid.
    """

    origin: np.ndarray
    steps: np.ndarray
    shape: tuple[int, int, int]
    lattice: np.ndarray
    pbc: np.ndarray

    def add(self, values: np.ndarray, atoms: Iterable[AtomTerms]) -> None:
        """Add the tables of atoms to values of this shape, which are contiguous."""
        flat = values.reshape(-1)
        for atom in atoms:
            if atom.table is not None and atom.table.reach > 0:
                for batch in _batches(self._parts(atom.centre, atom.table.reach)):
                    _add(flat, atom.table, batch)

    def _parts(self, centre: np.ndarray, reach: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Grid points within reach of the images of a centre: their indices, and vectors to them.

        Each part is of one image, so that no point occurs in it twice.
        """
        ends = np.array(list(product(*([0, n - 1] for n in self.shape))))
        corners = self.origin + ends @ self.steps
        images = Images.near(centre[None], [reach], corners, self.lattice, self.pbc)
        inverse = np.linalg.inv(self.steps)
        half = reach * np.linalg.norm(inverse, axis=0)
        for image in images.centre:
            middle = (image - self.origin) @ inverse
            first = np.maximum(np.ceil(middle - half), 0).astype(int)
            stop = np.minimum(np.floor(middle + half) + 1, self.shape).astype(int)
            if (stop <= first).any():
                continue
            planes = max(1, _BOX // int(np.prod(stop[1:] - first[1:])))
            for start in range(first[0], stop[0], planes):
                box = [
                    range(start, min(start + planes, stop[0])),
                    range(first[1], stop[1]),
                    range(first[2], stop[2]),
                ]
                yield self._inside(image, reach, box)

    def _inside(
        self, centre: np.ndarray, reach: float, box: list[range]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points of a box of indices within reach: flat indices (n,), vectors (n, 3)."""
        i, j, k = (np.arange(one.start, one.stop) for one in box)
        x, y, z = (index[:, None] * step for index, step in zip((i, j, k), self.steps, strict=True))
        left = (self.origin - centre + x[:, None] + y).reshape(-1, 3)
        # |left + z|^2 in one product
        r2 = 2 * left @ z.T
        r2 += np.einsum("ij,ij->i", left, left)[:, None]
        r2 += np.einsum("ij,ij->i", z, z)
        row, column = np.nonzero(r2 <= reach * reach)
        rows = (i[:, None] * self.shape[1] + j).ravel() * self.shape[2]
        return rows[row] + k[column], left.take(row, axis=0) + z.take(column, axis=0)


def _batches(
    parts: Iterable[tuple[np.ndarray, np.ndarray]],
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """Small parts gathered, because sorting them pays for many points only."""
    batch: list[tuple[np.ndarray, np.ndarray]] = []
    for part in parts:
        batch.append(part)
        if sum(len(indices) for indices, _ in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _add(flat: np.ndarray, table: AtomTable, batch: list[tuple[np.ndarray, np.ndarray]]) -> None:
    values = table.values(np.concatenate([vectors for _, vectors in batch]))[:, 0]
    ends = np.cumsum([len(indices) for indices, _ in batch])
    for (indices, _), own in zip(batch, np.split(values, ends[:-1]), strict=True):
        flat[indices] += own.astype(flat.dtype, copy=False)
