"""Radial functions of one centre made orthonormal. Atomic units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
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


def orthonormal_transform(
    basis: Basis,
    numbers: Sequence[int] | np.ndarray,
    metric: str = "overlap",
    *,
    inverse: bool = False,
) -> scipy.sparse.csr_matrix:
    """The same for all functions of a structure, flat vectors on both sides: (size, size).

    Only functions of one atom are made orthonormal. The inverse takes coefficients of the basis to
    orthonormal ones.

    >>> basis = Basis.from_shells({"O": [(0, [2.0]), (0, [0.5]), (1, [1.0])]})
    >>> orthonormal_transform(basis, [8]).toarray().shape
    (5, 5)
    """
    own = {int(z): _of_atom(basis, int(z), metric, inverse) for z in set(map(int, numbers))}
    return scipy.sparse.block_diag([own[int(z)] for z in numbers], format="csr")


def _of_atom(basis: Basis, z: int, metric: str, inverse: bool) -> scipy.sparse.csr_matrix:
    blocks = []
    for l in range(basis.l_max + 1):
        if basis.radial_functions(z, l):
            radial = radial_transform(basis, z, l, metric)
            blocks.append(np.kron(np.linalg.inv(radial) if inverse else radial, np.eye(2 * l + 1)))
    return scipy.sparse.block_diag(blocks, format="csr")
