"""Which atoms are bonded, judged by distances alone, and whether that changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from vesin import NeighborList

#: Distances in units of the sum of covalent radii. Below the first, atoms of the first
#: structure are bonded; a bond is broken above the second, and there is a new one below the
#: third. In between is what a hot bond or a short hydrogen bond may do.
BONDED, BROKEN, FORMED = 1.3, 1.6, 1.1

_SHORTEST_CUTOFF = 1.0  # Angstrom


@dataclass(frozen=True)
class Pairs:
    """Neighbouring atoms; each pair is there in both directions.

    Attributes
    ----------
    i, j
        Atoms, (n,).
    shifts
        Cell of ``j`` relative to that of ``i``, (n, 3).
    ratios
        Distance over the sum of covalent radii, (n,).
    """

    i: np.ndarray
    j: np.ndarray
    shifts: np.ndarray
    ratios: np.ndarray

    def keys(self) -> set[tuple[int, ...]]:
        """Atoms and shift of each pair."""
        table = np.column_stack([self.i, self.j, self.shifts]).astype(int)
        return set(map(tuple, table.tolist()))


def close_pairs(atoms: Atoms, ratio: float) -> Pairs:
    """Pairs of atoms nearer than ``ratio`` times the sum of their covalent radii."""
    radii = covalent_radii[atoms.numbers]
    # vesin refuses short cut-offs
    cutoff = max(2 * ratio * float(radii.max()), _SHORTEST_CUTOFF)
    neighbors = NeighborList(cutoff=cutoff, full_list=True)
    i, j, shifts, distances = neighbors.compute(
        atoms.positions, atoms.cell.array, atoms.pbc, "ijSd"
    )
    ratios = distances / (radii[i] + radii[j])
    near = ratios < ratio
    return Pairs(i[near], j[near], shifts[near], ratios[near])


class BondGraph:
    """The bonds of a structure, to compare later ones of the same atoms with.

    Atoms must not be wrapped in between.

    >>> from ase.build import molecule
    >>> water = molecule("H2O")
    >>> graph = BondGraph(water)
    >>> graph.change(water)
    >>> water.positions[1] *= 3
    >>> graph.change(water)
    'the bond O0-H1 broke (2.77 Angstrom)'
    """

    def __init__(self, atoms: Atoms) -> None:
        self._pairs = close_pairs(atoms, BONDED)
        self._keys = self._pairs.keys()

    def change(self, atoms: Atoms) -> str | None:
        """In words, a bond that broke or formed; None if there is none.

        Parameters
        ----------
        atoms
            The same atoms, at other (finite) places.
        """
        return self._broken(atoms) or self._formed(atoms)

    def _broken(self, atoms: Atoms) -> str | None:
        i, j, shifts = self._pairs.i, self._pairs.j, self._pairs.shifts
        vectors = atoms.positions[j] + shifts @ atoms.cell.array - atoms.positions[i]
        distances = np.linalg.norm(vectors, axis=1)
        radii = covalent_radii[atoms.numbers]
        ratios = distances / (radii[i] + radii[j])
        if not (ratios > BROKEN).any():
            return None
        worst = int(ratios.argmax())
        first, second = sorted((int(i[worst]), int(j[worst])))
        return f"the bond {_bond(atoms, first, second)} broke ({distances[worst]:.2f} Angstrom)"

    def _formed(self, atoms: Atoms) -> str | None:
        new = close_pairs(atoms, FORMED).keys() - self._keys
        if not new:
            return None
        return f"the bond {_bond(atoms, *min(new)[:2])} formed"


def _bond(atoms: Atoms, i: int, j: int) -> str:
    return f"{atoms.symbols[i]}{i}-{atoms.symbols[j]}{j}"
