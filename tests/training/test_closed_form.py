"""The closed-form start: it finds what is linear exactly, and stays equivariant."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_rholearn.model import DensityNetwork, build_network
from ase_rholearn.model.network import readouts_of, species_of
from ase_rholearn.training import DataSet
from ase_rholearn.training.learning.closed_form import ClosedForm, initialize
from ase_rholearn.training.learning.features import product_features
from ase_rholearn.training.learning.module import density_loss, loss_of_free_atoms, mean_loss
from ase_rholearn.training.learning.neighbors import neighbors_of
from ase_rholearn.training.learning.prepare import prepare
from ase_rholearn.training.learning.readout import solve_readout
from ase_rholearn.training.learning.samples import (
    Batch,
    BlockOrder,
    Sample,
    expand,
    expansions_of,
    expansions_with_messages,
    pairs_of,
    without_metrics,
)
from ase_rholearn.training.learning.samples import predictions as learned
from ase_rholearn.training.options.train import LossOptions

TIGHT = ClosedForm(components=64, ridge=1e-12, iterations=1000, tolerance=1e-12)


def new_network(dataset: DataSet, plan: Any, tmp_path: Any, **model: Any) -> DensityNetwork:
    return build_network(plan(tmp_path, model=model).model.network(), dataset.basis)


def predictions(network: DensityNetwork, sample: Sample) -> torch.Tensor:
    with torch.no_grad():
        outputs = [
            s.orthonormal(e) for s, e in zip(species_of(network), sample.expansions, strict=True)
        ]
        return Batch.of([sample]).split(outputs)[0]


@pytest.mark.parametrize("tensors", [0, 3])
def test_a_linear_target_is_found(dataset: DataSet, plan: Any, tmp_path: Any, tensors: int) -> None:
    """Targets made by a network of random readouts are fitted to nothing."""
    network = new_network(dataset, plan, tmp_path, tensors=tensors, linear=tensors == 0)
    samples = prepare(dataset, dataset.ids, network)
    samples = [dataclasses.replace(s, metric=s.metric.double()) for s in samples]
    initialize(network, samples, TIGHT)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for species in species_of(network):
            for readout in readouts_of(species):
                for weight in (readout.weight, readout.product.linear if tensors == 0 else None):
                    if weight is not None:
                        weight.copy_(torch.randn(weight.shape, generator=generator).double())
    made = [dataclasses.replace(s, target=predictions(network, s)) for s in samples]
    start = loss_of_free_atoms(made)
    history = solve_readout(network, made, TIGHT)
    assert history[-1] < history[0]
    assert mean_loss(network, made) < 1e-7 * start


def test_start_beats_free_atoms(dataset: DataSet, plan: Any, tmp_path: Any) -> None:
    network = new_network(dataset, plan, tmp_path)
    samples = prepare(dataset, dataset.ids[:6], network)
    assert mean_loss(network, samples) == pytest.approx(loss_of_free_atoms(samples), rel=1e-5)
    initialize(network, samples, ClosedForm())
    solve_readout(network, samples, ClosedForm())
    assert mean_loss(network, samples) < 0.01 * loss_of_free_atoms(samples)


def test_solution_is_the_minimum(dataset: DataSet, plan: Any, tmp_path: Any) -> None:
    """No small step of any readout makes the loss (and the ridge term is tiny) smaller."""
    network = new_network(dataset, plan, tmp_path, linear=False)
    samples = prepare(dataset, dataset.ids, network, LossOptions(coulomb=0.5))
    samples = [dataclasses.replace(s, metric=s.metric.double()) for s in samples]
    initialize(network, samples, TIGHT)
    solve_readout(network, samples, TIGHT)
    best = mean_loss(network, samples)
    generator = torch.Generator().manual_seed(0)
    for species in species_of(network):
        for readout in readouts_of(species):
            with torch.no_grad():
                kept = readout.weight.clone()
                if kept.numel() == 0:
                    continue
                noise = torch.randn(kept.shape, generator=generator, dtype=torch.float64)
                readout.weight.add_(1e-3 * kept.abs().mean() * noise)
                assert mean_loss(network, samples) >= best * (1 - 1e-6)
                readout.weight.copy_(kept)


def test_equivariance(dataset: DataSet, plan: Any, tmp_path: Any) -> None:
    """Rotation and inversion of the molecule turn the density, and lengths stay."""
    network = new_network(dataset, plan, tmp_path)
    samples = prepare(dataset, dataset.ids[:4], network)
    initialize(network, samples, ClosedForm())
    solve_readout(network, samples, ClosedForm())
    atoms = dataset.load(dataset.ids[5]).atoms
    turned = atoms.copy()
    turned.rotate(77, (1, 2, 3))
    turned.positions *= -1
    order = BlockOrder(dataset.basis, atoms.numbers, "overlap")
    densities = []
    from ase_rholearn.density import Density

    for structure in (atoms, turned):
        sample = dataclasses.replace(
            samples[0], expansions=expand(network, dataset.basis, structure)
        )
        flat = order.to_flat(predictions(network, sample).numpy())
        densities.append(Density(structure, dataset.basis, flat))
    points = np.random.default_rng(0).normal(size=(20, 3))
    turner = Atoms("H20", positions=points)
    turner.rotate(77, (1, 2, 3))
    np.testing.assert_allclose(
        densities[1].evaluate(-turner.positions), densities[0].evaluate(points), atol=1e-10
    )


def test_features_are_what_the_weights_multiply(dataset: DataSet, plan: Any, tmp_path: Any) -> None:
    """The network applies weights before it couples; both ways are the same numbers."""
    network = new_network(dataset, plan, tmp_path)
    samples = prepare(dataset, dataset.ids[:1], network)
    initialize(network, samples, ClosedForm())
    expansion = samples[0].expansions[1]
    for readout in readouts_of(species_of(network)[1]):
        product = readout.product
        features = product_features(product, expansion)
        weights = [path.weight.flatten(0, 1) for path in product.paths]
        if product.has_linear:
            weights.append(product.linear)
        expected = features @ torch.cat(weights)
        torch.testing.assert_close(product(expansion), expected, atol=1e-10, rtol=1e-10)


def test_gates_start_as_slow_waves(dataset: DataSet, plan: Any, tmp_path: Any) -> None:
    """Centred invariants of unit spread, so that gate_scale means the same for any data."""
    network = new_network(dataset, plan, tmp_path)
    samples = prepare(dataset, dataset.ids, network)
    initialize(network, samples, ClosedForm())
    for k, species in enumerate(species_of(network)):
        expansions = torch.cat([sample.expansions[k] for sample in samples])
        invariants = species.gates.invariants(expansions)
        torch.testing.assert_close(
            invariants.mean(dim=0), torch.zeros(4, dtype=torch.float64), atol=1e-6, rtol=0
        )
        spread = invariants.square().sum(dim=1).mean()
        torch.testing.assert_close(spread, torch.ones_like(spread), atol=1e-3, rtol=0)


def test_products_and_layers_start_beside_what_there_is(
    dataset: DataSet, plan: Any, tmp_path: Any
) -> None:
    """Products as large as the expansion, of each l; layers that add little to the gates."""
    network = new_network(dataset, plan, tmp_path, channels=6, products=3, depth=2)
    samples = prepare(dataset, dataset.ids, network)
    initialize(network, samples, ClosedForm())
    for k, species in enumerate(species_of(network)):
        mixed = species.mixing(torch.cat([sample.expansions[k] for sample in samples]))
        channels = species.products(mixed)
        torch.testing.assert_close(channels[..., :6], mixed)
        for l in range(3):
            part = channels[:, l * l : (l + 1) ** 2].square().mean(dim=(0, 1)).sqrt()
            expected = mixed[:, l * l : (l + 1) ** 2].square().mean().sqrt()
            torch.testing.assert_close(part[6], expected, rtol=1e-6, atol=0)
            assert part[6] >= part[7] >= part[8]
        gates = species.gates(channels)
        waves = torch.cos(
            species.gates.invariants(channels) @ species.gates.weight + species.gates.phase
        )
        added = gates[:, 1:] - waves
        assert 0 < added.abs().max() < 1
    solve_readout(network, samples, ClosedForm(ridge=1e-8))
    assert mean_loss(network, samples) < 0.01 * loss_of_free_atoms(samples)


def test_messages_start_without_effect_and_learn(
    dataset: DataSet, plan: Any, tmp_path: Any
) -> None:
    """The start is that of the network without them; gradients then change them."""
    solved = []
    for messages in (0, 2):
        network = new_network(dataset, plan, tmp_path, channels=6, messages=messages)
        samples = prepare(dataset, dataset.ids, network)
        initialize(network, samples, ClosedForm())
        solve_readout(network, samples, ClosedForm())
        solved.append(torch.cat(list(learned(network, samples))))
    torch.testing.assert_close(solved[0], solved[1], rtol=0, atol=1e-8)
    rates = [1e-6 * p.detach().abs().mean() for p in network.parameters()]
    for _ in range(2):
        network.zero_grad()
        density_loss(network, Batch.of(samples)).sum().backward()
        with torch.no_grad():
            for parameter, rate in zip(network.parameters(), rates, strict=True):
                if parameter.grad is not None:
                    parameter -= rate * parameter.grad.sign()
    assert all(species.messages.shift.grad.abs().max() > 0 for species in species_of(network))


def test_channels_beyond_those_of_species_are_messages(
    dataset: DataSet, plan: Any, tmp_path: Any
) -> None:
    network = new_network(dataset, plan, tmp_path, channels=40, messages=8)
    initialize(network, prepare(dataset, dataset.ids, network), ClosedForm())
    size = network.expansion.size
    assert size < 40
    for species in species_of(network):
        weight = species.mixing.weight
        assert not weight[:, size:, :size].any()
        assert not weight[:, :size, size:].any()
        assert weight[:, size:, size:].any()


def test_seed_decides(dataset: DataSet, plan: Any, tmp_path: Any) -> None:
    weights = []
    for seed in (0, 0, 1):
        network = new_network(dataset, plan, tmp_path)
        samples = prepare(dataset, dataset.ids[:3], network)
        initialize(network, samples, ClosedForm(), seed)
        weights.append(torch.cat([s.gates.weight.flatten() for s in species_of(network)]))
    torch.testing.assert_close(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2])


def test_what_is_alike_but_for_rounding_is_not_told_apart(
    dataset: DataSet, plan: Any, tmp_path: Any
) -> None:
    """After turned copies of one molecule, another that hardly differs is no outlier."""
    network = new_network(dataset, plan, tmp_path, messages=2, channels=4)
    (sample,) = prepare(dataset, dataset.ids[:1], network)
    atoms = dataset.load(dataset.ids[0]).atoms

    def copy(angle: float, moved: float = 0.0) -> Sample:
        turned = atoms.copy()
        turned.rotate(angle, (1, 2, 3))
        turned.rattle(moved, seed=0)
        found = neighbors_of(dataset.basis, turned, network.cutoff)
        parts = {"expansions": expansions_of(network, found), "pairs": pairs_of(network, found)}
        return dataclasses.replace(sample, **parts)

    initialize(network, [copy(angle) for angle in (0, 40, 110, 200)], ClosedForm())
    oxygen, other = species_of(network)[1], copy(70, moved=1e-4)
    with torch.no_grad():
        assert oxygen.messages(other.expansions[1]).abs().max() < 0.3
        full = expansions_with_messages(network, without_metrics([other]))[1]
        assert oxygen.gates.invariants(oxygen.channels(full)).abs().max() < 1
