"""Points of the Brillouin zone, without those that time reversal gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import kpts2ndarray

#: Scaled coordinates that are the same.
_SAME = 1e-9

#: Three numbers of points, points themselves, or what ASE takes as ``kpts``.
KPoints = Sequence[int] | Mapping[str, Any] | np.ndarray


def sampled(kpts: KPoints, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Scaled k-points (nk, 3) and their weights (nk,), whose sum is 1.

    Three integers are a mesh about Gamma. Of k and -k, which have the same energies, one is left.

    >>> from ase.build import bulk
    >>> points, weights = sampled((2, 2, 2), bulk("Si"))
    >>> len(points), float(weights.sum())
    (8, 1.0)
    >>> len(sampled((3, 3, 3), bulk("Si"))[0])
    14
    """
    given: Any = kpts
    if not isinstance(given, Mapping) and np.shape(given) == (3,):
        given = {"size": [int(n) for n in given], "gamma": True}
        if min(given["size"]) < 1 or not np.array_equal(given["size"], np.asarray(kpts)):
            raise ValueError(f"kpts is {kpts!r}: give three positive numbers of points")
    points = np.asarray(kpts2ndarray(given, atoms), dtype=float)
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise ValueError(f"kpts has the shape {points.shape}: give scaled points (n, 3)")
    kept: list[np.ndarray] = []
    counts: list[int] = []
    for point in points:
        for index, other in enumerate(kept):
            if any(_same(sign * point, other) for sign in (1, -1)):
                counts[index] += 1
                break
        else:
            kept.append(point)
            counts.append(1)
    return np.array(kept), np.array(counts) / len(points)


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two scaled points differ by a reciprocal vector."""
    difference = first - second
    return bool(np.abs(difference - np.round(difference)).max() < _SAME)
