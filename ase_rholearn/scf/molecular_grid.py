"""PySCF's quadrature grid of a molecule, and how its weights change with nuclei. Atomic units.

Radial and angular rules sit on every atom; Becke's fuzzy cells (A. D. Becke, J. Chem. Phys. 88,
2547 (1988)), with the sizes of atoms as in O. Treutler and R. Ahlrichs, J. Chem. Phys. 102, 346
(1995), share the space between them. Points move with their atom. The weights of points depend on
all nuclei nearby, and a gradient is exact only with that dependence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..density.evaluation.points import compact_blocks

#: Points whose cells are looked at together; those of an atom's grid come shell by shell.
_SHELLS = 1024

#: Share of a cell below which another atom's cell does not count.
_NOTHING = 1e-15

#: Divisors below it are replaced by it.
_SMALLEST = 1e-30


@dataclass(frozen=True)
class MolecularGrid:
    """Points and weights.

    Attributes
    ----------
    points
        (n, 3) bohr, atom after atom.
    weights
        (n,) bohr^3.
    starts
        First point of each atom, and the number of points: (natoms + 1,).
    """

    points: np.ndarray
    weights: np.ndarray
    starts: np.ndarray
    _cells: BeckeCells
    _quadrature: np.ndarray

    @classmethod
    def of(cls, molecule: Any, level: int) -> MolecularGrid:
        """That of a PySCF molecule, by PySCF's rules for this level."""
        from pyscf import dft

        grids = dft.gen_grid.Grids(molecule)
        grids.level = level
        tables = grids.gen_atomic_grids(
            molecule, grids.atom_grid, grids.radi_method, level, grids.prune
        )
        points, weights = grids.get_partition(
            molecule, tables, grids.radii_adjust, grids.atomic_radii, grids.becke_scheme
        )
        volumes = [tables[molecule.atom_symbol(atom)][1] for atom in range(molecule.natm)]
        starts = np.cumsum([0, *map(len, volumes)])
        return cls(points, weights, starts, BeckeCells.of(grids), np.concatenate(volumes))

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Atom, and indices of some of its points that lie close together."""
        for atom, (start, stop) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            for chosen in compact_blocks(self.points[start:stop]):
                yield atom, start + chosen

    def weight_gradient(self, values: np.ndarray) -> np.ndarray:
        """Derivative of sum_g w_g e_g by the nuclei, through the weights: (natoms, 3).

        ``values`` are e_g: (n,). The points move with their atoms.
        """
        gradient = np.zeros_like(self._cells.positions)
        for atom, (start, stop) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            own = slice(start, stop)
            cotangent = values[own] * self._quadrature[own]
            gradient += self._cells.share_gradient(atom, self.points[own], cotangent)
        return gradient


@dataclass(frozen=True)
class BeckeCells:
    """The fuzzy cells of atoms.

    Attributes
    ----------
    positions
        (natoms, 3) bohr.
    adjustment
        Of the boundary between two atoms to their sizes, antisymmetric: (natoms, natoms).
    """

    positions: np.ndarray
    adjustment: np.ndarray

    @classmethod
    def of(cls, grids: Any) -> BeckeCells:
        """Those of a PySCF grid."""
        molecule = grids.mol
        adjust = grids.radii_adjust(molecule, grids.atomic_radii)
        n = molecule.natm
        # the adjusted zero is the adjustment itself
        table = [[adjust(i, j, 0.0) for j in range(n)] for i in range(n)]
        return cls(np.asarray(molecule.atom_coords()), np.array(table))

    def share_gradient(self, atom: int, points: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """Derivative of the sum of cotangent (n,) times shares of an atom: (natoms, 3).

        The points (n, 3) move with their atom.
        """
        gradient = np.zeros_like(self.positions)
        for start in range(0, len(points), _SHELLS):
            chosen = slice(start, start + _SHELLS)
            distances = np.linalg.norm(points[None, chosen] - self.positions[:, None], axis=2)
            atoms = self._neighbours(atom, distances)
            part = _Part(self, atoms, distances[atoms])
            found = part.gradient(points[chosen], cotangent[chosen])
            gradient[atoms] += found
            gradient[atom] -= found.sum(axis=0)
        return gradient

    def _neighbours(self, atom: int, distances: np.ndarray) -> np.ndarray:
        """Atoms whose cells count at points of an atom's grid, that atom first."""
        separations = self.separations[:, atom, None]
        mu = (distances - distances[atom]) / separations
        mu += self.adjustment[:, atom, None] * (1 - mu * mu)
        # P_b is at most s(mu_ba): where that is nothing, b takes no part of the space
        most = _switch(mu.min(axis=1))[0]
        most[atom] = 0.0
        return np.concatenate([[atom], np.flatnonzero(most > _NOTHING)])

    @cached_property
    def separations(self) -> np.ndarray:
        """Distances of the nuclei, with ones on the diagonal."""
        vectors = self.positions[:, None] - self.positions
        return np.asarray(np.linalg.norm(vectors, axis=2) + np.eye(len(vectors)))


@dataclass(frozen=True)
class _Part:
    """Some points of an atom's grid, and the atoms whose cells count there.

    Attributes
    ----------
    cells
        All of them.
    atoms
        Those that count, (m,); the atom itself is the first one.
    distances
        From their nuclei: (m, n).
    """

    cells: BeckeCells
    atoms: np.ndarray
    distances: np.ndarray

    def gradient(self, points: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """Derivative of the sum of cotangent times the share, for points that stay: (m, 3)."""
        boundaries = [self._boundaries(a) for a in range(len(self.atoms))]
        products = np.ones_like(self.distances)
        for a, (_, s, _) in enumerate(boundaries):
            products[a] *= s.prod(axis=0)
            products[:a] *= 1 - s
        shares = products / products.sum(axis=0)
        # of the share w_0 by the logarithm of P_a: w_0 (delta_0a - w_a)
        by_log = -shares * shares[0]
        by_log[0] += shares[0]
        by_log *= cotangent
        by_distance = np.zeros_like(self.distances)
        positions = self.cells.positions[self.atoms]
        gradient = np.zeros((len(self.atoms), 3))
        for a, (mu, s, slope) in enumerate(boundaries):
            separations = self._separations(a)
            # where s vanishes so does P_a, with all its derivatives
            by_mu = by_log[a] / np.maximum(s, _SMALLEST)
            by_mu -= by_log[:a] / np.maximum(1 - s, _SMALLEST)
            by_mu *= slope
            by_distance[a] += (by_mu / separations).sum(axis=0)
            by_distance[:a] -= by_mu / separations
            strength = np.einsum("bn,bn->b", by_mu, mu)[:, None] / separations**2
            along = (positions[a] - positions[:a]) * strength
            gradient[a] -= along.sum(axis=0)
            gradient[:a] += along
        by_distance /= self.distances  # no point lies on a nucleus
        gradient += by_distance.sum(axis=1)[:, None] * positions
        return gradient - by_distance @ points

    def _boundaries(self, a: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """mu, s and ds/dmu between an atom and those before it: (a, n) each."""
        mu = (self.distances[a] - self.distances[:a]) / self._separations(a)
        size = self.cells.adjustment[self.atoms[a], self.atoms[:a], None]
        s, slope = _switch(mu + size * (1 - mu * mu))
        return mu, s, slope * (1 - 2 * size * mu)

    def _separations(self, a: int) -> np.ndarray:
        """Of an atom and those before it: (a, 1)."""
        return self.cells.separations[self.atoms[a], self.atoms[:a], None]


def _switch(nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Becke's switch from 1 at -1 to 0 at +1, three times iterated, and its slope."""
    value, slope = nu, np.full_like(nu, -0.5)
    for _ in range(3):
        square = value * value
        slope *= 1.5 - 1.5 * square
        value = value * (1.5 - 0.5 * square)
    return 0.5 - 0.5 * value, slope
