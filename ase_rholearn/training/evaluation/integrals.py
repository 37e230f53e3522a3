r"""Integrals of density differences over structures and their atoms. Atomic units inside.

An atom's part of an error is its stockholder share,

.. math:: e_A = \int w_A |\Delta\rho|, \quad w_A = \rho_A / \sum_B \rho_B

with the free atoms of the basis (F. L. Hirshfeld, Theor. Chim. Acta 44, 129 (1977)): the parts
of all atoms add up to the integral of the absolute difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units

from ...basis import Basis
from ...density import Density
from ...density.charges.stockholders import FreeAtomTable, Shares, stockholder_blocks
from ...density.difference import DensityDifference
from ...density.evaluation.points import Images
from ...density.evaluation.quadrature import molecular_quadrature

#: Named differences (n,) in e/bohr^3 at points (n, 3) in bohr.
Differences = Callable[[np.ndarray], dict[str, np.ndarray]]

#: Weights (bohr^3) below which points are left out.
_NO_WEIGHT = 1e-14


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
    """

    absolute: dict[str, float]
    squared: dict[str, float]
    atoms: np.ndarray | None


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
    divide = _Stockholders(atoms, basis) if basis.atomic_densities else None
    absolute: dict[str, float] = {}
    squared: dict[str, float] = {}
    for points, weights in _molecule(atoms, level):
        values = differences(points)
        for name, value in values.items():
            absolute[name] = absolute.get(name, 0.0) + float(weights @ np.abs(value))
            squared[name] = squared.get(name, 0.0) + float(weights @ value**2)
        if divide:
            divide.add(points, weights * np.abs(values[divided]))
    return Integrals(absolute, squared, divide.parts if divide else None)


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
        _add(parts, block.shares, block.weights * np.abs(values))
    return parts


class _Stockholders:
    """Sums of what is divided among the atoms of a molecule."""

    def __init__(self, atoms: Atoms, basis: Basis) -> None:
        species = set(atoms.numbers.tolist())
        tables = {z: FreeAtomTable.of(basis.atomic_densities[z]) for z in species}
        self._free = [tables[int(z)] for z in atoms.numbers]
        self._positions = atoms.positions / units.Bohr
        self.parts = np.zeros(len(atoms))

    def add(self, points: np.ndarray, amounts: np.ndarray) -> None:
        """Divide amounts (n,) at points (n, 3)."""
        radii = [one.reach for one in self._free]
        images = Images.near(self._positions, radii, points, np.eye(3), np.zeros(3, dtype=bool))
        _add(self.parts, Shares.of(images, self._free, points), amounts)


def _molecule(atoms: Atoms, level: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    positions = atoms.positions / units.Bohr
    for points, weights in molecular_quadrature(atoms.numbers, positions, level):
        used = weights > _NO_WEIGHT
        yield points[used], weights[used]


def _add(parts: np.ndarray, shares: Shares, amounts: np.ndarray) -> None:
    for atom, _, _, near, share in shares.atoms:
        parts[atom] += float(amounts[near] @ share)
