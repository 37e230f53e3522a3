"""A start without gradient descent: principal components, random gates, and a linear solve.

1. Messages become the leading principal components of the invariants, channels those of the
   expansion in species, and products and tensors of each species and order those of the
   lambda-SOAP features of the training set. Mixed channels begin without messages, which gradients
   bring in: as components of their own they would push out those of the species.
2. The gates become cosines of random projections of the leading components of the invariants;
   further layers add little to them.
3. The readout, which is linear, is solved for: the minimum of the training loss in its metric
   plus a ridge term, by conjugate gradients preconditioned per species and lambda.

Step 3 alone also finishes a network that was trained by gradients.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from ...model.network import (
    ChannelMixing,
    CoupledProduct,
    DensityNetwork,
    Messages,
    Products,
    Readout,
    SpeciesNetwork,
    layers_of,
    products_of,
    readouts_of,
    species_of,
)
from .features import components_of, covariance_of, leading, set_weights
from .samples import Sample, expansions_with_messages, without_metrics

#: Standard deviation of messages at the start: what makes a difference between neighbours of the
#: same species should not outweigh the species.
_MESSAGE_SIZE = 0.3

#: The same of what further layers of gates see: they begin as small corrections.
_LAYER_SIZE = 0.1

#: Spread of features, relative to their mean, below which gates and messages see no difference.
_SMALLEST_SPREAD = 1e-3


@dataclass(frozen=True)
class ClosedForm:
    """Options of the closed-form start.

    Attributes
    ----------
    components
        Principal components of the features that the linear map is solved for, if the
        network has one.
    gate_scale
        Standard deviation of the phase that the gates see over the training set: small for
        gates that vary slowly.
    ridge
        Ridge term relative to the largest eigenvalue of the features' covariance.
    iterations
        Most steps of conjugate gradients.
    tolerance
        Relative residual at which they stop.
    """

    components: int = 128
    gate_scale: float = 0.5
    ridge: float = 1e-6
    iterations: int = 200
    tolerance: float = 1e-5


def initialize(
    network: DensityNetwork,
    samples: Sequence[Sample],
    options: ClosedForm,
    seed: int = 0,
    *,
    leave: Collection[int] = (),
) -> None:
    """Steps 1 and 2, in place: tensors and gates from the training samples.

    Those of the species whose indices are in ``leave`` stay as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = [
        (k, species)
        for k, species in enumerate(species_of(network))
        if k not in leave and any(len(sample.expansions[k]) for sample in samples)
    ]
    for k, species in chosen:
        _principal_messages(species.messages, _raw_expansions(samples, k))
    with torch.no_grad():
        expansions = expansions_with_messages(network, without_metrics(samples))
    for k, species in chosen:
        _principal_channels(species.mixing, expansions[k], network.expansion.size)
        _principal_products(species.products, species.mixing(expansions[k]).detach())
        mixed = species.channels(expansions[k]).detach()
        if species.has_gates:
            _initialize_gates(species, mixed, options.gate_scale, generator)
        for readout in readouts_of(species):
            if readout.n_tensors:
                _principal_tensors(readout, mixed)


def _raw_expansions(samples: Sequence[Sample], species: int) -> torch.Tensor:
    return torch.cat([sample.expansions[species] for sample in samples])


def _principal_channels(mixing: ChannelMixing, expansion: torch.Tensor, size: int) -> None:
    """Make the channels of each l the leading components of the first ``size`` of an expansion.

    Channels beyond their number become those of the others.
    """
    if not mixing.mixes:
        return
    first = min(size, mixing.n_out)
    weight = torch.zeros_like(mixing.weight)
    for l in range(mixing.l_max + 1):
        rows = expansion[:, l * l : (l + 1) ** 2].flatten(0, 1)
        weight[l, :size, :first] = _components(rows[:, :size], first)
        weight[l, size:, first:] = _components(rows[:, size:], mixing.n_out - first)
    with torch.no_grad():
        mixing.weight.copy_(weight)


def _components(rows: torch.Tensor, count: int) -> torch.Tensor:
    """Leading principal components of rows: (n, count), zeros for those that are missing."""
    if 0 in (count, rows.shape[1]):
        return rows.new_zeros((rows.shape[1], count))
    return leading(rows.T @ rows / max(1, len(rows)), count)[1]


def _principal_messages(messages: Messages, expansion: torch.Tensor) -> None:
    """Make messages the leading components of the invariants, small beside the species."""
    if messages.product.n_out == 0:
        return
    _principal_channels(messages.mixing, expansion, expansion.shape[2])
    mixed = messages.mixing(expansion).detach()
    covariance, mean = covariance_of(messages.product, mixed, centred=True)
    values, vectors = leading(covariance, messages.product.n_out)
    vectors = _MESSAGE_SIZE * vectors / _resolved(values.clamp_min(0).sqrt(), mean)
    with torch.no_grad():
        set_weights(messages.product, vectors, 0)
        messages.shift.copy_(-(mean @ vectors))


def _principal_products(products: Products, expansion: torch.Tensor) -> None:
    """Make further channels the leading components of products, as large as the expansion."""
    for l, product in enumerate(products_of(products)):
        size = expansion[:, l * l : (l + 1) ** 2].square().mean().sqrt()
        _set_components(product, expansion, product.n_out, 0, size)


def _principal_tensors(readout: Readout, expansions: torch.Tensor) -> None:
    """Make the tensors of one lambda the leading components of its features."""
    _set_components(readout.product, expansions, readout.n_tensors, readout.n_linear)


def _set_components(
    product: CoupledProduct,
    expansions: torch.Tensor,
    count: int,
    first: int,
    size: torch.Tensor | float = 1.0,
) -> None:
    """Make outputs from ``first`` on leading components of this size; those missing are zero."""
    vectors = size * components_of(product, expansions, count)
    missing = count - vectors.shape[1]
    set_weights(product, torch.nn.functional.pad(vectors, (0, missing)), first)


def _resolved(spread: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Standard deviations of features with this mean, none smaller than what is resolved.

    Atoms that are alike by symmetry differ by rounding, which is not to be made large.
    """
    smallest = _SMALLEST_SPREAD * float(torch.linalg.vector_norm(mean))
    return spread.clamp_min(max(smallest, 1e-12))


def _initialize_gates(
    species: SpeciesNetwork, expansions: torch.Tensor, scale: float, generator: torch.Generator
) -> None:
    gates = species.gates
    covariance, mean = covariance_of(gates.product, expansions, centred=True)
    n_invariants, n_gates = gates.weight.shape
    values, vectors = leading(covariance, n_invariants)
    spread = _resolved(values.clamp_min(0).sum().sqrt(), mean)
    with torch.no_grad():
        set_weights(gates.product, vectors / spread, 0)
        gates.shift.copy_(-(mean @ vectors) / spread)
        noise = torch.randn((n_invariants, n_gates), generator=generator, dtype=torch.float64)
        gates.weight.copy_(scale * noise)
        phase = torch.rand(n_gates, generator=generator, dtype=torch.float64)
        gates.phase.copy_(2 * torch.pi * phase)
        for layer in layers_of(gates):
            noise = torch.randn((n_gates, n_gates), generator=generator, dtype=torch.float64)
            layer.weight.copy_(_LAYER_SIZE * noise / n_gates**0.5)
