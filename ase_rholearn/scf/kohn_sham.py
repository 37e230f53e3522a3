"""The Kohn-Sham matrix of a given density, for LDA and GGA functionals. Needs PySCF."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import eigh

from ..basis import to_pyscf_order
from ..density import Density
from ..references.pyscf.integrals import (
    auxiliary_molecule,
    baseline_molecule,
    check_same_atoms,
    shell_blocks,
)
from ..references.pyscf.settings import check_functional
from .exchange_correlation import ExchangeCorrelation

#: Functions as a PySCF molecule, and their coefficients.
Source = tuple[Any, np.ndarray]


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
    """The Kohn-Sham matrix of a density, and energies of that density, in Hartree.

    Attributes
    ----------
    matrix
        F = h + J[rho] + V_xc[rho]: (nao, nao).
    exchange_correlation
        Energy, and integral of the density times the potential.
    sources
        What the density of the Coulomb potential is a sum of.
    """

    matrix: np.ndarray
    exchange_correlation: ExchangeCorrelation
    sources: list[Source]

    @cached_property
    def hartree_energy(self) -> float:
        """1/2 (rho|rho)."""
        from pyscf import gto

        return 0.5 * float(
            sum(
                c @ gto.intor_cross("int2c2e", first, second) @ d
                for (first, c), (second, d) in itertools.product(self.sources, repeat=2)
            )
        )


def kohn_sham_terms(
    molecule: Any,
    density: Density,
    xc: str,
    *,
    grid_level: int = 2,
    coulomb_basis: str | None = None,
) -> KohnShamTerms:
    """The same with energies of the density, of which the Harris energy is made.

    Parameters and errors are those of :func:`kohn_sham_matrix`.
    """
    _check_functional(xc)
    _check_molecule(molecule, density)
    raw = Density(density.atoms, density.basis, density.raw_coefficients, normalize=False)
    sources = _sources(raw)
    if coulomb_basis is not None:
        sources = [_fitted(molecule, sources, coulomb_basis)]
    matrix = molecule.intor("int1e_kin") + molecule.intor("int1e_nuc")
    if molecule.has_ecp():
        matrix += molecule.intor("ECPscalar")
    for source in sources:
        matrix += _contract(molecule, *source)
    exchange_correlation = ExchangeCorrelation.of(molecule, raw, xc, grid_level=grid_level)
    return KohnShamTerms(matrix + exchange_correlation.matrix, exchange_correlation, sources)


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
    if molecule.spin != 0:
        raise ValueError(
            f"molecule has {molecule.spin} unpaired electrons: only closed shells are supported"
        )
    fock = kohn_sham_matrix(molecule, density, xc, grid_level=grid_level)
    energies, orbitals = eigh(fock, molecule.intor("int1e_ovlp"))
    return np.sqrt(2.0) * orbitals[:, : molecule.nelectron // 2], energies


def needs_only_density(xc: str) -> bool:
    """Whether a functional is an LDA or GGA, neither hybrid nor meta-GGA."""
    from pyscf.dft import libxc

    return libxc.xc_type(xc) in ("LDA", "GGA") and not libxc.is_hybrid_xc(xc)


def _check_functional(xc: str) -> None:
    check_functional(xc)
    if not needs_only_density(xc):
        raise ValueError(
            f"xc is {xc!r}: give an LDA or GGA functional; hybrids and meta-GGAs need more than "
            "the density"
        )


def _check_molecule(molecule: Any, density: Density) -> None:
    check_same_atoms(molecule, density.atoms)
    has_potential = bool(molecule.has_ecp())
    if has_potential != (density.basis.kind == "valence"):
        found = "has" if has_potential else "has no"
        raise ValueError(
            f"molecule {found} effective core potentials, but the density is "
            f"{density.basis.kind}: use an orbital basis of the same kind"
        )


def _sources(density: Density) -> list[Source]:
    """What the density is a sum of."""
    basis, numbers = density.basis, density.atoms.numbers
    sources = [
        (
            auxiliary_molecule(density.atoms, basis),
            to_pyscf_order(basis, numbers, density.coefficients),
        )
    ]
    if basis.atomic_densities:
        sources.append(baseline_molecule(density.atoms, basis))
    return sources


def _fitted(molecule: Any, sources: list[Source], basis: str) -> Source:
    """The density in fewer functions, with the same Coulomb potential as nearly as they can."""
    from pyscf import df, gto
    from scipy.linalg import cho_factor, cho_solve

    auxiliary = df.addons.make_auxmol(molecule, basis)
    projections = sum(
        gto.intor_cross("int2c2e", auxiliary, functions) @ coefficients
        for functions, coefficients in sources
    )
    metric = cho_factor(auxiliary.intor("int2c2e"))
    return auxiliary, cho_solve(metric, projections)


def _contract(molecule: Any, auxiliary: Any, coefficients: np.ndarray) -> np.ndarray:
    """sum_P (mn|P) c_P: (nao, nao)."""
    from pyscf import df, lib

    packed = np.zeros(molecule.nao * (molecule.nao + 1) // 2)
    starts = auxiliary.ao_loc_nr()
    for first, last in shell_blocks(starts, len(packed)):
        integrals = df.incore.aux_e2(
            molecule,
            auxiliary,
            "int3c2e",
            aosym="s2ij",
            shls_slice=(0, molecule.nbas, 0, molecule.nbas, first, last),
        )
        packed += integrals @ coefficients[starts[first] : starts[last]]
    return np.asarray(lib.unpack_tril(packed))
