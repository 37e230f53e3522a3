"""Atoms in molecules: Hirshfeld's stockholders.

F. L. Hirshfeld, Theor. Chim. Acta 44, 129 (1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from ...basis import FreeAtom
from ..evaluation.points import Images, compact_blocks, evaluate_at_points
from ..evaluation.quadrature import atomic_quadrature
from .deformation import complete_charges, deformation_terms

if TYPE_CHECKING:
    from ..density import Density

#: Density of a free atom (e/bohr^3) below which it has no share in a point.
_VACUUM = 1e-11

#: Spacing of the tables of free atoms, bohr: charges change by less than 1e-6 e.
_STEP = 0.002

#: Weights (bohr^3, some rules have negative ones) of points that are left out.
_NO_WEIGHT = 1e-14


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
    positions, cell = atoms.positions / units.Bohr, atoms.cell.array / units.Bohr
    tables = {z: _FreeAtom.of(density) for z, density in basis.atomic_densities.items()}
    free = [tables[int(z)] for z in atoms.numbers]
    radii = [one.reach for one in free]
    electrons = np.zeros(len(atoms))
    dipoles = np.zeros((len(atoms), 3))
    volumes = np.zeros(len(atoms))
    for atom, z in enumerate(atoms.numbers):
        vectors, weights = atomic_quadrature(int(z), level)
        inside = np.einsum("ij,ij->i", vectors, vectors) < radii[atom] ** 2
        points, weights = vectors[inside] + positions[atom], weights[inside]
        images = Images.near(positions, radii, points, cell, atoms.pbc)
        for chosen in compact_blocks(points):
            shares = _Shares.of(images, free, points[chosen])
            part = weights[chosen] * shares.partition(points[chosen], free[atom], positions[atom])
            rows = np.flatnonzero(np.abs(part) > _NO_WEIGHT)
            extra = np.zeros(len(part))
            values = evaluate_at_points(deformation, points[chosen[rows]], cell, atoms.pbc)
            extra[rows] = part[rows] * values
            for other, vectors_there, r, near, share in shares.atoms:
                own = extra[near] * share
                electrons[other] += own.sum()
                dipoles[other] -= own @ vectors_there
                volumes[other] += own @ r**3
    alone = np.array([basis.atomic_densities[int(z)].moment(3) for z in atoms.numbers])
    return HirshfeldAtoms(
        charges=complete_charges(rho, electrons),
        dipoles=dipoles * units.Bohr,
        volumes=(alone + volumes) * units.Bohr**3,
        free_volumes=alone * units.Bohr**3,
    )


@dataclass(frozen=True)
class _Shares:
    """Free atoms at some points.

    Attributes
    ----------
    atoms
        For each image near: index of the atom, vectors from it and distances of the points
        in reach, their rows, and the atom's share there.
    total
        Sum over images of rho / r^3 at each point: shape (n,).
    """

    atoms: list[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
    total: np.ndarray

    @classmethod
    def of(cls, images: Images, free: Sequence[_FreeAtom], points: np.ndarray) -> _Shares:
        atoms, density, total = [], np.zeros(len(points)), np.zeros(len(points))
        for atom, centre in images.touching(points):
            vectors = points - centre
            r = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            near = np.flatnonzero(r < free[atom].reach)
            if len(near):
                value = free[atom].value(r[near])
                density[near] += value
                total[near] += value / r[near] ** 3
                atoms.append((atom, vectors[near], r[near], near, value))
        shares = [
            (atom, vectors, r, near, value / np.maximum(density[near], _VACUUM))
            for atom, vectors, r, near, value in atoms
        ]
        return cls(shares, total)

    def partition(self, points: np.ndarray, free: _FreeAtom, centre: np.ndarray) -> np.ndarray:
        """Weights of the quadrature grid of one atom: they add up to 1, and vanish at the others.

        Not the atom's shares, which are not smooth there.
        """
        r = np.linalg.norm(points - centre, axis=1)
        own = free.value(r) / r**3
        return own / np.maximum(self.total, np.finfo(float).tiny)


@dataclass(frozen=True)
class _FreeAtom:
    """The density of a free atom as a table: every point of a liquid feels a hundred of them.

    Attributes
    ----------
    reach
        Radius (bohr) beyond which it is below ``_VACUUM``.
    values
        At multiples of ``_STEP`` from the nucleus, to beyond the reach, e/bohr^3.
    """

    reach: float
    values: np.ndarray

    @classmethod
    def of(cls, density: FreeAtom) -> _FreeAtom:
        r = np.arange(0.0, 60.0, _STEP)
        # a fitted free atom may end in a tail of the wrong sign
        values = np.maximum(density.value(r), 0.0)
        end = min(int(np.flatnonzero(values > _VACUUM).max(initial=0)) + 1, len(r) - 1)
        return cls(float(r[end]), values[: end + 2])

    def value(self, r: np.ndarray) -> np.ndarray:
        """Density at distances below the reach, or zero."""
        place = r * (1 / _STEP)
        index = np.minimum(place.astype(np.int64), len(self.values) - 2)
        low = self.values[index]
        between = low + (place - index) * (self.values[index + 1] - low)
        return np.where(r < self.reach, between, 0.0)
