"""Voronoi cells: the points that are nearer to one atom than to any other. Atomic units."""

from __future__ import annotations

import numpy as np

from .points import Images


def cell_radii(
    atom: int,
    positions: np.ndarray,
    directions: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    longest: float,
) -> np.ndarray:
    """Distance from an atom to the wall of its cell in each direction: shape (n,), bohr.

    Parameters
    ----------
    atom
        Index of the atom.
    positions
        Of all atoms, bohr: shape (natoms, 3).
    directions
        Unit vectors: shape (n, 3).
    cell, pbc
        Cell vectors in bohr, and which of them are periodic.
    longest
        Where cells end that have no wall in a direction, bohr.
    """
    centre = positions[atom]
    # an atom twice as far away as the longest ray has its wall behind the end of it
    reaches = [2 * longest] * len(positions)
    images = Images.near(positions, reaches, centre[None], cell, pbc)
    vectors = images.centre - centre
    d2 = np.einsum("ij,ij->i", vectors, vectors)
    vectors, d2 = vectors[d2 > 1e-12], d2[d2 > 1e-12]
    # the wall halfway to another atom: t n.d = d^2 / 2
    along = directions @ vectors.T
    with np.errstate(divide="ignore"):
        distances = np.where(along > 0, 0.5 * d2 / along, np.inf)
    return np.asarray(np.minimum(distances.min(axis=1, initial=np.inf), longest))
