"""Whether bonds broke or formed, judged by distances alone."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from ...bonds import BONDED, close_pairs

#: Distances in units of the sum of covalent radii, beside ``BONDED`` of the first structure: a
#: bond is broken above the first, and there is a new one below the second. In between is what
#: a hot bond or a short hydrogen bond may do.
BROKEN, FORMED = 1.6, 1.1


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
