"""Hirshfeld's stockholder charges (F. L. Hirshfeld, Theor. Chim. Acta 44, 129 (1977))."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..basis import Basis
from .points import evaluate_at_points
from .quadrature import atomic_quadrature
from .terms import AtomTerms

#: Density of the free atoms (e/bohr^3) below which a point belongs to nobody.
_VACUUM = 1e-20


def hirshfeld_populations(
    basis: Basis,
    numbers: np.ndarray,
    positions: np.ndarray,
    deformation: Sequence[AtomTerms],
    promolecule: Sequence[AtomTerms],
    cell: np.ndarray,
    pbc: np.ndarray,
    *,
    level: int = 3,
) -> np.ndarray:
    """Electrons of each atom beyond those of the free atom: shape (natoms,).

    An atom's share w_A = rho_A / sum_B rho_B of the free-atom densities integrates to the
    free atom exactly, so that only the small deformation density is left for quadrature,
    on a spherical grid about each atom.

    Parameters
    ----------
    basis
        With atomic densities.
    numbers, positions
        Atomic numbers, and positions in bohr.
    deformation, promolecule
        Terms of the density without the baseline, and of the baseline alone.
    cell, pbc
        Periods in bohr.
    level
        Quality of the grid, see :mod:`~ase_rholearn.density.quadrature`.
    """
    populations = np.empty(len(numbers))
    for atom, z in enumerate(numbers):
        points, weights = atomic_quadrature(int(z), level)
        own = basis.atomic_densities[int(z)].value(np.linalg.norm(points, axis=1))
        inside = own > _VACUUM
        points, weights, own = points[inside] + positions[atom], weights[inside], own[inside]
        all_atoms = evaluate_at_points(promolecule, points, cell, pbc)
        share = own / np.maximum(all_atoms, own)
        populations[atom] = (weights * share) @ evaluate_at_points(deformation, points, cell, pbc)
    return populations
