"""Which atoms are bonded, judged by distances alone, and what molecules they form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from vesin import NeighborList

#: Atoms nearer than this many times the sum of their covalent radii are bonded.
BONDED = 1.3

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


@dataclass(frozen=True)
class Molecules:
    """The molecules of a structure, each of them whole.

    Attributes
    ----------
    labels
        Number of each atom's molecule, counted in the order of their first atoms: (natoms,).
    positions
        Of the atoms, moved by periods so that no bond of a molecule crosses the cell's
        border: (natoms, 3) Angstrom. The first atom of each molecule stays.
    """

    labels: np.ndarray
    positions: np.ndarray

    def __len__(self) -> int:
        return int(self.labels.max()) + 1


def molecules(atoms: Atoms) -> Molecules:
    """Atoms that bonds connect.

    Raises
    ------
    ValueError
        Bonds go on through the periods without end, as in a crystal of salt or a polymer.

    Examples
    --------
    >>> from ase.build import molecule
    >>> two = molecule("H2O", cell=[8, 8, 8], pbc=True) + molecule("H2O")
    >>> two.positions[3:] += 4
    >>> two.wrap()  # takes some atoms to the other side
    >>> found = molecules(two)
    >>> found.labels
    array([0, 0, 0, 1, 1, 1])
    >>> bool(abs(found.positions[0] - found.positions[1]).max() < 1)
    True
    """
    bonds = close_pairs(atoms, BONDED)
    natoms = len(atoms)
    ones = np.ones(len(bonds.i), dtype=int)
    graph = coo_matrix((ones, (bonds.i, bonds.j)), shape=(natoms, natoms)).tocsr()
    labels = _in_order(connected_components(graph, directed=False)[1])
    shifts = _shifts(bonds, graph, labels)
    # every bond, not only those that were followed, has to be inside the molecule
    if (shifts[bonds.i] + bonds.shifts != shifts[bonds.j]).any():
        raise ValueError(
            "the bonds of the structure go on through its periods without end, so that it has no "
            "molecules: molecular dipoles are for liquids and crystals of molecules"
        )
    return Molecules(labels, atoms.positions + shifts @ atoms.cell.array)


def _in_order(labels: np.ndarray) -> np.ndarray:
    """Labels counted from 0 in the order in which they appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _shifts(bonds: Pairs, graph: coo_matrix, labels: np.ndarray) -> np.ndarray:
    """Periods by which to move each atom to where bonds lead from its molecule's first atom."""
    step = dict(
        zip(zip(bonds.i.tolist(), bonds.j.tolist(), strict=True), bonds.shifts, strict=True)
    )
    shifts = np.zeros((len(labels), 3), dtype=int)
    for first in np.unique(labels, return_index=True)[1]:
        order, before = breadth_first_order(graph, first, directed=False)
        for atom in order[1:].tolist():
            shifts[atom] = shifts[before[atom]] + step[int(before[atom]), atom]
    return shifts
