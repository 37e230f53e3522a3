"""Coefficients in the order of PySCF, and back.

Both orders run over atoms, l, n, m; only within l = 1 PySCF has (x, y, z) where we have
(y, z, x).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .basis import Basis


def pyscf_permutation(basis: Basis, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    """Index array p such that ``ours = pyscf[p]``: shape (size,).

    >>> basis = Basis.from_shells({"H": [(0, [1.0]), (1, [0.5])]})
    >>> pyscf_permutation(basis, [1]).tolist()
    [0, 2, 3, 1]
    """
    layout = basis.layout(numbers)
    shift = np.zeros(len(layout.l), dtype=int)
    # m = -1, 0, 1 (y, z, x) stand at positions 1, 2, 0 of (x, y, z)
    is_p = layout.l == 1
    shift[is_p] = np.array([1, 1, -2])[layout.m[is_p] + 1]
    return np.arange(len(shift)) + shift


def from_pyscf_order(
    basis: Basis, numbers: Sequence[int] | np.ndarray, vector: np.ndarray
) -> np.ndarray:
    """A vector (or the first axis of an array) in PySCF's order, brought into ours."""
    return np.asarray(vector)[pyscf_permutation(basis, numbers)]


def to_pyscf_order(
    basis: Basis, numbers: Sequence[int] | np.ndarray, vector: np.ndarray
) -> np.ndarray:
    """The inverse of :func:`from_pyscf_order`."""
    vector = np.asarray(vector)
    result = np.empty_like(vector)
    result[pyscf_permutation(basis, numbers)] = vector
    return result
