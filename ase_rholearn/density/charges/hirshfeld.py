"""Atoms in molecules: Hirshfeld's stockholders.

F. L. Hirshfeld, Theor. Chim. Acta 44, 129 (1977).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from ..evaluation.points import evaluate_at_points
from .deformation import complete_charges, deformation_terms
from .stockholders import NO_WEIGHT, stockholder_blocks

if TYPE_CHECKING:
    from ..density import Density


@dataclass(frozen=True)
class HirshfeldAtoms:
    """Hirshfeld's atoms in a molecule or crystal.

    Attributes
    ----------
    charges
        Shape (natoms,), e; they add up to the total charge.
    dipoles
        Of each atom's electrons about its nucleus: shape (natoms, 3), e Angstrom. In a
        molecule, charges times positions and these dipoles add up to the dipole moment.
    volumes
        Integrals of the atom's density times r^3: shape (natoms,), Angstrom^3. Of a valence
        density, without the core.
    free_volumes
        The same of the free atoms.
    """

    charges: np.ndarray
    dipoles: np.ndarray
    volumes: np.ndarray
    free_volumes: np.ndarray

    @property
    def volume_ratios(self) -> np.ndarray:
        """Volumes over those of the free atoms, as dispersion corrections take them."""
        return self.volumes / self.free_volumes


def hirshfeld_atoms(rho: Density, *, level: int = 3) -> HirshfeldAtoms:
    """Charges, dipoles and volumes of Hirshfeld's atoms.

    An atom's share w_A = rho_A / sum_B rho_B of the free-atom densities integrates to the
    free atom exactly, so that only the small deformation density is left for quadrature:
    on a spherical grid about each atom, whose weights leave out the nuclei of the others.

    Parameters
    ----------
    rho
        Its basis has atomic densities.
    level
        Quality of the grid, see :mod:`~ase_rholearn.density.evaluation.quadrature`.
    """
    atoms, basis = rho.atoms, rho.basis
    deformation = deformation_terms(rho, "Hirshfeld")
    cell = atoms.cell.array / units.Bohr
    electrons = np.zeros(len(atoms))
    dipoles = np.zeros((len(atoms), 3))
    volumes = np.zeros(len(atoms))
    for block in stockholder_blocks(rho, level):
        rows = np.flatnonzero(np.abs(block.weights) > NO_WEIGHT)
        extra = np.zeros(len(block.weights))
        values = evaluate_at_points(deformation, block.points[rows], cell, atoms.pbc)
        extra[rows] = block.weights[rows] * values
        for other, vectors, r, near, share in block.shares.atoms:
            own = extra[near] * share
            electrons[other] += own.sum()
            dipoles[other] -= own @ vectors
            volumes[other] += own @ r**3
    alone = np.array([basis.atomic_densities[int(z)].moment(3) for z in atoms.numbers])
    return HirshfeldAtoms(
        charges=complete_charges(rho, electrons),
        dipoles=dipoles * units.Bohr,
        volumes=(alone + volumes) * units.Bohr**3,
        free_volumes=alone * units.Bohr**3,
    )
