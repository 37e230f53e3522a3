"""Atoms in molecules: Hirshfeld's stockholders and Voronoi cells.

F. L. Hirshfeld, Theor. Chim. Acta 44, 129 (1977); C. Fonseca Guerra, J.-W. Handgraaf,
E. J. Baerends and F. M. Bickelhaupt, J. Comput. Chem. 25, 189 (2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from scipy.integrate import lebedev_rule

from ..basis import AtomicDensity
from .points import Images, compact_blocks, evaluate_at_points
from .quadrature import atomic_quadrature, check_level
from .terms import AtomTerms, density_terms
from .voronoi import cell_radii

if TYPE_CHECKING:
    from .density import Density

#: Density of a free atom (e/bohr^3) below which it has no share in a point.
_VACUUM = 1e-11

#: Weights (bohr^3, some rules have negative ones) of points that are left out.
_NO_WEIGHT = 1e-14

#: What may be neglected in a term of the deformation density, and where Voronoi cells without
#: a wall end, e/bohr^3.
_TOLERANCE = 1e-10
_END = 1e-9

#: Radial points and degree of the Lebedev rule in a Voronoi cell for each quality level. Walls
#: meet at edges, which is why there are more directions than radii.
_VORONOI_LEVELS = {0: (24, 29), 1: (30, 41), 2: (36, 59), 3: (40, 77), 4: (50, 101), 5: (60, 131)}


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
        Quality of the grid, see :mod:`~ase_rholearn.density.quadrature`.
    """
    atoms, basis = rho.atoms, rho.basis
    deformation = _deformation(rho, "Hirshfeld")
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
        charges=_complete(rho, electrons),
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
    def of(cls, images: Images, free: Sequence[AtomicDensity], points: np.ndarray) -> _Shares:
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

    def partition(self, points: np.ndarray, free: AtomicDensity, centre: np.ndarray) -> np.ndarray:
        """Weights of the quadrature grid of one atom: they add up to 1, and vanish at the others.

        Not the atom's shares, which are not smooth there.
        """
        r = np.linalg.norm(points - centre, axis=1)
        own = np.maximum(free.value(r), 0.0) / r**3
        return own / np.maximum(self.total, np.finfo(float).tiny)


def _reach(density: AtomicDensity) -> float:
    """Radius (bohr) beyond which a free atom is below ``_VACUUM``."""
    r = np.linspace(0.0, 60.0, 1201)
    above = np.flatnonzero(density.value(r) > _VACUUM)
    return float(r[min(above[-1] + 1, len(r) - 1)]) if len(above) else float(r[1])


def voronoi_charges(rho: Density, *, level: int = 3) -> np.ndarray:
    """Voronoi deformation density charges: shape (natoms,), e.

    What flowed into an atom's Voronoi cell (the points nearest to its nucleus) when the
    free atoms bonded. Each ray from the nucleus is integrated up to the wall of the cell.

    Parameters
    ----------
    rho
        Its basis has atomic densities.
    level
        Quality of the grid, 0 to 5.
    """
    check_level(level)
    atoms = rho.atoms
    deformation = _deformation(rho, "Voronoi")
    n_radial, degree = _VORONOI_LEVELS[level]
    directions, angular = lebedev_rule(degree)
    nodes, weights = np.polynomial.legendre.leggauss(n_radial)
    # squares, because the density varies most at the nucleus
    u, du = 0.5 * (nodes + 1), 0.5 * weights
    positions, cell = atoms.positions / units.Bohr, atoms.cell.array / units.Bohr
    ends = density_terms(
        rho.basis, atoms.numbers, positions, rho.coefficients, tolerance=_END, baseline=False
    )
    longest = max((c.radius for atom in ends for c in atom.classes), default=1.0)
    extra = np.empty(len(atoms))
    for atom in range(len(atoms)):
        wall = cell_radii(atom, positions, directions.T, cell, atoms.pbc, longest)
        r = wall[:, None] * u * u
        volume = angular[:, None] * r * r * (2 * wall[:, None] * u * du)
        points = (positions[atom] + r[:, :, None] * directions.T[:, None]).reshape(-1, 3)
        extra[atom] = volume.ravel() @ evaluate_at_points(deformation, points, cell, atoms.pbc)
    return _complete(rho, extra)


def _deformation(rho: Density, scheme: str) -> list[AtomTerms]:
    """Terms of the density without the free atoms."""
    if not rho.basis.atomic_densities:
        raise ValueError(
            f"the basis {rho.basis.name!r} has no atomic densities, which {scheme} charges "
            "need: use a basis that has them, see Basis.with_atomic_densities"
        )
    return density_terms(
        rho.basis,
        rho.atoms.numbers,
        rho.atoms.positions / units.Bohr,
        rho.coefficients,
        tolerance=_TOLERANCE,
        baseline=False,
    )


def _complete(rho: Density, extra: np.ndarray) -> np.ndarray:
    """Charges from the electrons beyond the free atoms; what quadrature missed spread evenly."""
    charges = rho.core_charges - rho.basis.baseline_electrons(rho.atoms.numbers) - extra
    missed = rho.core_charges.sum() - rho.number_of_electrons - charges.sum()
    return np.asarray(charges + missed / len(charges))
