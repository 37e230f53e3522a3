"""New models: a network that fits a basis."""

from __future__ import annotations

import torch

from ...basis import Basis, radial_transform
from .network import DensityNetwork
from .options import NetworkOptions
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
