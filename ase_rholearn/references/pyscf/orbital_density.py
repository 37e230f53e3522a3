"""The density of a reference's orbitals, without any fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import units

from ..reference import Reference
from .existing import orbital_molecule

#: Points whose orbitals are computed at once.
_BLOCK = 10_000


def orbital_density(reference: Reference) -> Callable[[np.ndarray], np.ndarray]:
    """The self-consistent density itself, as a function of points.

    Parameters
    ----------
    reference
        One that kept its occupied orbitals.

    Returns
    -------
    Callable
        Takes points (n, 3) in Angstrom and gives values (n,) in e/Angstrom^3, as
        :func:`ase_rholearn.density.nmae` wants it.

    Raises
    ------
    ValueError
        The reference has no orbitals.
    """
    from pyscf.dft.numint import eval_ao

    molecule = orbital_molecule(reference)
    orbitals = np.asarray(reference.occupied_orbitals, dtype=float)

    def density(points: np.ndarray) -> np.ndarray:
        bohr = np.asarray(points, dtype=float) / units.Bohr
        parts = [
            ((eval_ao(molecule, bohr[start : start + _BLOCK]) @ orbitals) ** 2).sum(axis=1)
            for start in range(0, len(bohr), _BLOCK)
        ]
        return np.concatenate(parts) / units.Bohr**3 if parts else np.zeros(0)

    return density
