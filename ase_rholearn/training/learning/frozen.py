"""Training the readouts alone, on features that are computed once.

Where gates and tensors stay as they are, what the readouts multiply their weights with does not
depend on weights, and a step of training need not make it again. A linear map has tens of
thousands of features per atom, but over a training set nearly all of them are linear combinations
of a few hundred principal components. Gradients move weights within their span alone, so that
training the map of the components is training the map of the features.

    frozen = FrozenNetwork(network, training, components=256)
    samples = frozen.samples(training)  # as for any network, but with features for expansions
    ...                                 # train it: density_loss(frozen, batch)
    frozen.store(network)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import cast

import torch

from ...model.network import DensityNetwork, Readout, readouts_of, species_of
from .features import feature_count
from .readout import component_vectors, readout_inputs, readout_weights, store_readout
from .samples import Sample, mixed_expansions, without_metrics


class FrozenSpecies(torch.nn.Module):
    """The readouts of one species as linear maps of ready features.

    Parameters
    ----------
    weights
        Of each lambda with functions: (n_features, n_out).
    orders
        Their lambdas.
    l_max
        Highest lambda of the basis.
    """

    def __init__(self, weights: Sequence[torch.Tensor], orders: Sequence[int], l_max: int) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterList(weights)
        self.orders, self.l_max = list(orders), l_max

    def channels(self, features: torch.Tensor) -> torch.Tensor:
        """The features, which have all that is made of expansions."""
        return features

    def outputs(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Features of each atom (n_atoms, size) -> each lambda (n_atoms, 2 lambda + 1, n_out)."""
        n_atoms = len(features)
        outputs = [features.new_zeros((n_atoms, 2 * l + 1, 0)) for l in range(self.l_max + 1)]
        sizes = [(2 * l + 1) * len(w) for l, w in zip(self.orders, self.weights, strict=True)]
        parts = features.split(sizes, dim=1)
        for l, weight, part in zip(self.orders, self.weights, parts, strict=True):
            rows = part.reshape(n_atoms * (2 * l + 1), len(weight))
            outputs[l] = (rows @ weight).reshape(n_atoms, 2 * l + 1, weight.shape[1])
        return outputs


class FrozenNetwork(torch.nn.Module):
    """A network of which the readouts alone are trained; it takes the place of the network.

    Parameters
    ----------
    network
        Its readouts, as they are, are the start.
    samples
        Training set, from which the components of linear maps are taken.
    components
        Principal components of the features of each linear map. A linear map that was not
        solved for in these components loses what it has outside of them.
    """

    def __init__(
        self, network: DensityNetwork, samples: Sequence[Sample], components: int = 256
    ) -> None:
        super().__init__()
        self.n_messages = 0  # those of the network are in the features
        self._frozen = [network]  # in a list: its weights are not this module's
        self._vectors: list[list[torch.Tensor]] = []
        self.species = torch.nn.ModuleList()
        with torch.no_grad():
            expansions = mixed_expansions(network, without_metrics(samples))
        for k, species in enumerate(species_of(network)):
            readouts = _trained(network, k)
            vectors = [_vectors(readout, expansions[k], components) for readout in readouts]
            weights = [readout_weights(r, v) for r, v in zip(readouts, vectors, strict=True)]
            orders = [readout.product.o3_lambda for readout in readouts]
            l_max = len(readouts_of(species)) - 1
            self.species.append(FrozenSpecies(weights, orders, l_max))
            self._vectors.append(vectors)

    def samples(self, samples: Sequence[Sample]) -> list[Sample]:
        """The same structures with features for expansions: by species (n_atoms, size)."""
        return [
            dataclasses.replace(sample, expansions=self._features(sample), pairs=None)
            for sample in samples
        ]

    def _features(self, sample: Sample) -> tuple[torch.Tensor, ...]:
        (network,) = self._frozen
        result = []
        with torch.no_grad():
            expansions = mixed_expansions(network, without_metrics([sample]))
            for k, (species, expansion) in enumerate(
                zip(species_of(network), expansions, strict=True)
            ):
                gates = expansion.new_zeros((len(expansion), 0))
                if species.has_gates:
                    gates = species.gates(expansion)
                parts = [expansion.new_zeros((len(expansion), 0))]
                for readout, vectors in zip(_trained(network, k), self._vectors[k], strict=True):
                    inputs = readout_inputs(readout, expansion, gates, vectors)
                    size = inputs.tensors.shape[1] * inputs.n_features
                    parts.append(inputs.features().reshape(len(expansion), size))
                result.append(torch.cat(parts, dim=1))
        return tuple(result)

    def store(self, network: DensityNetwork) -> None:
        """Write the readouts into the network, whose other weights are those of the start."""
        for k, species in enumerate(cast("list[FrozenSpecies]", list(self.species))):
            for readout, vectors, weight in zip(
                _trained(network, k), self._vectors[k], species.weights, strict=True
            ):
                store_readout(readout, vectors, weight.detach().to(vectors.dtype))


def _trained(network: DensityNetwork, species: int) -> list[Readout]:
    return [r for r in readouts_of(species_of(network)[species]) if r.n_out]


def _vectors(readout: Readout, expansions: torch.Tensor, components: int) -> torch.Tensor:
    """Components over the training set, none where it has no such atoms."""
    if len(expansions):
        return component_vectors(readout, expansions, components)
    return expansions.new_zeros((feature_count(readout.product) if readout.n_linear else 0, 0))
