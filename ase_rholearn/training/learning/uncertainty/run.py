"""The uncertainty of a run's network, found once and kept in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ....files import temporary_sibling
from ....model.network import DensityNetwork
from ....model.uncertainty import Uncertainty
from ...data import DataSet, read_split
from .rigidity import fit_uncertainty

if TYPE_CHECKING:
    from ...options import TrainOptions


def run_uncertainty(
    options: TrainOptions, dataset: DataSet, network: DensityNetwork
) -> Uncertainty | None:
    """What the network of a run that has ended knows about its errors.

    Parameters
    ----------
    options, dataset
        Of the run.
    network
        Its trained network.

    Returns
    -------
    Uncertainty or None
        None if the options leave it out, or if there is nothing to find it from: no validation
        part, no tensors in the network, or no atomic densities in the basis.
    """
    split = read_split(options.output / "split.json", dataset.ids)
    enough = split["validation"] and network.options.tensors and dataset.basis.atomic_densities
    if not (options.uncertainty.predict and enough):
        return None
    path = options.output / "uncertainty.pt"
    key = options.uncertainty.model_dump()
    weights = options.output / "network.pt"
    if path.exists() and path.stat().st_mtime >= weights.stat().st_mtime:
        kept_key, kept = torch.load(path, weights_only=False)
        if kept_key == key:
            uncertainty: Uncertainty = kept
            return uncertainty
    found = fit_uncertainty(
        network,
        dataset.basis,
        [dataset.load(name).atoms for name in split["training"]],
        [dataset.load(name) for name in split["validation"]],
        options.uncertainty.rigidity(),
    )
    with temporary_sibling(path) as temporary:
        torch.save((key, found), temporary)
    return found
