"""Energies of a molecule's density as functions of its coefficients. Atomic units.

All are torch functions of the flat vector of coefficients, so that

    dE/dc_P = int v(r) chi_P(r) dr,    v = dE/drho,

the potential projected on the auxiliary functions, comes by autograd.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms, units

from ...basis import Basis, from_pyscf_order
from ...extras import needs
from ...references.pyscf.integrals import (
    auxiliary_molecule,
    baseline_molecule,
    baseline_projections,
    metric_matrix,
)
from .expansion import Expansion, Quadrature
from .forms import Functional


@dataclass(frozen=True)
class QuadraticEnergy:
    """E(c) = constant + linear . c + c . matrix . c / 2, in Hartree.

    Attributes
    ----------
    constant
        Energy of the atomic densities.
    linear
        (size,): their potential, or that of the nuclei, on the functions.
    matrix
        (size, size), or None where there is no such term.
    """

    constant: float
    linear: torch.Tensor
    matrix: torch.Tensor | None = None

    def __call__(self, coefficients: torch.Tensor) -> torch.Tensor:
        """A scalar."""
        energy = self.constant + self.linear @ coefficients
        if self.matrix is not None:
            energy = energy + 0.5 * coefficients @ (self.matrix @ coefficients)
        return energy


@dataclass(frozen=True)
class LocalEnergy:
    """A functional's energy, integrated by a quadrature.

    Attributes
    ----------
    functional
        What is integrated.
    expansion
        The density at the points, with its gradient if the functional needs it.
    weights
        (n,) bohr^3.
    """

    functional: Functional
    expansion: Expansion
    weights: torch.Tensor

    def __call__(self, coefficients: torch.Tensor) -> torch.Tensor:
        """A scalar."""
        rows = self.expansion(coefficients)
        sigma = (rows[1:] ** 2).sum(dim=0) if self.functional.needs_gradient else None
        return self.weights @ self.functional.energy_density(rows[0], sigma)


def local_energy(
    atoms: Atoms,
    basis: Basis,
    functional: Functional,
    *,
    level: int = 3,
    quadrature: Quadrature | None = None,
) -> LocalEnergy:
    """Exchange and correlation, or a kinetic energy, of a density.

    Parameters
    ----------
    atoms, basis
        What the coefficients belong to; a molecule.
    functional
        See :func:`~ase_rholearn.scf.functionals.functional`.
    level
        Quality of the quadrature, 0 (coarse) to 5 (fine).
    quadrature
        Another one, such as PySCF's, instead of ``level``.
    """
    rule = quadrature or Quadrature.of(atoms, level)
    expansion = Expansion(atoms, basis, rule.points, functional.needs_gradient)
    return LocalEnergy(functional, expansion, torch.tensor(rule.weights))


def hartree_energy(atoms: Atoms, basis: Basis) -> QuadraticEnergy:
    """Coulomb energy of the electrons with themselves; needs PySCF.

    As :meth:`Density.hartree_energy`, as a function of the coefficients.
    """
    with needs("pyscf", "pyscf"):
        from pyscf import gto  # noqa: F401
    matrix = torch.from_numpy(metric_matrix(atoms, basis, "coulomb"))
    linear = torch.from_numpy(baseline_projections(atoms, basis, "coulomb"))
    constant = 0.0
    if basis.atomic_densities:
        free_atoms, amplitudes = baseline_molecule(atoms, basis)
        constant = float(0.5 * amplitudes @ free_atoms.intor("int2c2e") @ amplitudes)
    return QuadraticEnergy(constant, linear, matrix)


def external_energy(atoms: Atoms, basis: Basis) -> QuadraticEnergy:
    """Attraction of the electrons by the nuclei; needs PySCF.

    Raises
    ------
    ValueError
        The basis is of valence densities, whose pseudopotentials it does not have.
    """
    with needs("pyscf", "pyscf"):
        from pyscf import gto
    if basis.kind != "all-electron":
        raise ValueError(
            f"basis is {basis.kind}: the external energy needs the pseudopotentials; use a basis "
            "of all-electron densities"
        )
    nuclei = gto.fakemol_for_charges(atoms.positions / units.Bohr)

    def attraction(functions: object) -> np.ndarray:
        return -gto.mole.intor_cross("int2c2e", functions, nuclei) @ atoms.numbers

    on_functions = attraction(auxiliary_molecule(atoms, basis))
    linear = torch.from_numpy(from_pyscf_order(basis, atoms.numbers, on_functions))
    constant = 0.0
    if basis.atomic_densities:
        free_atoms, amplitudes = baseline_molecule(atoms, basis)
        constant = float(amplitudes @ attraction(free_atoms))
    return QuadraticEnergy(constant, linear)
