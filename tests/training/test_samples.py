"""What the training loop sees of a structure, and the loss, against PySCF's matrices."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn.basis import Basis, to_pyscf_order
from ase_rholearn.model import build_network
from ase_rholearn.model.network import species_of
from ase_rholearn.references.pyscf import metric_matrix
from ase_rholearn.training import DataSet
from ase_rholearn.training.learning.module import density_loss, loss_of_free_atoms, mean_loss
from ase_rholearn.training.learning.samples import Batch, BlockOrder, Sample, expand, loss_metric
from ase_rholearn.training.learning.train import load_network, prepare

BASIS = Basis.from_shells(
    {"H": [(0, [2.0, 0.5]), (2, [0.9])], "O": [(0, [1.0]), (1, [1.5, 0.4]), (3, [0.8])]}
)


def pyscf_metric(atoms: Atoms, basis: Basis, integral: str) -> np.ndarray:
    from pyscf import gto

    shells = {
        "H": [[s.l, [s.exponents[0], 1.0]] for s in basis.shells[1]],
        "O": [[s.l, [s.exponents[0], 1.0]] for s in basis.shells[8]],
    }
    geometry = [(a.symbol, a.position / units.Bohr) for a in atoms]
    return gto.M(atom=geometry, unit="B", basis=shells, spin=None, verbose=0).intor(integral)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([1, 8]), min_size=1, max_size=6),
    st.sampled_from(["overlap", "coulomb"]),
    st.integers(0, 1000),
)
def test_block_order_round_trip(numbers: list[int], metric: str, seed: int) -> None:
    """Coefficients come back, and lengths in the metric are the same on both sides."""
    order = BlockOrder(BASIS, np.array(numbers), metric)
    random = np.random.default_rng(seed)
    flat = random.normal(size=BASIS.size(numbers))
    values = order.from_flat(flat)
    np.testing.assert_allclose(order.to_flat(values), flat, atol=1e-12)
    half = random.normal(size=(len(flat), len(flat)))
    matrix = half @ half.T
    assert values @ order.metric(matrix) @ values == pytest.approx(flat @ matrix @ flat)


@pytest.mark.parametrize("metric", ["overlap", "coulomb"])
def test_block_order_is_orthonormal_on_each_atom(metric: str) -> None:
    """What makes the loss well conditioned."""
    order = BlockOrder(BASIS, np.array([8]), metric)
    matrix = order.metric(metric_matrix(Atoms("O"), BASIS, metric))
    if metric == "overlap":
        np.testing.assert_allclose(matrix, np.eye(len(matrix)), atol=1e-12)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-10)


def test_block_order_is_that_of_the_network(dataset: DataSet, run: Any) -> None:
    """Species, lambda, atom, mu, n: otherwise the network would learn a shuffled target."""
    network = load_network(run.options, dataset.basis)
    reference = dataset.load(dataset.ids[0])
    atoms = reference.atoms
    [sample] = prepare(dataset, dataset.ids[:1], network, 0.0)
    outputs = [
        s.orthonormal(e) for s, e in zip(species_of(network), sample.expansions, strict=True)
    ]
    [vector] = Batch.of([sample]).split(outputs)
    order = BlockOrder(dataset.basis, atoms.numbers, "overlap")
    flat = order.to_flat(vector.detach().numpy())
    layout = dataset.basis.layout(atoms.numbers)
    networks = zip(dataset.basis.species, species_of(network), sample.expansions, strict=True)
    for z, of_species, expansion in networks:
        atoms_of_species = np.flatnonzero(atoms.numbers == z)
        for l, tensor in enumerate(of_species(expansion)):
            for row, atom in enumerate(atoms_of_species):
                chosen = (layout.atom == atom) & (layout.l == l)
                # [mu, n] in the network, n before m in the flat vector
                expected = tensor[row].detach().numpy().T.reshape(-1)
                np.testing.assert_allclose(flat[chosen], expected, atol=1e-10)


@pytest.mark.parametrize(("coulomb", "integral"), [(0.0, "int1e_ovlp"), (1.0, "int2c2e")])
def test_loss_is_the_density_error_in_its_metric(
    dataset: DataSet, run: Any, coulomb: float, integral: str
) -> None:
    """dc^T M dc per electron, with PySCF's matrix and coefficients in PySCF's order."""
    network = load_network(run.options, dataset.basis)
    names = dataset.ids[:3]
    samples = prepare(dataset, names, network, coulomb)
    expected = []
    for name, sample in zip(names, samples, strict=True):
        reference = dataset.load(name)
        atoms = reference.atoms
        order = BlockOrder(dataset.basis, atoms.numbers, "overlap")
        outputs = [
            s.orthonormal(e) for s, e in zip(species_of(network), sample.expansions, strict=True)
        ]
        [vector] = Batch.of([sample]).split(outputs)
        error = order.to_flat(vector.detach().numpy()) - reference.coefficients
        error = to_pyscf_order(dataset.basis, atoms.numbers, error)
        expected.append(error @ pyscf_metric(atoms, dataset.basis, integral) @ error / 10)
    with torch.no_grad():
        batch = Batch.of(samples)
        double = Batch(
            batch.expansions,
            batch.counts,
            batch.targets,
            tuple(m.double() for m in batch.metrics),
            batch.electrons,
        )
        losses = density_loss(network, double)
    # metrics are kept in single precision
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert mean_loss(network, samples) == pytest.approx(np.mean(expected), rel=1e-4)


@pytest.mark.parametrize(("coulomb", "integral"), [(0.0, "int1e_ovlp"), (1.0, "int2c2e")])
def test_loss_is_the_integral_to_ten_digits(
    dataset: DataSet, run: Any, coulomb: float, integral: str
) -> None:
    """In double precision, for a network that predicts nothing."""
    network = build_network(run.options.model.network(), dataset.basis)
    reference = dataset.load(dataset.ids[0])
    atoms = reference.atoms
    order = BlockOrder(dataset.basis, atoms.numbers, "overlap")
    metric = torch.from_numpy(order.metric(loss_metric(dataset.basis, atoms, coulomb)))
    [sample] = prepare(dataset, dataset.ids[:1], network, coulomb)
    with torch.no_grad():
        loss = density_loss(network, Batch.of([dataclasses.replace(sample, metric=metric)]))
    error = to_pyscf_order(dataset.basis, atoms.numbers, reference.coefficients)
    expected = error @ pyscf_metric(atoms, dataset.basis, integral) @ error / 10
    np.testing.assert_allclose(loss, [expected], rtol=1e-10)


def test_mixed_metric(waters: list[Atoms], tiny_basis: Basis) -> None:
    mixed = loss_metric(tiny_basis, waters[0], 0.25)
    overlap = metric_matrix(waters[0], tiny_basis, "overlap")
    coulomb = metric_matrix(waters[0], tiny_basis, "coulomb")
    np.testing.assert_allclose(mixed, 0.75 * overlap + 0.25 * coulomb, atol=1e-13)


def test_loss_of_free_atoms(dataset: DataSet, run: Any) -> None:
    """The scale of all errors: what predicting nothing costs."""
    network = build_network(run.options.model.network(), dataset.basis)
    samples = prepare(dataset, dataset.ids[:2], network, 0.0)
    # the untrained network predicts zero
    assert mean_loss(network, samples) == pytest.approx(loss_of_free_atoms(samples), rel=1e-5)


def test_expansion_is_that_of_the_exported_model(dataset: DataSet, run: Any) -> None:
    """Grouped by species, each atom's rows in the order of the structure."""
    network = load_network(run.options, dataset.basis)
    atoms = Atoms("HOHH", [[0.9, 0, 0], [0, 0, 0], [-0.3, 0.9, 0], [0, 0, 2.2]])
    hydrogen, oxygen = expand(network, dataset.basis, atoms)
    assert hydrogen.shape[:2] == (3, 9)
    assert oxygen.shape[:2] == (1, 9)
    swapped = expand(network, dataset.basis, atoms[[2, 1, 0, 3]])[0]
    torch.testing.assert_close(swapped, hydrogen[[1, 0, 2]])


def test_absent_species_and_lonely_atoms(dataset: DataSet, run: Any) -> None:
    network = load_network(run.options, dataset.basis)
    hydrogen, oxygen = expand(network, dataset.basis, Atoms("O"))
    assert len(hydrogen) == 0
    assert oxygen.abs().sum() > 0


def test_batch_splits_what_it_joins() -> None:
    """Structures of different composition in one batch."""
    random = torch.Generator().manual_seed(0)

    def sample(hydrogens: int, oxygens: int) -> Sample:
        size = hydrogens * 2 + oxygens * 3
        return Sample(
            expansions=(torch.rand(hydrogens, 1, 2), torch.rand(oxygens, 1, 3)),
            target=torch.rand(size, generator=random),
            metric=torch.eye(size),
            electrons=1.0,
        )

    samples = [sample(2, 1), sample(0, 2), sample(3, 0)]
    batch = Batch.of(samples)
    outputs = [[batch.expansions[0]], [batch.expansions[1]]]
    for part, one in zip(batch.split(outputs), samples, strict=True):
        torch.testing.assert_close(part, torch.cat([e.reshape(-1) for e in one.expansions]))
    assert batch.to(torch.device("cpu")).counts == batch.counts
