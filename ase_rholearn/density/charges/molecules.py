"""Dipole moments of molecules in liquids, from Hirshfeld's atoms: an approximation.

Units are ASE's throughout: e, Angstrom, e Angstrom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...bonds import Molecules, molecules
from .hirshfeld import HirshfeldAtoms, hirshfeld_atoms

if TYPE_CHECKING:
    from ..density import Density


@dataclass(frozen=True)
class MolecularDipoles:
    """Charges and dipole moments of the molecules of a structure.

    Attributes
    ----------
    labels
        Number of each atom's molecule: shape (natoms,).
    charges
        Of each molecule: shape (nmolecules,), e. In a liquid some hundredths flow along
        hydrogen bonds.
    dipoles
        Of each molecule: shape (nmolecules, 3), e Angstrom. As the molecule may be charged,
        about its centre of nuclear charge.
    """

    labels: np.ndarray
    charges: np.ndarray
    dipoles: np.ndarray


def molecular_dipoles(rho: Density, *, level: int = 3) -> MolecularDipoles:
    r"""Dipole moments of molecules, also in periodic structures: an approximation.

    The density of a periodic structure does not define its dipole moment, and that of
    overlapping molecules not the one of each. Hirshfeld's division of the density among the
    atoms gives one answer of many:

    .. math:: \mu_M = \sum_{A \in M} q_A (R_A - R_M) + \mu_A

    with his charges q and atomic dipoles mu, for molecules that bonds connect and that are
    made whole through the periodic borders. Charge that flows between molecules is not in it.
    For a molecule on its own it is the dipole moment, to the quadrature's error.

    Parameters
    ----------
    rho
        Its basis has atomic densities.
    level
        Quality of the quadrature, 0 to 5.

    Raises
    ------
    ValueError
        The structure has bonds without end, and no molecules.
    """
    found = molecules(rho.atoms)
    return _add_up(found, hirshfeld_atoms(rho, level=level), rho.core_charges)


def _add_up(found: Molecules, atoms: HirshfeldAtoms, cores: np.ndarray) -> MolecularDipoles:
    count, labels = len(found), found.labels

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((count, *values.shape[1:]))
        np.add.at(sums, labels, values)
        return sums

    centres = total(cores[:, None] * found.positions) / total(cores)[:, None]
    arms = found.positions - centres[labels]
    dipoles = total(atoms.charges[:, None] * arms + atoms.dipoles)
    return MolecularDipoles(labels, total(atoms.charges), dipoles)
