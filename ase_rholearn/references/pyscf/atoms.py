"""Densities of free atoms from spherically averaged Kohn-Sham calculations."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
from ase.data import chemical_symbols

from ...basis import AtomicDensity
from .settings import check_functional

#: Radial mesh of the fit, in bohr.
_MESH = np.geomspace(1e-5, 40.0, 6000)

#: Ratios of neighbouring exponents that the fit tries, coarse ones first.
_BETAS = (1.5, 1.4, 1.3, 1.25, 1.2, 1.15)

#: Largest integral of |fit - density| (electrons).
_TOLERANCE = 1e-4


def atomic_densities(
    species: Iterable[int], *, xc: str = "PBE", orbital_basis: str = "def2-tzvp"
) -> dict[int, AtomicDensity]:
    """Spherical density of each free neutral atom, as a sum of s Gaussians.

    The atom has fractional occupations that make it spherical and unpolarised (PySCF's
    averaged ground-state configuration). The fit integrates to Z exactly and differs from
    the atom's own density by less than 1e-4 electrons, integrated without sign.

    Parameters
    ----------
    species
        Atomic numbers.
    xc, orbital_basis
        The level of theory of the molecules that it is the baseline of.
    """
    check_functional(xc)
    return {int(z): _atomic_density(int(z), xc, orbital_basis) for z in sorted(set(species))}


def _atomic_density(z: int, xc: str, orbital_basis: str) -> AtomicDensity:
    mesh_density, exponents = _free_atom(z, xc, orbital_basis)
    # the slowest decay of the density is that of its most diffuse orbital product
    low, high = 1.9 * min(exponents), 2.0 * max(exponents)
    errors = []
    for beta in _BETAS:
        ladder = np.geomspace(high, low, int(np.ceil(np.log(high / low) / np.log(beta))) + 1)
        fitted = AtomicDensity.fit(_MESH, mesh_density, z, ladder.tolist())
        errors.append(_unsigned_electrons(mesh_density - fitted.value(_MESH)))
        if errors[-1] < _TOLERANCE:
            return fitted
    raise RuntimeError(
        f"the density of the free {chemical_symbols[z]} atom could be fitted only to "
        f"{min(errors):.1e} electrons ({_TOLERANCE:.0e} is needed): "
        f"use another orbital_basis than {orbital_basis!r}"
    )


def _free_atom(z: int, xc: str, orbital_basis: str) -> tuple[np.ndarray, np.ndarray]:
    """Density on the mesh, and the exponents of the atom's s orbitals."""
    from pyscf import dft, gto
    from pyscf.scf.atom_ks import get_atm_nrks

    symbol = chemical_symbols[z]
    mol = gto.M(atom=[(symbol, (0, 0, 0))], basis=orbital_basis, spin=None, verbose=0)
    with warnings.catch_warnings():
        # PySCF uses what it deprecates itself
        warnings.filterwarnings("ignore", "remove_linear_dep_", DeprecationWarning)
        atom = get_atm_nrks(mol, xc=xc)[symbol]
    _, _, orbitals, occupations = atom
    points = np.zeros((len(_MESH), 3))
    points[:, 2] = _MESH
    values = dft.numint.eval_ao(mol, points) @ orbitals[:, occupations > 0]
    density = values**2 @ occupations[occupations > 0]
    exponents = [a for shell in range(mol.nbas) for a in mol.bas_exp(shell)]
    return density, np.array(exponents)


def _unsigned_electrons(density: np.ndarray) -> float:
    return float(np.trapezoid(4 * np.pi * _MESH**2 * np.abs(density), _MESH))
