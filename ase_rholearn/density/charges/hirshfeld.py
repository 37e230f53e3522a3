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
    free = [basis.atomic_densities[int(z)] for z in atoms.numbers]
    reaches = {z: _reach(density) for z, density in basis.atomic_densities.items()}
    radii = [reaches[int(z)] for z in atoms.numbers]
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
    alone = np.array([density.moment(3) for density in free])
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
    def of(cls, images: Images, free: Sequence[FreeAtom], points: np.ndarray) -> _Shares:
        atoms, density, total = [], np.zeros(len(points)), np.zeros(len(points))
        for index in range(len(images.atom)):
            atom = int(images.atom[index])
            vectors = points - images.centre[index]
            r = np.linalg.norm(vectors, axis=1)
            near = np.flatnonzero(r < images.reach[index])
            if len(near):
                # a fitted free atom may end in a tail of the wrong sign
                value = np.maximum(free[atom].value(r[near]), 0.0)
                density[near] += value
                total[near] += value / r[near] ** 3
                atoms.append((atom, vectors[near], r[near], near, value))
        shares = [
            (atom, vectors, r, near, value / np.maximum(density[near], _VACUUM))
            for atom, vectors, r, near, value in atoms
        ]
        return cls(shares, total)

    def partition(self, points: np.ndarray, free: FreeAtom, centre: np.ndarray) -> np.ndarray:
        """Weights of the quadrature grid of one atom: they add up to 1, and vanish at the others.

        Not the atom's shares, which are not smooth there.
        """
        r = np.linalg.norm(points - centre, axis=1)
        own = np.maximum(free.value(r), 0.0) / r**3
        return own / np.maximum(self.total, np.finfo(float).tiny)


def _reach(density: FreeAtom) -> float:
    """Radius (bohr) beyond which a free atom is below ``_VACUUM``."""
    r = np.linspace(0.0, 60.0, 1201)
    above = np.flatnonzero(density.value(r) > _VACUUM)
    return float(r[min(above[-1] + 1, len(r) - 1)]) if len(above) else float(r[1])
