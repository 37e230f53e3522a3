"""The Kohn-Sham matrix of a given density, for LDA and GGA functionals. Needs PySCF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..density import Density
from ..references.pyscf.integrals import check_same_atoms
from ..references.pyscf.products import numpy_products
from .coulomb import Coulomb
from .exchange_correlation import ExchangeCorrelation
from .semilocal import check_semilocal


def kohn_sham_matrix(
    molecule: Any,
    density: Density,
    xc: str,
    *,
    grid_level: int = 2,
    coulomb_basis: str | None = None,
) -> np.ndarray:
    """h + J[rho] + V_xc[rho] in an AO basis: (nao, nao), Hartree.

    The Coulomb matrix comes from the coefficients directly, through three-centre integrals
    with the auxiliary functions and the atomic densities; no density matrix is involved.

    Parameters
    ----------
    molecule
        ``pyscf.gto.Mole`` with the atoms of the density, in any AO basis.
    density
        Its raw coefficients count: a correction of the charge would spoil the Hartree
        potential, in which the error of a Coulomb-metric fit is of second order.
    xc
        LDA or GGA functional in PySCF's notation.
    grid_level
        PySCF's quadrature grid.
    coulomb_basis
        Density-fitting basis in PySCF's notation, such as ``"def2-universal-jfit"``, by whose fit
        of the density its Coulomb potential is computed: less work where it has fewer functions.

    Raises
    ------
    ValueError
        A functional that PySCF does not know; a meta-GGA or hybrid, which need more than a
        density; a molecule that has other atoms than the density, or core potentials where
        the density is all-electron.
    """
    found = kohn_sham_terms(
        molecule, density, xc, grid_level=grid_level, coulomb_basis=coulomb_basis
    )
    return found.matrix


@dataclass(frozen=True)
class KohnShamTerms:
    """The Kohn-Sham matrix of a density, and what the Harris energy needs beside its eigenvalues.

    Attributes
    ----------
    matrix
        F = h + J[rho] + V_xc[rho]: (nao, nao), Hartree.
    coulomb
        J[rho].
    exchange_correlation
        V_xc[rho], with energies of the density.
    """

    matrix: np.ndarray
    coulomb: Coulomb
    exchange_correlation: ExchangeCorrelation

    @property
    def double_counting(self) -> float:
        """What the eigenvalues count of electrons' interactions beyond the energy, Hartree."""
        found = self.exchange_correlation
        return found.potential_energy - found.energy - self.coulomb.constant


def kohn_sham_terms(
    molecule: Any,
    density: Density,
    xc: str,
    *,
    grid_level: int = 2,
    coulomb_basis: str | None = None,
) -> KohnShamTerms:
    """The matrix with its parts; parameters and errors are those of :func:`kohn_sham_matrix`."""
    check_semilocal(xc)
    _check_molecule(molecule, density)
    matrix = molecule.intor("int1e_kin") + molecule.intor("int1e_nuc")
    if molecule.has_ecp():
        matrix += molecule.intor("ECPscalar")
    with numpy_products():
        coulomb = Coulomb.of(molecule, density, coulomb_basis)
        found = ExchangeCorrelation.of(molecule, density, xc, grid_level=grid_level)
    return KohnShamTerms(matrix + coulomb.matrix + found.matrix, coulomb, found)


def _check_molecule(molecule: Any, density: Density) -> None:
    check_same_atoms(molecule, density.atoms)
    has_potential = bool(molecule.has_ecp())
    if has_potential != (density.basis.kind == "valence"):
        found = "has" if has_potential else "has no"
        raise ValueError(
            f"molecule {found} effective core potentials, but the density is "
            f"{density.basis.kind}: use an orbital basis of the same kind"
        )
