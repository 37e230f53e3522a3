"""Where the grid of a structure lies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from .evaluation.points import completed_cell, fractional
from .grid import Grid


def grid_frame(
    atoms: Atoms,
    spacing: float,
    margin: float,
    shape: Sequence[int] | None = None,
) -> Grid:
    """An empty grid over the cell of a structure, or over a box around it.

    Along periodic directions the grid spans the cell, from its origin; along the others
    it goes from ``margin`` below the lowest nucleus to ``margin`` above the highest one.
    The values are a read-only view of zeros that takes no memory.

    Parameters
    ----------
    atoms
        The structure.
    spacing
        Largest distance of neighbouring points along an axis, Angstrom.
    margin
        Angstrom.
    shape
        Points along each axis, instead of ``spacing``.
    """
    if shape is None and not (np.isfinite(spacing) and spacing > 0):
        raise ValueError(f"spacing is {spacing}: give a positive distance in Angstrom")
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin is {margin}: give a distance in Angstrom, 0 or larger")
    pbc = atoms.pbc
    cell = completed_cell(atoms.cell.array, pbc)
    along = fractional(atoms.positions, atoms.cell.array, pbc)  # open directions: Angstrom
    low = np.where(pbc, 0.0, along.min(axis=0) - margin)
    extent = np.where(pbc, 1.0, along.max(axis=0) + margin - low)
    edges = cell * extent[:, None]
    lengths = np.linalg.norm(edges, axis=1)
    if shape is None:
        # a length that is a multiple of the spacing must not gain a point by rounding
        shape = np.maximum(1, np.ceil(lengths / spacing - 1e-9)).astype(int).tolist()
        edges = np.where(pbc[:, None], edges, cell * (np.array(shape) * spacing)[:, None])
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape is {tuple(shape)}: give three positive numbers of points")
    values = np.broadcast_to(np.zeros(1), tuple(int(n) for n in shape))
    return Grid(values, low @ cell, edges)
