"""Atom-centred quadrature for molecules, in atomic units.

Radial and angular rules around every atom, joined by Becke's fuzzy cells
(A. D. Becke, J. Chem. Phys. 88, 2547 (1988)); radii as in O. Treutler and R. Ahlrichs,
J. Chem. Phys. 102, 346 (1995).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from ase import units
from ase.data import covalent_radii
from scipy.integrate import lebedev_rule

#: Radial points and degree of the Lebedev rule for each quality level.
LEVELS = {0: (30, 11), 1: (40, 15), 2: (50, 19), 3: (60, 25), 4: (75, 31), 5: (100, 41)}

#: Atoms further away than this (bohr) do not cut into an atom's cell.
_CELL_REACH = 20.0


def molecular_quadrature(
    numbers: np.ndarray, positions: np.ndarray, level: int = 3
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Points and weights of a molecule, one atom at a time.

    Parameters
    ----------
    numbers, positions
        Atomic numbers, and positions in bohr.
    level
        0 (coarse) to 5 (fine). Level 3 integrates a density to about 1e-4 electrons an
        atom, and the absolute value of a density difference to about 1 %.

    Yields
    ------
    points, weights
        (n, 3) in bohr and (n,) in bohr^3; the sum over atoms of weights times values is
        the integral.
    """
    for atom in range(len(numbers)):
        points, weights = atomic_quadrature(int(numbers[atom]), level)
        points = points + positions[atom]
        yield points, weights * becke_weights(points, atom, numbers, positions)


@lru_cache(maxsize=128)
def atomic_quadrature(z: int, level: int) -> tuple[np.ndarray, np.ndarray]:
    """Points about the origin and weights for one free atom: shapes (n, 3) and (n,)."""
    check_level(level)
    n_radial, degree = LEVELS[level]
    r, radial_weights = _radial_rule(n_radial, _radius(z))
    directions, angular_weights = lebedev_rule(degree)
    points = (r[:, None, None] * directions.T[None]).reshape(-1, 3)
    weights = (radial_weights[:, None] * angular_weights[None]).ravel()
    points.setflags(write=False)
    weights.setflags(write=False)
    return points, weights


def check_level(level: int) -> None:
    """Raise a ValueError unless there is such a quality level."""
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}: give 0 (coarse) to {max(LEVELS)} (fine)")


def becke_weights(
    points: np.ndarray, atom: int, numbers: np.ndarray, positions: np.ndarray
) -> np.ndarray:
    """Share of one atom in the space around it: shape (n,), between 0 and 1."""
    near = np.linalg.norm(positions - positions[atom], axis=1) < _CELL_REACH
    index = int(np.flatnonzero(np.flatnonzero(near) == atom)[0])
    positions, numbers = positions[near], numbers[near]
    n = len(positions)
    if n == 1:
        return np.ones(len(points))
    distances = np.linalg.norm(points[None] - positions[:, None], axis=2)  # [atom, point]
    separation = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    sizes = np.sqrt([_radius(int(z)) for z in numbers])
    cells = np.ones((n, len(points)))
    for i in range(n):
        for j in range(i):
            mu = (distances[i] - distances[j]) / separation[i, j]
            mu = mu + _size_adjustment(sizes[i] / sizes[j]) * (1 - mu * mu)
            for _ in range(3):
                mu = 1.5 * mu - 0.5 * mu**3
            cells[i] *= 0.5 * (1 - mu)
            cells[j] *= 0.5 * (1 + mu)
    return cells[index] / cells.sum(axis=0)


def _radial_rule(n: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Treutler-Ahlrichs M4 map of the Chebyshev rule; weights contain r^2 and 4 pi."""
    angle = np.arange(1, n + 1) * np.pi / (n + 1)
    x = np.cos(angle)
    exponent = 0.6
    factor = scale / np.log(2) * (1 + x) ** exponent
    r = factor * np.log(2 / (1 - x))
    slope = factor / (1 - x) + exponent * r / (1 + x)
    weights = np.pi / (n + 1) * np.sin(angle) * slope * r * r
    return r, weights


def _radius(z: int) -> float:
    return float(covalent_radii[z] / units.Bohr)


def _size_adjustment(ratio: float) -> float:
    u = (ratio - 1) / (ratio + 1)
    return float(np.clip(u / (u * u - 1), -0.5, 0.5))
