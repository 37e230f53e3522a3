"""Which periodic images a grid needs, whatever its frame is. Atomic units.

An axis of a frame whose edge is a period of the structure is folded: points at both ends are
the same, and the sum over images along it belongs to the evaluation. All other images within
reach of the frame become atoms of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from .terms import AtomTerms, TermClass

#: What an edge may differ from a period, in units of the longest edge.
_SAME = 1e-12

#: Of the images that differ by periods of the frame the one in [-_CUT, 1 - _CUT) is taken; the
#: number is no fraction that a supercell could have.
_CUT = 3.7e-7


def folded_axes(cell: np.ndarray, lattice: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Axes of a frame whose edges are periods, one or several, of the structure: (3,) bool.

    Parameters
    ----------
    cell
        Edges of the frame: (3, 3) bohr.
    lattice, pbc
        Periods of the structure: (3, 3) bohr, and which of them are periodic.

    Examples
    --------
    >>> folded_axes(np.diag([2.0, 3.0, 1.0]), np.eye(3), np.array([True, True, False])).tolist()
    [True, True, False]
    """
    if not pbc.any():
        return np.zeros(3, dtype=bool)
    periods = lattice[pbc]
    nearest = np.round(cell @ np.linalg.pinv(periods)) @ periods
    slack = _SAME * np.linalg.norm(cell, axis=1).max()
    return np.asarray(np.abs(nearest - cell).max(axis=1) <= slack)


@dataclass(frozen=True)
class PlacedClass:
    """Terms around an atom and around those of its images that are not folded.

    Attributes
    ----------
    terms
        One class of the atom.
    centres
        Shape (n_images, 3), bohr.
    """

    terms: TermClass
    centres: np.ndarray


def placed_classes(
    terms: Sequence[AtomTerms],
    origin: np.ndarray,
    cell: np.ndarray,
    shape: Sequence[int],
    lattice: np.ndarray,
    pbc: np.ndarray,
) -> list[list[PlacedClass]]:
    """What reaches into a frame, by atoms; of images that its folded axes add up, one.

    Parameters
    ----------
    terms
        Of every atom of the structure.
    origin, cell, shape
        The frame, in bohr, and its number of points.
    lattice, pbc
        As for :func:`folded_axes`.
    """
    terms = [atom for atom in terms if atom.classes]
    if not terms:
        return []
    folded = folded_axes(cell, lattice, pbc)
    # components along the edges of the frame, in which it goes from 0 to 1
    inverse = np.linalg.inv(cell)
    lengths = np.linalg.norm(inverse, axis=0)
    centres = (np.array([atom.centre for atom in terms]) - origin) @ inverse
    reach = max(atom.classes[0].radius for atom in terms)
    # averages over voxels reach half a voxel further
    margins = reach * lengths + 1 / np.array(shape)
    periods = lattice[pbc] @ inverse
    low = np.where(folded, -_CUT, (-margins - centres).min(axis=0))
    high = np.where(folded, 1 - _CUT, (1 + margins - centres).max(axis=0))
    shifts = _combinations(periods, low, high) @ periods
    inside = (shifts >= -_CUT) & (shifts < 1 - _CUT)
    shifts = shifts[inside[:, folded].all(axis=1)]
    vectors = shifts @ cell
    placed = []
    for atom, centre in zip(terms, centres, strict=True):
        # distance from the planes that bound the frame, bohr
        outside = (np.abs(centre + shifts - 0.5) - 0.5 - 1 / np.array(shape)) / lengths
        distance = outside[:, ~folded].max(axis=1, initial=0.0)
        placed.append(
            [
                PlacedClass(one, atom.centre + vectors[distance <= one.radius])
                for one in atom.classes
                if distance.min() <= one.radius
            ]
        )
    return placed


def _combinations(periods: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integers n, shape (n_found, n_periods), among them all with low <= n @ periods <= high."""
    inverse = np.linalg.pinv(periods)
    middle = (low + high) / 2 @ inverse
    half = (high - low) / 2 @ np.abs(inverse) + 1e-9
    ranges = [
        range(int(np.ceil(m - h)), int(np.floor(m + h)) + 1)
        for m, h in zip(middle, half, strict=True)
    ]
    found = list(product(*ranges))
    return np.array(found, dtype=float).reshape(len(found), len(periods))
