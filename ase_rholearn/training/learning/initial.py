"""Weights of a trained model as the start of another run: fine-tuning, and new species."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from ase.data import chemical_symbols

from ...basis import Basis
from ...model import DensityNetwork, TrainedNetwork, build_network, load_network, shipped_models
from ...model.network import SpeciesNetwork, readouts_of, species_of
from .prepare import ORTHONORMAL_METRIC


def load_initial(path: Path) -> TrainedNetwork:
    """The network of a model file; where there is none of that path, of a shipped name."""
    return load_network(path if path.exists() else shipped_models().get(path.name, path))


def fine_tuned(initial: TrainedNetwork, basis: Basis) -> DensityNetwork:
    """A network for the species of a basis, with the weights of one that has fewer.

    The species that both have keep all they know; what their atoms make of neighbours of a new
    species is to be learned. New species have no weights.

    Parameters
    ----------
    initial
        The trained network.
    basis
        Of the new network. It has the species of the old one, with the same functions.

    Raises
    ------
    ValueError
        A species of the trained network is missing, or has other functions.
    """
    _check_basis(initial.basis, basis)
    network = build_network(initial.options, basis, metric=ORTHONORMAL_METRIC)
    old_species, n_radial = initial.basis.species, initial.options.density.max_radial
    places = [basis.species.index(z) for z in old_species]
    size = len(basis.species) * n_radial
    kept = [torch.arange(n_radial) + place * n_radial for place in places]
    added = initial.options.messages * n_radial + initial.options.products
    channels = torch.cat([*kept, torch.arange(size, size + added)])
    with torch.no_grad():
        for old, place in zip(species_of(initial.network), places, strict=True):
            _copy(old, species_of(network)[place], channels)
    return network


def freeze(network: DensityNetwork, parts: Sequence[str]) -> None:
    """Leave parts (gates, tensors, readouts) as they are in gradient training."""
    frozen: list[torch.nn.Parameter] = []
    for species in species_of(network):
        if "gates" in parts:
            frozen += species.gates.parameters()
        if "gates" in parts or "tensors" in parts:  # both are made of these
            for shared in (species.messages, species.mixing, species.products):
                frozen += shared.parameters()
        for readout in readouts_of(species):
            if "tensors" in parts:
                frozen += readout.product.parameters()
            if "readouts" in parts:
                frozen += [readout.weight, readout.bias]
    for parameter in frozen:
        parameter.requires_grad_(False)


def _copy(old: SpeciesNetwork, new: SpeciesNetwork, channels: torch.Tensor) -> None:
    """Weights of one species; its radial channels become ``channels`` of the new network.

    What sees the species alone has the first of them, what sees messages more, gates and readouts
    all.
    """
    twins = dict(new.named_parameters())
    for name, weight in old.named_parameters():
        twin = twins[name]
        if weight.shape == twin.shape:
            twin.copy_(weight)
        elif name.endswith("mixing.weight"):  # [l, channel, mixed]
            twin[:, channels[: weight.shape[1]]] = weight
        else:  # [channel, out], or of a path [channel, channel, out]
            places = channels[: weight.shape[0]]
            at = (places,) if name.endswith("linear") else (places[:, None], places)
            twin[at] = weight


def _check_basis(old: Basis, new: Basis) -> None:
    for z in old.species:
        symbol = chemical_symbols[z]
        if z not in new.species:
            raise ValueError(
                f"initial.model was trained with {symbol}, which the basis of the data set lacks: "
                "make the data set with a basis that has all species of the model"
            )
        if old.shells[z] != new.shells[z]:
            raise ValueError(
                f"initial.model has other auxiliary functions on {symbol} than the data set: fit "
                "the references again with the basis of the model"
            )
        if old.mean_atoms.get(z) != new.mean_atoms.get(z):
            raise ValueError(
                f"initial.model has another mean atom of {symbol} than the data set: collect the "
                "runs again with the basis of the model"
            )
