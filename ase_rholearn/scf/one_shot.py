"""One diagonalisation: energies, orbitals and a better density from a predicted one.

The energy is that of Harris and Foulkes (J. Harris, Phys. Rev. B 31, 1770 (1985); W. M. C. Foulkes
and R. Haydock, Phys. Rev. B 39, 12520 (1989)),

    E = sum_i f_i eps_i - 1/2 (rho|rho) + E_xc[rho] - int v_xc[rho] rho + E_nn ,

with the eigenvalues of the Kohn-Sham matrix of rho. Its error is of second order in that of rho.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase import Atoms, units
from scipy.linalg import eigh

from ..basis import Basis
from ..density import Density
from ..references.pyscf.fit import fit_density
from ..references.pyscf.molecule import build_molecule, check_molecule
from .coulomb import COULOMB_BASIS
from .kohn_sham import KohnShamTerms, kohn_sham_terms
from .screening import Channel, linear_response


@dataclass(frozen=True)
class OneShot:
    """What one diagonalisation gives, for a closed-shell molecule.

    Attributes
    ----------
    atoms
        The structure.
    energy
        Harris-Foulkes energy, eV.
    orbital_energies
        eV: (nao,).
    orbitals
        Of these energies, in PySCF's order: (nao, nao).
    n_occupied
        Doubly occupied ones, the first.
    molecule
        The ``pyscf.gto.Mole`` that they belong to.
    terms
        The Kohn-Sham matrix, and what it was made of.
    is_screened
        Whether energy and orbitals have the correction of :meth:`screened`.
    """

    atoms: Atoms
    energy: float
    orbital_energies: np.ndarray
    orbitals: np.ndarray
    n_occupied: int
    molecule: Any = field(repr=False)
    terms: KohnShamTerms = field(repr=False)
    is_screened: bool = False

    @classmethod
    def of(
        cls,
        molecule: Any,
        density: Density,
        xc: str,
        *,
        grid_level: int = 3,
        coulomb_basis: str | None = COULOMB_BASIS,
    ) -> OneShot:
        """That of a ``pyscf.gto.Mole`` with the atoms of the density; see :func:`one_shot`."""
        if molecule.spin != 0:
            raise ValueError(
                f"molecule has {molecule.spin} unpaired electrons: only closed shells are supported"
            )
        found = kohn_sham_terms(
            molecule, density, xc, grid_level=grid_level, coulomb_basis=coulomb_basis
        )
        energies, orbitals = eigh(found.matrix, molecule.intor("int1e_ovlp"))
        n_occupied = molecule.nelectron // 2
        energy = 2 * energies[:n_occupied].sum() - found.double_counting + molecule.energy_nuc()
        return cls(
            density.atoms,
            float(energy) * units.Hartree,
            energies * units.Hartree,
            orbitals,
            n_occupied,
            molecule,
            found,
        )

    @property
    def occupied_orbitals(self) -> np.ndarray:
        """C, scaled so that the density matrix is C C^T: (nao, nocc)."""
        return np.asarray(np.sqrt(2) * self.orbitals[:, : self.n_occupied])

    @property
    def density_matrix(self) -> np.ndarray:
        """Of the occupied orbitals: (nao, nao)."""
        return np.asarray(self.occupied_orbitals @ self.occupied_orbitals.T)

    @property
    def gap(self) -> float:
        """Lowest empty minus highest occupied orbital energy, eV; nan without empty orbitals."""
        if self.n_occupied == len(self.orbital_energies):
            return float("nan")
        low, high = self.orbital_energies[self.n_occupied - 1 : self.n_occupied + 1]
        return float(high - low)

    def screened(self) -> OneShot:
        """Nearer to self-consistency by linear response, without another Kohn-Sham matrix.

        Orbitals, their density and dipole lose most of the error that one diagonalisation leaves;
        the energy has the term of second order, so that its error is of third order in that of the
        density. See :mod:`ase_rholearn.scf.screening`. Forces belong to energies without it.

        Raises
        ------
        ValueError
            It was made with ``coulomb_basis=None``; the molecule is too large (some hundred atoms).
        """
        if self.is_screened:
            return self
        if self.terms.coulomb.metric is None:
            raise ValueError("coulomb_basis was None: screening needs a density-fitting basis")
        overlap = self.molecule.intor("int1e_ovlp")
        filled = np.arange(len(self.orbital_energies)) < self.n_occupied
        channel = Channel(self.orbital_energies / units.Hartree, self.orbitals, filled, 2)
        found = linear_response(self.molecule, self.terms, [channel], overlap)
        if found is None:
            raise ValueError(f"atoms has {len(self.atoms)} atoms: too many for the response")
        energies, orbitals = eigh(self.terms.matrix + found.matrices[0], overlap)
        return replace(
            self,
            energy=self.energy + found.energy * units.Hartree,
            orbital_energies=energies * units.Hartree,
            orbitals=orbitals,
            is_screened=True,
        )

    def dipole(self) -> np.ndarray:
        """Dipole moment of the orbitals, about the origin: (3,) e Angstrom."""
        electrons = -np.einsum("xij,ji->x", self.molecule.intor("int1e_r"), self.density_matrix)
        nuclei = self.molecule.atom_charges() @ self.molecule.atom_coords()
        return np.asarray((electrons + nuclei) * units.Bohr)

    def density(self, basis: Basis) -> Density:
        """The density of the orbitals, fitted: better than the one that they came from.

        Charges, potentials and files come from it, as from any density.

        Parameters
        ----------
        basis
            Auxiliary basis of the fit, such as that of the density that was given.
        """
        fit = fit_density(self.atoms, basis, self.molecule, self.occupied_orbitals)
        return Density(self.atoms, basis, fit)


def one_shot(
    atoms: Atoms,
    density: Density,
    xc: str = "PBE",
    basis: Any = "def2-svp",
    *,
    grid_level: int = 3,
    coulomb_basis: str | None = COULOMB_BASIS,
) -> OneShot:
    """Diagonalise the Kohn-Sham matrix of a density once.

    Parameters
    ----------
    atoms
        A molecule with closed shells; its charge is ``atoms.info["charge"]`` or the sum of its
        initial charges.
    density
        Of these atoms. Its raw coefficients count.
    xc
        LDA or GGA functional in PySCF's notation.
    basis
        Orbital basis in PySCF's notation; any, not only that of the density's training.
    grid_level
        PySCF's quadrature grid.
    coulomb_basis
        Density-fitting basis for Coulomb integrals; None: without a fit, which is slower. The
        fit's own error is corrected to second order, see :mod:`ase_rholearn.scf.coulomb`.

    Raises
    ------
    ValueError
        Periodic structures (see :func:`~ase_rholearn.scf.one_shot_crystal`), open shells, hybrids
        and meta-GGAs, a basis or functional that PySCF does not know, a density of other atoms.
    """
    if atoms.pbc.any():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: one_shot is for molecules; use one_shot_crystal "
            "for crystals, or set pbc=False"
        )
    check_molecule(atoms)
    found = OneShot.of(
        build_molecule(atoms, basis),
        density,
        xc,
        grid_level=grid_level,
        coulomb_basis=coulomb_basis,
    )
    return replace(found, atoms=atoms)


def one_shot_orbitals(
    molecule: Any, density: Density, xc: str, *, grid_level: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Occupied orbitals of one diagonalisation for a closed-shell molecule.

    Returns
    -------
    orbitals
        (nao, nocc), scaled so that the density matrix is C C^T.
    energies
        (nao,) Hartree.
    """
    found = OneShot.of(molecule, density, xc, grid_level=grid_level, coulomb_basis=None)
    return found.occupied_orbitals, found.orbital_energies / units.Hartree
