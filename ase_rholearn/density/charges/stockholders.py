"""Free atoms and their shares on spherical grids about each atom. Atomic units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from ...basis import FreeAtom
from ..evaluation.points import Images, compact_blocks
from ..evaluation.quadrature import atomic_quadrature

if TYPE_CHECKING:
    from ..density import Density

#: Density of a free atom (e/bohr^3) below which it has no share in a point.
_VACUUM = 1e-11

#: Spacing of the tables of free atoms, bohr: charges change by less than 1e-6 e.
_STEP = 0.002

#: Weights (bohr^3, some rules have negative ones) of points that are left out.
NO_WEIGHT = 1e-14


@dataclass(frozen=True)
class Block:
    """Some points of the quadrature of a whole structure, molecule or crystal.

    Attributes
    ----------
    atom
        About which they lie.
    points
        Shape (n, 3), bohr.
    weights
        Shape (n,), bohr^3. Over all blocks, the sum of weights times values is the integral,
        of crystals over one cell.
    shares
        Of the free atoms at these points.
    """

    atom: int
    points: np.ndarray
    weights: np.ndarray
    shares: Shares


def stockholder_blocks(rho: Density, level: int) -> Iterator[Block]:
    """The quadrature that free atoms divide among the atoms of a structure.

    Parameters
    ----------
    rho
        Its basis has atomic densities.
    level
        Quality of the grid, see :mod:`~ase_rholearn.density.evaluation.quadrature`.
    """
    atoms = rho.atoms
    positions, cell = atoms.positions / units.Bohr, atoms.cell.array / units.Bohr
    tables = {z: FreeAtomTable.of(free) for z, free in rho.basis.atomic_densities.items()}
    free = [tables[int(z)] for z in atoms.numbers]
    radii = [one.reach for one in free]
    for atom, z in enumerate(atoms.numbers):
        vectors, weights = atomic_quadrature(int(z), level)
        inside = np.einsum("ij,ij->i", vectors, vectors) < radii[atom] ** 2
        points, weights = vectors[inside] + positions[atom], weights[inside]
        images = Images.near(positions, radii, points, cell, atoms.pbc)
        for chosen in compact_blocks(points):
            shares = Shares.of(images, free, points[chosen])
            part = shares.partition(points[chosen], free[atom], positions[atom])
            yield Block(atom, points[chosen], weights[chosen] * part, shares)


@dataclass(frozen=True)
class Shares:
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
    def of(cls, images: Images, free: Sequence[FreeAtomTable], points: np.ndarray) -> Shares:
        """Of the images near the points, whose free atoms are ``free[image.atom]``."""
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

    def divide(self, amounts: np.ndarray, n_atoms: int) -> np.ndarray:
        """Amounts at the points (n,) divided among the atoms and summed: (n_atoms,)."""
        parts = np.zeros(n_atoms)
        for atom, _, _, near, share in self.atoms:
            parts[atom] += float(amounts[near] @ share)
        return parts

    def partition(self, points: np.ndarray, free: FreeAtomTable, centre: np.ndarray) -> np.ndarray:
        """Weights of the quadrature grid of one atom: they add up to 1, and vanish at the others.

        Not the atom's shares, which are not smooth there.
        """
        r = np.linalg.norm(points - centre, axis=1)
        own = free.value(r) / r**3
        return own / np.maximum(self.total, np.finfo(float).tiny)


@dataclass(frozen=True)
class FreeAtomTable:
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
    def of(cls, density: FreeAtom) -> FreeAtomTable:
        """The table of a free atom."""
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
