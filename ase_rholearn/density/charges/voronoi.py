"""Voronoi deformation density charges.

C. Fonseca Guerra, J.-W. Handgraaf, E. J. Baerends and F. M. Bickelhaupt, J. Comput. Chem. 25,
189 (2004).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import units
from scipy.integrate import lebedev_rule

from ..evaluation.points import Images, evaluate_at_points
from ..evaluation.quadrature import check_level
from .deformation import complete_charges, deformation_terms

if TYPE_CHECKING:
    from ..density import Density

#: Where cells without a wall end, e/bohr^3.
_END = 1e-9

#: Radial points and degree of the Lebedev rule in a cell for each quality level. Walls meet at
#: edges, which is why there are more directions than radii.
_LEVELS = {0: (24, 29), 1: (30, 41), 2: (36, 59), 3: (40, 77), 4: (50, 101), 5: (60, 131)}


def voronoi_charges(rho: Density, *, level: int = 3) -> np.ndarray:
    """Voronoi deformation density charges: shape (natoms,), e.

    What flowed into an atom's Voronoi cell (the points nearest to its nucleus) when the
    free atoms bonded. Each ray from the nucleus is integrated up to the wall of the cell.

    Parameters
    ----------
    rho
        Its basis has atomic densities.
    level
        Quality of the grid, 0 to 5.
    """
    check_level(level)
    atoms = rho.atoms
    deformation = deformation_terms(rho, "Voronoi")
    n_radial, degree = _LEVELS[level]
    directions, angular = lebedev_rule(degree)
    nodes, weights = np.polynomial.legendre.leggauss(n_radial)
    # squares, because the density varies most at the nucleus
    u, du = 0.5 * (nodes + 1), 0.5 * weights
    positions, cell = atoms.positions / units.Bohr, atoms.cell.array / units.Bohr
    longest = max(atom.reach for atom in deformation_terms(rho, "Voronoi", _END)) or 1.0
    extra = np.empty(len(atoms))
    for atom in range(len(atoms)):
        wall = cell_radii(atom, positions, directions.T, cell, atoms.pbc, longest)
        r = wall[:, None] * u * u
        volume = angular[:, None] * r * r * (2 * wall[:, None] * u * du)
        points = (positions[atom] + r[:, :, None] * directions.T[:, None]).reshape(-1, 3)
        extra[atom] = volume.ravel() @ evaluate_at_points(deformation, points, cell, atoms.pbc)
    return complete_charges(rho, extra)


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
