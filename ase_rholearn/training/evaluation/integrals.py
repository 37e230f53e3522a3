r"""Integrals of density differences over structures and their atoms. Atomic units inside.

An atom's part of an error is its stockholder share,

.. math:: e_A = \int w_A |\Delta\rho|, \quad w_A = \rho_A / \sum_B \rho_B

with the free atoms of the basis (F. L. Hirshfeld, Theor. Chim. Acta 44, 129 (1977)): the parts
of all atoms add up to the integral of the absolute difference. Its multipoles about the nucleus,

.. math:: q_{Al} = \sum_m \int_0^\infty
    \left| \int w_A \Delta\rho \, Y_{lm} \, d\Omega \right|^2 r^2 dr,

are what the atom and l carry of the squared error: positive, and with all l together
:math:`\int (w_A \Delta\rho)^2`. Unlike errors of coefficients they do not depend on how
overlapping functions of neighbours share a density.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms, units

from ...basis import Basis, solid_harmonics
from ...density import Density
from ...density.charges.stockholders import FreeAtomTable, Shares, stockholder_blocks
from ...density.difference import DensityDifference
from ...density.evaluation.points import Images
from ...density.evaluation.quadrature import (
    LEVELS,
    atomic_quadrature,
    molecular_quadrature,
)

#: Named differences (n,) in e/bohr^3 at points (n, 3) in bohr.
Differences = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Integrals:
    """Integrals of differences.

    Attributes
    ----------
    absolute
        Of the absolute value of each, e.
    squared
        Of the square of each, e^2/bohr^3.
    atoms
        Stockholder parts of one of the absolute differences: (n_atoms,) e. None if the basis
        has no free atoms.
    multipoles
        Squares of the same difference by atom and l = 0 .. l_max, and in the last column of
        all higher l: (n_atoms, l_max + 2) e^2/bohr^3.
    """

    absolute: dict[str, float]
    squared: dict[str, float]
    atoms: np.ndarray | None
    multipoles: np.ndarray | None


def integrate(
    differences: Differences, atoms: Atoms, level: int, basis: Basis, divided: str
) -> Integrals:
    """Integrals over a molecule.

    Parameters
    ----------
    differences
        Called with the points around one atom after the other.
    atoms
        A molecule.
    level
        Quality of the quadrature, 0 to 5.
    basis
        Whose free atoms divide the difference of the name ``divided`` among the atoms.
    """
    divide = _Stockholders(atoms, basis, level) if basis.atomic_densities else None
    absolute: dict[str, float] = {}
    squared: dict[str, float] = {}
    quadrature = molecular_quadrature(atoms.numbers, atoms.positions / units.Bohr, level)
    for atom, (points, weights) in enumerate(quadrature):
        values = differences(points)
        for name, value in values.items():
            absolute[name] = absolute.get(name, 0.0) + float(weights @ np.abs(value))
            squared[name] = squared.get(name, 0.0) + float(weights @ value**2)
        if divide:
            divide.add(atom, points, weights, values[divided])
    if divide is None:
        return Integrals(absolute, squared, None, None)
    return Integrals(absolute, squared, divide.parts, divide.multipoles)


def crystal_atom_errors(rho: Density, difference: DensityDifference, level: int) -> np.ndarray:
    """Stockholder parts of an absolute difference in a crystal: (n_atoms,) e.

    Parameters
    ----------
    rho
        Its structure and free atoms define the quadrature.
    difference
        Of which to integrate the absolute value.
    level
        Quality of the quadrature, 0 to 5.
    """
    parts = np.zeros(len(rho.atoms))
    for block in stockholder_blocks(rho, level):
        values = difference.evaluate(block.points * units.Bohr) * units.Bohr**3
        parts += block.shares.divide(block.weights * np.abs(values), len(parts))
    return parts


class _Stockholders:
    """What is divided among the atoms of a molecule, as the integration goes on."""

    def __init__(self, atoms: Atoms, basis: Basis, level: int) -> None:
        species = set(atoms.numbers.tolist())
        tables = {z: FreeAtomTable.of(basis.atomic_densities[z]) for z in species}
        self._numbers, self._level, self._l_max = atoms.numbers, level, basis.l_max
        self._free = [tables[int(z)] for z in atoms.numbers]
        self._positions = atoms.positions / units.Bohr
        self.parts = np.zeros(len(atoms))
        self.multipoles = np.zeros((len(atoms), basis.l_max + 2))

    def add(self, centre: int, points: np.ndarray, weights: np.ndarray, values: np.ndarray) -> None:
        """Take account of the points (n, 3) about one atom."""
        radii = [one.reach for one in self._free]
        images = Images.near(self._positions, radii, points, np.eye(3), np.zeros(3, dtype=bool))
        shares = Shares.of(images, self._free, points)
        self.parts += shares.divide(weights * np.abs(values), len(self.parts))
        own = np.zeros(len(points))
        for atom, _, _, near, share in shares.atoms:
            if atom == centre:
                own[near] = share * values[near]
        self.multipoles[centre] = self._multipoles(int(self._numbers[centre]), own)

    def _multipoles(self, z: int, values: np.ndarray) -> np.ndarray:
        """Squares by l of values on the spherical grid about an atom: (l_max + 2,)."""
        points, weights = atomic_quadrature(z, self._level)
        n_radial, _ = LEVELS[self._level]
        grid = weights.reshape(n_radial, -1)
        directions = points.reshape(n_radial, -1, 3)[-1]
        directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        harmonics = solid_harmonics(torch.from_numpy(directions), self._l_max).numpy()
        angular = 4 * np.pi * grid[-1] / grid[-1].sum()
        radial = grid.sum(axis=1) / (4 * np.pi)
        components = values.reshape(n_radial, -1) @ (angular[:, None] * harmonics)
        squares = radial @ components**2
        by_l = [squares[l * l : (l + 1) ** 2].sum() for l in range(self._l_max + 1)]
        return np.array([*by_l, weights @ values**2 - squares.sum()])
