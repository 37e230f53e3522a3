"""Values of a grid in pieces, for files that begin with x and for those that begin with z."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..grid import Grid

#: Values that are in memory at once where a grid is turned round.
_PIECE = 2**24


def checked_slabs(grid: Grid, slabs: Iterable[np.ndarray] | None) -> Iterator[np.ndarray]:
    """Pieces of a grid along x, whose shapes are right: arrays (n, ny, nz) of float64.

    Without ``slabs`` the values of the grid itself are the one piece.
    """
    if slabs is None:
        yield np.asarray(grid.values, dtype=float)
        return
    planes, (nx, ny, nz) = 0, grid.shape
    for slab in slabs:
        slab = np.asarray(slab, dtype=float)
        planes += len(slab) if slab.ndim else 0
        if slab.ndim != 3 or slab.shape[1:] != (ny, nz) or planes > nx:
            raise ValueError(
                f"slabs: a piece of shape {slab.shape} brings the planes along x to {planes}: "
                f"give pieces (n, {ny}, {nz}) with {nx} planes in all"
            )
        yield slab
    if planes != nx:
        raise ValueError(f"slabs: {planes} planes along x were given, the grid has {nx}")


@contextmanager
def whole(
    grid: Grid, slabs: Iterable[np.ndarray] | None, path: str | os.PathLike[str]
) -> Iterator[np.ndarray]:
    """All values of a grid: (nx, ny, nz). Those of slabs wait in a file beside ``path``."""
    if slabs is None:
        yield np.asarray(grid.values, dtype=float)
        return
    with tempfile.TemporaryDirectory(dir=Path(path).parent, prefix=".slabs-") as folder:
        values = np.memmap(Path(folder, "values"), dtype=float, mode="w+", shape=grid.shape)
        start = 0
        for slab in checked_slabs(grid, slabs):
            values[start : start + len(slab)] = slab
            start += len(slab)
        yield values


def x_fastest(
    values: np.ndarray, multiple: int, repeated: Sequence[bool] = (False, False, False)
) -> Iterator[np.ndarray]:
    """Values (nx, ny, nz) with x running fastest, in flat pieces.

    All pieces but the last have a length that is a multiple of ``multiple``. The first point
    of ``repeated`` axes follows once more after their last.
    """
    indices = [np.arange(n + r) % n for n, r in zip(values.shape, repeated, strict=True)]
    nx, ny, nz = map(len, indices)
    planes = max(1, _PIECE // (nx * ny))
    left = np.empty(0)
    for start in range(0, nz, planes):
        chosen = np.ix_(indices[0], indices[1], indices[2][start : start + planes])
        piece = values[chosen].ravel(order="F")
        piece = np.concatenate([left, piece]) if len(left) else piece
        end = len(piece) if start + planes >= nz else len(piece) // multiple * multiple
        left = piece[end:]
        yield piece[:end]
