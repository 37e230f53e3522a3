"""A radial function from values on the spherical grid about its atom. Atomic units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase import units

from ...basis import NumericalShell, solid_harmonics

#: Radii of one shell of the grid differ by less than this, relative and in bohr.
_SAME_RADIUS = 1e-5

#: Points of a shell of the grid, at least; those of other atoms' grids have radii of their own.
_FEWEST = 6

#: A function starts where it is this part of its largest value.
_START = 1e-6

#: And it ends where it is a part of it between these, depending on noise.
_END = (1e-10, 1e-6)


@dataclass(frozen=True)
class RadialValues:
    """Values of R(r) on the shells of a grid.

    Attributes
    ----------
    r
        Ascending, bohr: shape (n,).
    values
        Shape (n,).
    residual
        What is not R(r) Y_l0 of the values that they come from, relative to these.
    """

    r: np.ndarray
    values: np.ndarray
    residual: float


def length_unit(points: np.ndarray, positions: np.ndarray) -> float:
    """Unit of the coordinates of a grid in bohr: 1, or that of Angstrom.

    Parameters
    ----------
    points
        Shape (n, 3), in the unknown unit.
    positions
        Of two or more atoms far from each other, bohr: around each there are points.

    Raises
    ------
    ValueError
        With neither unit there are points around all atoms.
    """
    found = {}
    for unit in (1.0, 1 / units.Bohr):
        nearest = [np.linalg.norm(points * unit - p, axis=1).min() for p in positions]
        found[unit] = max(nearest)
    best = min(found, key=found.__getitem__)
    if found[best] > 0.5:
        raise ValueError(
            "the points of the grid are around the atoms neither in bohr nor in Angstrom: are "
            "grid and structure of one run?"
        )
    return best


def read_off(
    points: np.ndarray, values: np.ndarray, atom: int, positions: np.ndarray, l: int
) -> RadialValues:
    """R(r) of a function R(r) Y_l0 on one atom.

    Parameters
    ----------
    points, values
        Shapes (n, 3) in bohr, and (n,).
    atom
        The atom.
    positions
        Of all atoms, bohr: shape (natoms, 3). Points nearer to others do not count.
    l
        Angular momentum.
    """
    vectors = points - positions[atom]
    r = np.linalg.norm(vectors, axis=1)
    others = np.delete(positions, atom, axis=0)
    # half way to the nearest other atom there are no points nearer to it
    limit = np.linalg.norm(others - positions[atom], axis=1).min(initial=np.inf) / 2
    inside = np.flatnonzero((r > 0) & (r < limit))
    inside = inside[np.argsort(r[inside], kind="stable")]
    vectors, r, values = vectors[inside], r[inside], values[inside]
    harmonics = solid_harmonics(torch.from_numpy(vectors / r[:, None]), l).numpy()[:, l * l + l]
    gaps = np.diff(r) > _SAME_RADIUS * np.maximum(r[1:], _SAME_RADIUS)
    shell = np.concatenate([[0], np.cumsum(gaps)])
    count = np.bincount(shell)
    weight = np.bincount(shell, harmonics**2)
    used = (count >= _FEWEST) & (weight > 1e-6 * count)
    with np.errstate(invalid="ignore", divide="ignore"):
        radial = np.bincount(shell, harmonics * values) / weight
        radii = np.bincount(shell, r) / count
    rest = np.where(used[shell], values - np.where(used, radial, 0.0)[shell] * harmonics, 0.0)
    norm = np.linalg.norm(np.where(used[shell], values, 0.0))
    return RadialValues(
        radii[used], radial[used], float(np.linalg.norm(rest) / norm) if norm > 0 else np.inf
    )


def tabulated_function(l: int, found: RadialValues) -> NumericalShell:
    """The table of a function.

    Far out, where it is no more than noise, it ends; and where r^l makes it as small near the
    nucleus, it starts.

    Raises
    ------
    ValueError
        The function has not ended where the grid ends.
    """
    r, values = found.r, found.values
    part = np.abs(values) / np.abs(values).max()
    first = int(np.argmax(part > _START))
    last = int(np.flatnonzero(part > np.clip(10 * found.residual, *_END))[-1])
    if last + 1 >= len(r):
        raise ValueError(
            f"a function of l = {l} is {values[-1]:.2g} at {r[-1]:.3g} bohr, where the grid ends: "
            "give more separate atoms"
        )
    table = np.append(values[first : last + 1], 0.0)
    return NumericalShell(l, tuple(r[first : last + 2].tolist()), tuple(table.tolist()))
