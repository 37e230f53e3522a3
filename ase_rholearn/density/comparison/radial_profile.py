"""Densities averaged over spheres about an atom or a point, in ASE's units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units

from .expansion import Field, electron_terms
from .spherical import spherical_integrals

#: Radii (Angstrom) where none are given.
_DEFAULT = np.linspace(0.0, 3.0, 301)


@dataclass(frozen=True)
class RadialProfile:
    """A density about a point.

    Attributes
    ----------
    radii
        Shape (n,), Angstrom.
    density
        Average over the sphere of each radius: shape (n,), e/Angstrom^3.
    electrons
        Electrons inside of it: shape (n,), e.
    """

    radii: np.ndarray
    density: np.ndarray
    electrons: np.ndarray

    @property
    def distribution(self) -> np.ndarray:
        """Radial distribution 4 pi r^2 rho(r): shape (n,), e/Angstrom."""
        return 4 * np.pi * self.radii**2 * self.density


def radial_profile(rho: Field, centre: Any, radii: Any = None) -> RadialProfile:
    """Spherical average of a density, or of a difference, and the electrons in spheres.

    In closed form: every function is averaged about the centre, also those of other atoms
    and of periodic images, see :mod:`ase_rholearn.density.comparison.spherical`.

    Parameters
    ----------
    rho
        The density; molecules and crystals.
    centre
        Index of an atom, or a point (3,) in Angstrom.
    radii
        Shape (n,), Angstrom, 0 or larger. Left out: 0 to 3 every 0.01.

    Raises
    ------
    ValueError
        There is no such atom, or the radii are bad.

    Examples
    --------
    >>> from ase import Atoms
    >>> from ase_rholearn import Basis, Density
    >>> basis = Basis.from_shells({"He": [(0, [1.0])]})
    >>> profile = radial_profile(Density(Atoms("He"), basis, [1.0]), 0, [0.5, 5.0])
    >>> profile.electrons.round(6).tolist()
    [0.763823, 2.0]
    """
    point, at = _point(rho.atoms, centre), _radii(radii)
    cell = rho.atoms.cell.array / units.Bohr
    density, electrons = spherical_integrals(
        electron_terms(rho), point / units.Bohr, at / units.Bohr, cell, rho.atoms.pbc
    )
    return RadialProfile(at, density / units.Bohr**3, electrons)


def _point(atoms: Atoms, centre: Any) -> np.ndarray:
    if isinstance(centre, (int, np.integer)):
        if not -len(atoms) <= centre < len(atoms):
            raise ValueError(
                f"centre is {centre} but there are {len(atoms)} atoms: give an index from 0 to "
                f"{len(atoms) - 1}, or a point (3,) in Angstrom"
            )
        return np.array(atoms.positions[centre])
    point = np.asarray(centre, dtype=float)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise ValueError(
            f"centre is {centre!r}: give the index of an atom, or three finite coordinates in "
            "Angstrom"
        )
    return point


def _radii(radii: Any) -> np.ndarray:
    if radii is None:
        return _DEFAULT.copy()
    given = np.array(radii, dtype=float)
    if given.ndim != 1 or not (np.isfinite(given).all() and (given >= 0).all()):
        raise ValueError(
            f"radii are {radii!r}: give finite lengths in Angstrom, 0 or larger, shape (n,)"
        )
    return given
