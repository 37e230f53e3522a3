"""Balls, sticks and edges of cells: what pictures in space show of a structure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import natural_cutoffs, neighbor_list

from ..evaluation.points import completed_cell, wrap

#: Radii: of balls in covalent radii, of sticks in Angstrom.
BALL, STICK = 0.4, 0.1

#: Bonds are shorter than the sum of the covalent radii times this.
_BOND = 1.15

#: Atoms that are nearer to an end of the cell (Angstrom) are drawn at its other end too.
_AT_END = 0.05


@dataclass(frozen=True)
class Skeleton:
    """A structure as it is drawn: atoms of periodic ones are in the cell.

    Attributes
    ----------
    atom
        Index of the atom of each ball; atoms at an end of the cell have several: (n,).
    positions, numbers
        Of the balls: (n, 3) Angstrom, (n,).
    sticks
        From a ball to the middle of a bond, whose other half starts at another ball or, across
        the end of a cell, is not drawn: (m, 2, 3) Angstrom.
    stick_numbers
        Atomic number of the atom to which each stick belongs: (m,).
    edges
        Of the cell, empty for molecules: (k, 2, 3) Angstrom.
    """

    atom: np.ndarray
    positions: np.ndarray
    numbers: np.ndarray
    sticks: np.ndarray
    stick_numbers: np.ndarray
    edges: np.ndarray

    @property
    def radii(self) -> np.ndarray:
        """Of the balls: (n,) Angstrom."""
        return BALL * covalent_radii[self.numbers]

    @property
    def colours(self) -> np.ndarray:
        """Of the balls: (n, 3)."""
        return jmol_colors[self.numbers]


def skeleton(atoms: Atoms, low: np.ndarray, box: np.ndarray) -> Skeleton:
    """What to draw of a structure whose values lie in a box.

    Parameters
    ----------
    atoms
        The structure.
    low, box
        Where the box begins (3,), and its edges (3, 3): Angstrom. Along periodic directions
        it is the cell.
    """
    positions = wrap(atoms.positions, atoms.cell.array, atoms.pbc)
    inside = Atoms(atoms.numbers, positions, cell=atoms.cell, pbc=atoms.pbc)
    atom, shifts = _images_at_ends(inside)
    drawn = positions[atom] + shifts @ np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)
    sticks, owners = _sticks(inside, atom, drawn, shifts)
    return Skeleton(
        atom=atom,
        positions=drawn,
        numbers=atoms.numbers[atom],
        sticks=sticks,
        stick_numbers=atoms.numbers[atom[owners]],
        edges=box_edges(low, box) if atoms.pbc.any() else np.zeros((0, 2, 3)),
    )


def box_edges(low: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The twelve edges of a box: (12, 2, 3)."""
    edges = [
        (low + np.array(corner) @ box, low + np.array(corner) @ box + box[axis])
        for corner in product((0, 1), repeat=3)
        for axis in range(3)
        if corner[axis] == 0
    ]
    return np.array(edges)


def _images_at_ends(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Atoms of a cell, and their images at its other ends: indices (n,) and periods (n, 3)."""
    cell = completed_cell(atoms.cell.array, atoms.pbc)
    inverse = np.linalg.inv(cell)
    along = atoms.positions @ inverse
    near = _AT_END * np.linalg.norm(inverse, axis=0)  # as fractions of the cell
    other_end = np.where(along < near, 1, np.where(along > 1 - near, -1, 0)) * atoms.pbc
    chosen, shifts = [], []
    for corner in product((0, 1), repeat=3):
        shift = other_end * corner
        real = (shift != 0).sum(axis=1) == sum(corner)
        chosen.append(np.flatnonzero(real))
        shifts.append(shift[real])
    return np.concatenate(chosen), np.concatenate(shifts)


def _sticks(
    atoms: Atoms, atom: np.ndarray, positions: np.ndarray, shifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Halves of bonds (m, 2, 3), and the ball at which each begins (m,)."""
    first, second, vectors, periods = neighbor_list(
        "ijDS", atoms, natural_cutoffs(atoms, mult=_BOND)
    )
    images: dict[int, set[tuple[int, ...]]] = {}
    for index, shift in zip(atom.tolist(), shifts.tolist(), strict=True):
        images.setdefault(index, set()).add(tuple(shift))
    halves, owners = [], []
    for ball, (index, shift) in enumerate(zip(atom, shifts, strict=True)):
        for pair in np.flatnonzero(first == index):
            period, others = periods[pair], images[int(second[pair])]
            # a bond out of the cell is drawn, unless the same bond of an image is whole
            whole_elsewhere = any(tuple(period + other) in others for other in images[int(index)])
            leaves_cell = not shift.any() and not whole_elsewhere
            if tuple(shift + period) in others or leaves_cell:
                halves.append([positions[ball], positions[ball] + vectors[pair] / 2])
                owners.append(ball)
    return np.array(halves).reshape(-1, 2, 3), np.array(owners, dtype=int)
