"""Coulomb energies of densities, in ASE's units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import units

from .potential import AtomCharge, check_neutral, gaussian_charges, open_potential, smeared
from .products import inner_product

if TYPE_CHECKING:
    from ..density import Density

#: Exponent (bohr^-2) of Gaussians that stand for point nuclei: 1e-7 Hartree for chlorine.
_POINT = 1e12


def hartree_energy(rho: Density) -> float:
    """Half the Coulomb interaction of the electrons with themselves: eV.

    Of a crystal per cell, with a constant background that makes it neutral.
    """
    electrons = _electrons(rho, "hartree_energy")
    return 0.5 * _interaction(rho, electrons, electrons) * units.Hartree


def electrostatic_energy(rho: Density) -> float:
    """Coulomb energy of nuclei and electrons together: eV, of a crystal per cell.

    Raises
    ------
    ValueError
        The cell is charged, or periodic in one or two directions only.
    """
    cores = rho.core_charges
    charges = gaussian_charges(rho, "electrostatic_energy")
    if not rho.atoms.pbc.any():
        positions = rho.atoms.positions / units.Bohr
        electrons = [charge.electrons for charge in charges]
        on_nuclei = cores @ open_potential(electrons, positions)
        repulsion = 0.5 * _interaction(rho, electrons, electrons)
        return float(on_nuclei + repulsion + _nuclear_repulsion(cores, positions)) * units.Hartree
    check_neutral(charges, "the energy of a charged crystal")
    charges = [smeared(charge, _POINT) for charge in charges]
    own = 0.5 * (cores @ cores) * np.sqrt(2 * _POINT / np.pi)
    return float(0.5 * _interaction(rho, charges, charges) - own) * units.Hartree


def coulomb_interaction(first: Density, second: Density) -> float:
    """Coulomb interaction of the nuclei and electrons of two molecules: eV."""
    for rho in (first, second):
        if rho.atoms.pbc.any():
            raise ValueError(
                f"atoms.pbc is {rho.atoms.pbc.tolist()}: the Coulomb interaction of periodic "
                "electrons is infinite; set pbc=False if this is a molecule in a box"
            )
    distances = np.linalg.norm(first.atoms.positions[:, None] - second.atoms.positions, axis=2)
    if not distances.all():
        a, b = np.argwhere(distances == 0)[0]
        raise ValueError(
            f"atom {a} of one density is at the place of atom {b} of the other, where the "
            "interaction of the nuclei is infinite: give two separate molecules; for the "
            "electrons of one molecule use hartree_energy()"
        )
    # everything of the first on the nuclei of the second, its nuclei on the electrons of the
    # second, and the electrons on each other
    here, there = (rho.atoms.positions / units.Bohr for rho in (first, second))
    one, other = (_electrons(rho, "coulomb_interaction") for rho in (first, second))
    on_nuclei = second.core_charges @ open_potential(first.atom_charges(), there)
    on_electrons = first.core_charges @ open_potential(other, here)
    return float(on_nuclei + on_electrons + _interaction(first, one, other)) * units.Hartree


def _electrons(rho: Density, purpose: str) -> list[AtomCharge]:
    """The electrons alone, as negative charges."""
    return [charge.electrons for charge in gaussian_charges(rho, purpose)]


def _interaction(rho: Density, first: list[AtomCharge], second: list[AtomCharge]) -> float:
    """Coulomb interaction in Hartree."""
    pbc = rho.atoms.pbc
    if pbc.any() and not pbc.all():
        raise ValueError(
            f"atoms.pbc is {pbc.tolist()}: Coulomb energies of slabs and wires are not "
            "implemented; put vacuum into the cell and set pbc=True"
        )
    return inner_product(first, second, "coulomb", rho.atoms.cell.array / units.Bohr, pbc)


def _nuclear_repulsion(charges: np.ndarray, positions: np.ndarray) -> float:
    distances = np.linalg.norm(positions[:, None] - positions, axis=2)
    first, second = np.triu_indices(len(charges), 1)
    return float(np.sum(charges[first] * charges[second] / distances[first, second]))
