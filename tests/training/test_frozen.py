"""Readouts trained on frozen features, and the quadratic form of the loss."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from ase_rholearn.model import build_network
from ase_rholearn.model.network import species_of
from ase_rholearn.training import DataSet
from ase_rholearn.training.learning.closed_form import ClosedForm, initialize
from ase_rholearn.training.learning.frozen import FrozenNetwork
from ase_rholearn.training.learning.module import density_loss
from ase_rholearn.training.learning.readout import solve_readout
from ase_rholearn.training.learning.samples import Batch, Sample
from ase_rholearn.training.learning.symmetric import pack, product, quadratic_form, unpack
from ase_rholearn.training.learning.train import prepare

CLOSED_FORM = ClosedForm(components=16, ridge=1e-8)


@pytest.fixture(params=["linear", "gated", "both"])
def started(request: Any, dataset: DataSet, plan: Any, tmp_path: Any) -> Any:
    """A network after its closed-form start, and its samples in double precision."""
    model = {"linear": request.param != "gated", "tensors": 0 if request.param == "linear" else 3}
    network = build_network(plan(tmp_path, model=model).model.network(), dataset.basis)
    samples = prepare(dataset, dataset.ids[:4], network)
    samples = [dataclasses.replace(s, metric=s.metric.double()) for s in samples]
    initialize(network, samples, CLOSED_FORM)
    solve_readout(network, samples, CLOSED_FORM)
    return network, samples


def losses(network: Any, samples: list[Sample]) -> torch.Tensor:
    return density_loss(network, Batch.of(samples))


def test_frozen_network_predicts_what_the_network_does(started: Any) -> None:
    network, samples = started
    frozen = FrozenNetwork(network, samples, CLOSED_FORM.components)
    features = frozen.samples(samples)
    for sample, ready in zip(samples, features, strict=True):
        for k, species in enumerate(species_of(network)):
            expected = species.orthonormal(sample.expansions[k])
            outputs = frozen.species[k].outputs(ready.expansions[k])
            for one, other in zip(outputs, expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


def test_training_is_stored_in_the_network(started: Any) -> None:
    network, samples = started
    frozen = FrozenNetwork(network, samples, CLOSED_FORM.components)
    features = frozen.samples(samples)
    before = float(losses(network, samples).sum().detach())
    optimizer = torch.optim.SGD(frozen.parameters(), lr=1e-3)
    losses(frozen, features).sum().backward()
    optimizer.step()
    trained = losses(frozen, features)
    assert float(trained.sum().detach()) < before
    assert float(losses(network, samples).sum().detach()) == pytest.approx(before)  # not yet
    frozen.store(network)
    torch.testing.assert_close(losses(network, samples), trained, rtol=1e-6, atol=1e-12)


def test_a_species_that_the_training_set_lacks(dataset: DataSet, plan: Any, tmp_path: Any) -> None:
    network = build_network(plan(tmp_path).model.network(), dataset.basis)
    [sample] = prepare(dataset, dataset.ids[:1], network)
    empty = sample.expansions[1][:0]
    lone = dataclasses.replace(sample, expansions=(sample.expansions[0], empty))
    frozen = FrozenNetwork(network, [lone], 8)
    [ready] = frozen.samples([lone])
    assert all(output.shape[0] == 0 for output in frozen.species[1].outputs(ready.expansions[1]))


@pytest.mark.parametrize("size", [1, 2, 37, 1000])
def test_packed_matrices(size: int) -> None:
    """Half of the entries are all of a symmetric matrix."""
    half = np.random.default_rng(size).normal(size=(size, size))
    vector = torch.from_numpy(np.random.default_rng(1).normal(size=size))
    packed = pack(half + half.T)
    assert packed.numel() == size * (size + 1) // 2
    assert torch.equal(unpack(packed), torch.from_numpy(half + half.T))
    torch.testing.assert_close(product(packed, vector), unpack(packed) @ vector)
    torch.testing.assert_close(product(unpack(packed), vector), unpack(packed) @ vector)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_quadratic_form(dtype: torch.dtype, packed: bool) -> None:
    """Value and gradient are those of plain operations, for each precision of the metric."""
    generator = torch.Generator().manual_seed(0)
    half = torch.randn((7, 7), generator=generator, dtype=torch.float64)
    metric = half @ half.T
    error = torch.randn(7, generator=generator, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(3 * (error @ metric @ error), error)
    value = quadratic_form(error, (pack(metric.numpy()) if packed else metric).to(dtype))
    (gradient,) = torch.autograd.grad(3 * value, error)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    torch.testing.assert_close(value, error @ metric @ error, rtol=tolerance, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=10 * tolerance, atol=tolerance)
