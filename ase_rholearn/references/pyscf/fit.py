"""Density fitting: coefficients of an auxiliary basis from occupied orbitals.

The deformation density is fitted without a constraint on its charge: a Coulomb-metric fit
makes the Hartree energy second order in the fit error, a constraint makes it first order
(J. L. Whitten, J. Chem. Phys. 58, 4496 (1973); B. I. Dunlap, J. W. D. Connolly and
J. R. Sabin, J. Chem. Phys. 71, 3396 (1979)).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase import Atoms
from scipy.linalg import LinAlgWarning, cho_factor, cho_solve, eigh

from ...basis import Basis, from_pyscf_order
from .integrals import (
    auxiliary_molecule,
    baseline_projections,
    check_same_atoms,
    metric_integral,
    metric_matrix,
    shell_blocks,
)

#: PySCF's names of the three-centre integrals of each metric.
_THREE_CENTRE = {"overlap": "int3c1e", "coulomb": "int3c2e"}

#: Eigenvalues of the metric below this fraction of the largest one are left out when the
#: basis is linearly dependent.
_DEPENDENCE = 1e-12


def fit_density(
    atoms: Atoms,
    basis: Basis,
    molecule: Any,
    occupied_orbitals: np.ndarray,
    *,
    metric: str = "coulomb",
) -> np.ndarray:
    """Fit an auxiliary basis to the density of occupied orbitals.

    Parameters
    ----------
    atoms
        The structure. ``molecule`` has the same atoms in the same order.
    basis
        The auxiliary basis; its atomic densities are subtracted before the fit.
    molecule
        The ``pyscf.gto.Mole`` of the orbitals.
    occupied_orbitals
        Shape (nao, nocc), scaled so that the density matrix is C C^T.
    metric
        ``"coulomb"`` or ``"overlap"``.

    Returns
    -------
    numpy.ndarray
        Flat vector in our order, e/bohr^1.5.
    """
    projections = density_projections(atoms, basis, molecule, occupied_orbitals, metric=metric)
    projections -= baseline_projections(atoms, basis, metric)
    return solve_metric(metric_matrix(atoms, basis, metric), projections)


def density_projections(
    atoms: Atoms,
    basis: Basis,
    molecule: Any,
    occupied_orbitals: np.ndarray,
    *,
    metric: str = "coulomb",
) -> np.ndarray:
    """(P | rho) of the orbital density with every auxiliary function: shape (size,).

    Three-centre integrals are made in blocks of auxiliary shells and contracted at once.
    """
    from pyscf import df, lib

    metric_integral(metric)
    check_same_atoms(molecule, atoms)
    auxiliary = auxiliary_molecule(atoms, basis)
    density_matrix = occupied_orbitals @ occupied_orbitals.T
    # the integrals are symmetric in the orbital pair: count off-diagonal elements twice
    packed = lib.pack_tril(2.0 * density_matrix)
    diagonal = np.cumsum(np.arange(1, molecule.nao + 1)) - 1
    packed[diagonal] *= 0.5

    result = np.empty(auxiliary.nao)
    starts = auxiliary.ao_loc_nr()
    for first, last in shell_blocks(starts, len(packed)):
        integrals = df.incore.aux_e2(
            molecule,
            auxiliary,
            _THREE_CENTRE[metric],
            aosym="s2ij",
            shls_slice=(0, molecule.nbas, 0, molecule.nbas, first, last),
        )
        result[starts[first] : starts[last]] = packed @ integrals
    return from_pyscf_order(basis, atoms.numbers, result)


def solve_metric(matrix: np.ndarray, projections: np.ndarray) -> np.ndarray:
    """Solve ``matrix @ c = projections`` for a symmetric, possibly near-singular metric."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", LinAlgWarning)
            factor = cho_factor(matrix)
    except (np.linalg.LinAlgError, LinAlgWarning):
        values, vectors = eigh(matrix)
        kept = values > _DEPENDENCE * values[-1]
        vectors = vectors[:, kept]
        return np.asarray(vectors @ ((vectors.T @ projections) / values[kept]))
    solution = cho_solve(factor, projections)
    # one step of iterative refinement: fits are used to 1e-8 and metrics have condition 1e8
    return np.asarray(solution + cho_solve(factor, projections - matrix @ solution))
