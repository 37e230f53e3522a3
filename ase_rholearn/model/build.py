"""New models: a network that fits a basis."""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular

from ..basis import Basis
from .network import DensityNetwork, NetworkOptions
from .radial import tabulate


def build_network(
    options: NetworkOptions, basis: Basis, *, metric: str = "overlap"
) -> DensityNetwork:
    """An untrained network (all weights zero) for the species and functions of a basis.

    Parameters
    ----------
    options
        Architecture.
    basis
        Its radial functions are orthonormalised per species and l in ``metric``; the network
        predicts coefficients of the orthonormal ones and transforms them at the end.
    metric
        ``"overlap"`` or ``"coulomb"``.
    """
    table, own = tabulate(options.density)
    transforms = [
        [torch.from_numpy(radial_transform(basis, z, l, metric)) for l in range(basis.l_max + 1)]
        for z in basis.species
    ]
    return DensityNetwork(options, transforms, table, own)


def radial_transform(basis: Basis, z: int, l: int, metric: str) -> np.ndarray:
    """T with c = T c_orthonormal for the radial functions of one species and l: (n, n).

    With the Gram matrix M = L L^T of the radial functions T is the inverse of L^T.
    """
    if not basis.radial_functions(z, l):
        return np.zeros((0, 0))
    lower = cholesky(basis.radial_metric(z, l, metric), lower=True)
    return solve_triangular(lower, np.eye(len(lower)), lower=True).T.copy()
