r"""The exact gradient of the Harris-Foulkes energy. Needs PySCF.

With the density :math:`\rho` of coefficients c, the orbitals' density matrix D of one
diagonalisation, and W = C n eps C^T, the energy is stationary in the orbitals, so that

.. math:: \frac{dE}{dR} = E_{nn}' + \mathrm{Tr} D h' - \mathrm{Tr} W S' + E_J' + G'
          + \frac{\partial E}{\partial c} \cdot \frac{dc}{dR}

where :math:`E_J'` and :math:`G'` are those of the Coulomb and the semilocal part with fixed
coefficients and D (:mod:`ase_rholearn.scf.coulomb`,
:mod:`ase_rholearn.scf.exchange_correlation_gradient`): orbitals, functions of the density, atomic
densities and the quadrature all move with their nuclei. :math:`\partial E / \partial c` vanishes at
self-consistency; who predicts c brings dc/dR, of which one product with this vector is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units

from ..references.pyscf.products import numpy_products
from .exchange_correlation_gradient import exchange_correlation_gradient
from .one_shot import OneShot


@dataclass(frozen=True)
class HarrisGradient:
    """Derivatives of the energy of :func:`~ase_rholearn.scf.one_shot`.

    Attributes
    ----------
    positions
        By the positions of the nuclei with fixed coefficients: (natoms, 3) eV/Angstrom.
    coefficients
        By the coefficients of the density: (size,) eV bohr^1.5/e.
    """

    positions: np.ndarray
    coefficients: np.ndarray


def harris_gradient(found: OneShot) -> HarrisGradient:
    """Gradient of the Harris energy by positions and coefficients.

    The force on the nuclei is minus ``positions`` minus ``coefficients`` times dc/dR, see
    ``RhoCalculator(model, energy="harris")``.

    Parameters
    ----------
    found
        Of :func:`~ase_rholearn.scf.one_shot`, not screened.

    Raises
    ------
    ValueError
        For a screened one, whose energy has a term with no gradient here.
    """
    if found.is_screened:
        raise ValueError("found is screened: give what one_shot returned, before screened()")
    molecule, terms = found.molecule, found.terms
    occupied = found.occupied_orbitals
    matrix = occupied @ occupied.T
    energies = found.orbital_energies[: found.n_occupied] / units.Hartree
    with numpy_products():
        gradient = _nuclear_repulsion_gradient(molecule)
        gradient += _one_electron_gradient(molecule, matrix)
        gradient -= _overlap_gradient(molecule, (occupied * energies) @ occupied.T)
        coulomb, by_coulomb = terms.coulomb.gradient(molecule, matrix)
        semilocal, by_semilocal = exchange_correlation_gradient(
            terms.exchange_correlation, molecule, occupied
        )
    return HarrisGradient(
        (gradient + coulomb + semilocal) * units.Hartree / units.Bohr,
        (by_coulomb + by_semilocal) * units.Hartree,
    )


def _nuclear_repulsion_gradient(molecule: Any) -> np.ndarray:
    """Of nuclei alone: (natoms, 3)."""
    from pyscf.grad import rhf

    return np.asarray(rhf.grad_nuc(molecule))


def _one_electron_gradient(molecule: Any, matrix: np.ndarray) -> np.ndarray:
    """Derivative of Tr D (T + V) by the nuclei: (natoms, 3)."""
    slopes = molecule.intor("int1e_ipkin", comp=3) + molecule.intor("int1e_ipnuc", comp=3)
    gradient = _by_orbital(molecule, slopes, matrix)
    for atom, charge in enumerate(molecule.atom_charges()):
        with molecule.with_rinv_at_nucleus(atom):
            field = molecule.intor("int1e_iprinv", comp=3)
        gradient[atom] -= 2 * charge * np.einsum("xmn,mn->x", field, matrix)
    return gradient


def _overlap_gradient(molecule: Any, matrix: np.ndarray) -> np.ndarray:
    """Derivative of Tr W S by the nuclei: (natoms, 3)."""
    return _by_orbital(molecule, molecule.intor("int1e_ipovlp", comp=3), matrix)


def _by_orbital(molecule: Any, slopes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """What orbitals that move do to sum_mn M_mn (m|o|n), from (grad m|o|n): (natoms, 3)."""
    starts = molecule.aoslice_by_atom()[:, 2]
    by_function = -2 * np.einsum("xmn,mn->xm", slopes, matrix)
    return np.asarray(np.add.reduceat(by_function, starts, axis=1).T)
