"""The network inside a model file, to train it further."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from ...basis import Basis
from ..network import DensityNetwork, NetworkOptions
from ..network.build import build_network
from .export import NETWORK_KEY
from .load import DensityModel, ModelFileError, load_model


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its weights.

    Attributes
    ----------
    network
        In double precision.
    options
        Its architecture.
    basis
        The auxiliary basis of its output.
    """

    network: DensityNetwork
    options: NetworkOptions
    basis: Basis


def load_network(path: str | os.PathLike[str]) -> TrainedNetwork:
    """Take the network out of a model file of this package.

    Needs featomic (``pip install 'ase-rholearn[train]'``).

    Raises
    ------
    ModelFileError
        The file is no model of this package, or it does not hold its architecture.
    """
    return trained_network(load_model(path, "cpu", "float64"))


def trained_network(model: DensityModel) -> TrainedNetwork:
    """The same of a model that is loaded."""
    extra = model.metadata
    if NETWORK_KEY not in extra:
        raise ModelFileError(
            f"{model.path} does not say which architecture its network has, as files of older "
            "versions: export the run again"
        )
    options = NetworkOptions.from_dict(json.loads(extra[NETWORK_KEY]))
    network = build_network(options, model.basis)
    # radial tables come as new; those in the file may be of single precision
    state = model.state()
    weights = {name: state[f"network.{name}"] for name, _ in network.named_parameters()}
    network.load_state_dict(weights, strict=False)
    return TrainedNetwork(network, options, model.basis)
