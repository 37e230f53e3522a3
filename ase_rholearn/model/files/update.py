"""A model file with the code of this version: files run what the version that wrote them had."""

from __future__ import annotations

import os

import torch

from ..energy import EnergyHead, EnergyOptions
from ..network import DensityNetwork, readouts_of, species_of
from ..repulsion import NuclearRepulsion
from ..uncertainty import Uncertainty
from ..uncertainty.rigidity import Rigidity
from ..uncertainty.surroundings import Surroundings
from ..uncertainty.uncertainty import CoefficientVariance, SpeciesUncertainty
from .export import export_model
from .load import load_model
from .trained import trained_network

State = dict[str, torch.Tensor]


def update_model(path: str | os.PathLike[str], output: str | os.PathLike[str]) -> None:
    """Write a model again: the same weights, numbers and card, with the code of this version.

    Needs featomic (``pip install 'ase-rholearn[train]'``).

    Parameters
    ----------
    path
        A file of this package, or the name of a shipped model.
    output
        The new file; it may be the old one.

    Raises
    ------
    ModelFileError
        The file is no model of this package, or it does not hold its architecture.
    """
    model = load_model(path, "cpu")
    network = trained_network(model).network
    state = {name: value.to(_wide(value)) for name, value in model.state().items()}
    species = model.basis.species
    energy = _energy(network, species, _part(state, "energy"))
    uncertainty = _uncertainty(network, species, _part(state, "uncertainty"))
    export_model(
        network,
        model.basis,
        model.card,
        output,
        dtype=model.dtype,  # type: ignore[arg-type]
        energy=energy,
        uncertainty=uncertainty,
    )


def _wide(value: torch.Tensor) -> torch.dtype:
    return torch.float64 if value.is_floating_point() else value.dtype


def _part(state: State, name: str) -> State:
    """What one module of the model has, by its own names."""
    prefix = f"{name}."
    return {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}


def _energy(network: DensityNetwork, species: tuple[int, ...], state: State) -> EnergyHead | None:
    if not state:
        return None
    options = EnergyOptions(
        pairs=state["pairs"].shape[1],
        products=state["first"].shape[2],
        gates=state["phase"].shape[0],
    )
    onset = state.get("repulsion.onset")
    repulsion = None if onset is None else NuclearRepulsion(species, onset)
    head = EnergyHead(network.expansion, options, repulsion)
    head.load_state_dict(state)
    return head


def _uncertainty(
    network: DensityNetwork, species: tuple[int, ...], state: State
) -> Uncertainty | None:
    if not state:
        return None
    parts = []
    for k, one in enumerate(species_of(network)):
        own = _part(state, f"species.{k}")
        variances = [
            _variance(readout.n_tensors, _part(own, f"variances.{o3_lambda}"))
            for o3_lambda, readout in enumerate(readouts_of(one))
        ]
        parts.append(SpeciesUncertainty(variances, own["known"], own["terms"]))
    uncertainty = Uncertainty(Surroundings(species), parts, float(state["limit"]))
    uncertainty.load_state_dict(state)
    return uncertainty


def _variance(n_tensors: int, state: State) -> CoefficientVariance:
    """With the shapes of the file."""
    vectors, inverses = state["rigidity.vectors"], state["rigidity.inverses"]
    shape = (vectors.shape[0], n_tensors, inverses.shape[0])
    rigidity = Rigidity(vectors.reshape(shape), inverses, float(state["rigidity.rest"]))
    return CoefficientVariance(rigidity, state["offset"], state["slope"])
