"""The Kohn-Sham matrix of a given density, for LDA and GGA functionals. Needs PySCF."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import units
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

#: Density (e/bohr^3) below which exchange and correlation are left out.
_VACUUM = 1e-12

#: Quadrature points that are worked on at once.
_BLOCK = 8192


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
    from pyscf.dft import libxc

    check_functional(xc)
    kind = libxc.xc_type(xc)
    if kind not in ("LDA", "GGA") or libxc.is_hybrid_xc(xc):
        raise ValueError(
            f"xc is {xc!r}: give an LDA or GGA functional; hybrids and meta-GGAs need more than "
            "the density"
        )
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
    return np.asarray(matrix + _xc_matrix(molecule, raw, xc, kind, grid_level))


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


def _check_molecule(molecule: Any, density: Density) -> None:
    check_same_atoms(molecule, density.atoms)
    has_potential = bool(molecule.has_ecp())
    if has_potential != (density.basis.kind == "valence"):
        found = "has" if has_potential else "has no"
        raise ValueError(
            f"molecule {found} effective core potentials, but the density is "
            f"{density.basis.kind}: use an orbital basis of the same kind"
        )


#: Functions as a PySCF molecule, and their coefficients.
_Source = tuple[Any, np.ndarray]


def _sources(density: Density) -> list[_Source]:
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


def _fitted(molecule: Any, sources: list[_Source], basis: str) -> _Source:
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


def quadrature(
    molecule: Any, level: int, *, gradient: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Points (n, 3) in bohr, weights (n,) and AO values there, in blocks.

    The values are (n, nao), or with their gradients (4, n, nao).
    """
    from pyscf import dft

    grids = dft.gen_grid.Grids(molecule)
    grids.level = level
    grids.build()
    for start in range(0, len(grids.coords), _BLOCK):
        block = slice(start, start + _BLOCK)
        values = dft.numint.eval_ao(molecule, grids.coords[block], deriv=int(gradient))
        yield grids.coords[block], grids.weights[block], values


def density_on_grid(values: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Density of a density matrix from AO values (n, nao): (n,) e/bohr^3."""
    return np.asarray(((values @ matrix) * values).sum(axis=1))


def _xc_matrix(molecule: Any, density: Density, xc: str, kind: str, level: int) -> np.ndarray:
    from pyscf import dft

    integrator = dft.numint.NumInt()
    matrix = np.zeros((molecule.nao, molecule.nao))
    for coords, weights, values in quadrature(molecule, level, gradient=kind == "GGA"):
        rho = _density_and_gradient(density, coords, kind)
        potential = integrator.eval_xc_eff(xc, rho, deriv=1, xctype=kind)[1]
        potential = weights * np.where(rho[0] > _VACUUM, potential, 0.0)
        if kind == "LDA":
            half = values * (0.5 * potential[0])[:, None]
            matrix += values.T @ half
        else:
            # half of the value's term, so that adding the transpose makes it whole
            factors = potential * np.array([0.5, 1, 1, 1])[:, None]
            matrix += values[0].T @ np.einsum("xp,xpm->pm", factors, values)
    return matrix + matrix.T


def _density_and_gradient(density: Density, coords: np.ndarray, kind: str) -> np.ndarray:
    """PySCF's rho array in atomic units: (n,) rows value and gradient; (1, n) for LDA."""
    points = coords * units.Bohr
    value = density.evaluate(points)[None] * units.Bohr**3
    if kind == "LDA":
        rho = value
    else:
        rho = np.concatenate([value, density.gradient(points).T * units.Bohr**4])
    return np.where(rho[0] > _VACUUM, rho, 0.0)
