"""Radial functions of one centre made orthonormal. Atomic units."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from .basis import Basis


def radial_transform(basis: Basis, z: int, l: int, metric: str) -> np.ndarray:
    """T with c = T c_orthonormal for the radial functions of one species and l: (n, n).

    With the Gram matrix M = L L^T of the radial functions T is the inverse of L^T.
    """
    if not basis.radial_functions(z, l):
        return np.zeros((0, 0))
    lower = cholesky(basis.radial_metric(z, l, metric), lower=True)
    return solve_triangular(lower, np.eye(len(lower)), lower=True).T.copy()
