"""What the training loop sees of a structure, and the loss, against PySCF's matrices."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn import Density
from ase_rholearn.basis import Basis, to_pyscf_order
from ase_rholearn.model import build_network, load_model
from ase_rholearn.model.network import species_of
from ase_rholearn.references.pyscf import metric_matrix
from ase_rholearn.training import DataSet
from ase_rholearn.training.export import export_run
from ase_rholearn.training.learning.loss import LossTerms, loss_metric
from ase_rholearn.training.learning.module import (
    DensityTraining,
    density_loss,
    loss_of_free_atoms,
    mean_loss,
)
from ase_rholearn.training.learning.prepare import prepare
from ase_rholearn.training.learning.samples import (
    Batch,
    BlockOrder,
    Sample,
    expand,
    predict,
    predictions,
)
from ase_rholearn.training.learning.symmetric import product
from ase_rholearn.training.learning.train import load_network, new_network, train
from ase_rholearn.training.options.train import LossOptions

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
    [sample] = prepare(dataset, dataset.ids[:1], network)
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
    samples = prepare(dataset, names, network, LossOptions(coulomb=coulomb))
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
            batch.residuals,
        )
        losses = density_loss(network, double)
    # metrics are kept in single precision
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert mean_loss(network, samples) == pytest.approx(np.mean(expected), rel=1e-4)


def test_mixed_metric(waters: list[Atoms], tiny_basis: Basis) -> None:
    mixed = loss_metric(tiny_basis, waters[0], LossTerms(0.25))
    overlap = metric_matrix(waters[0], tiny_basis, "overlap")
    coulomb = metric_matrix(waters[0], tiny_basis, "coulomb")
    np.testing.assert_allclose(mixed, 0.75 * overlap + 0.25 * coulomb, atol=1e-13)


def test_loss_of_free_atoms(dataset: DataSet, run: Any) -> None:
    """The scale of all errors: what predicting nothing costs."""
    network = build_network(run.options.model.network(), dataset.basis)
    samples = prepare(dataset, dataset.ids[:2], network)
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


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"channels": 4},
        {"channels": 4, "messages": 3},
        {"channels": 4, "products": 2, "depth": 2},
    ],
)
def test_training_sees_what_the_exported_model_predicts(
    dataset: DataSet, plan: Any, tmp_path: Path, model: dict[str, Any]
) -> None:
    """Also with messages, which gradients bring in, and several structures in a batch."""
    options = plan(tmp_path / "run", model=model, gradient={"epochs": 2})
    train(options)
    export_run(options, tmp_path / "model.pt", "float64")
    network = load_network(options, dataset.basis)
    names = dataset.ids[:3]
    structures = [dataset.load(name).atoms for name in names]
    exported = load_model(tmp_path / "model.pt", "cpu").coefficients(structures)
    batch = Batch.of(prepare(dataset, names, network))
    with torch.no_grad():
        vectors = batch.split(predict(network, batch))
    for atoms, vector, expected in zip(structures, vectors, exported, strict=True):
        order = BlockOrder(dataset.basis, atoms.numbers, "overlap")
        np.testing.assert_allclose(order.to_flat(vector.numpy()), expected, atol=1e-10)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"linear": False},
        {"tensors": 0, "linear": True},
        {"channels": 4},
        {"channels": 4, "messages": 2},
        {"messages": 2},
        {"products": 3, "depth": 3},
        {"channels": 4, "products": 2, "tensors": 0},
    ],
)
def test_every_trained_parameter_has_a_gradient(
    dataset: DataSet, plan: Any, tmp_path: Path, model: dict[str, Any]
) -> None:
    """Processes that share the work wait for all of them."""
    options = plan(tmp_path / "run", model=model)
    network = new_network(options, dataset.basis)
    module = DensityTraining(network, options.gradient, scale=1.0)
    samples = prepare(dataset, dataset.ids[:2], network)
    density_loss(module.network, Batch.of(samples)).sum().backward()
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert trained
    assert [name for name, p in trained.items() if p.grad is None] == []


@pytest.mark.parametrize(("metric", "coulomb"), [("overlap", 0.0), ("coulomb", 1.0)])
def test_projections_as_target(
    dataset: DataSet, run: Any, tmp_path: Path, metric: str, coulomb: float
) -> None:
    """c^T M c - 2 c^T w, also where w is not quite that of the kept coefficients."""
    reference = dataset.load(dataset.ids[0])
    matrix = metric_matrix(reference.atoms, dataset.basis, metric)
    random = np.random.default_rng(0)
    coefficients, other = reference.coefficients, 0.1 * random.normal(size=(2, len(matrix)))
    projections = matrix @ (coefficients + other[0])
    settings = {**dataset.settings, "metric": metric}
    twin = DataSet.create(tmp_path / "twin", dataset.basis, settings)
    twin.add(dataclasses.replace(reference, projections=projections, settings=settings))
    network = load_network(run.options, dataset.basis)
    loss = LossOptions(target="projections", coulomb=coulomb)
    [sample] = prepare(twin, twin.ids, network, loss, dtype=torch.float64)
    order = BlockOrder(dataset.basis, reference.atoms.numbers, "overlap")

    def found(vector: np.ndarray) -> float:
        """Loss of a prediction, for which the expansions stand in."""
        error = torch.from_numpy(order.from_flat(vector)) - sample.target
        return float(error @ product(sample.load_metric(), error) + 2 * error @ sample.residual)

    def expected(vector: np.ndarray) -> float:
        return float(vector @ matrix @ vector - 2 * vector @ projections)

    start = coefficients + other[1]
    assert found(start) - found(coefficients) == pytest.approx(
        expected(start) - expected(coefficients), rel=1e-5
    )
    np.testing.assert_allclose(
        10 * sample.projected_target().numpy(), order.project(projections), rtol=0, atol=1e-6
    )
    with pytest.raises(ValueError, match=f"in the metric {metric!r}: set loss.coulomb to"):
        prepare(twin, twin.ids, network, LossOptions(target="projections", coulomb=0.5))
    with pytest.raises(ValueError, match=r"set loss\.coulomb|has none"):
        prepare(dataset, dataset.ids[:1], network, loss)


def test_metrics_beyond_memory_are_computed_each_time(dataset: DataSet, run: Any) -> None:
    network = load_network(run.options, dataset.basis)
    kept = prepare(dataset, dataset.ids[:3], network)
    computed = prepare(dataset, dataset.ids[:3], network, LossOptions(memory=0))
    for first, second in zip(kept, computed, strict=True):
        assert isinstance(first.metric, torch.Tensor)
        assert not isinstance(second.metric, torch.Tensor)
        torch.testing.assert_close(first.load_metric(), second.load_metric(), rtol=0, atol=0)
    assert mean_loss(network, kept) == mean_loss(network, computed)


def test_loss_equals_the_integrals_to_all_digits(dataset: DataSet, run: Any) -> None:
    """In double precision: 1e-10, from PySCF's own matrix and order."""
    network = load_network(run.options, dataset.basis)
    reference = dataset.load(dataset.ids[0])
    [sample] = prepare(dataset, dataset.ids[:1], network, dtype=torch.float64)
    [vector] = predictions(network, [sample])
    order = BlockOrder(dataset.basis, reference.atoms.numbers, "overlap")
    error = order.to_flat(vector.detach().numpy()) - reference.coefficients
    error = to_pyscf_order(dataset.basis, reference.atoms.numbers, error)
    expected = error @ pyscf_metric(reference.atoms, dataset.basis, "int1e_ovlp") @ error / 10
    loss = density_loss(network, Batch.of([sample])).item()
    assert loss == pytest.approx(expected, rel=1e-10)


def test_charge_and_dipole_terms(waters: list[Atoms], tiny_basis: Basis) -> None:
    """Their parts of the metric are the squared errors of what Density computes."""
    atoms = waters[0]
    error = 0.1 * np.random.default_rng(0).normal(size=tiny_basis.size(atoms.numbers))
    free = Density(atoms, tiny_basis, np.zeros_like(error), normalize=False)
    wrong = Density(atoms, tiny_basis, error, normalize=False)
    plain = loss_metric(tiny_basis, atoms, LossTerms())
    for terms, change in (
        (LossTerms(electrons=2.0), wrong.number_of_electrons - free.number_of_electrons),
        (LossTerms(dipole=2.0), np.linalg.norm(wrong.dipole() - free.dipole()) / units.Bohr),
    ):
        part = error @ (loss_metric(tiny_basis, atoms, terms) - plain) @ error
        assert part == pytest.approx(2 * change**2, rel=1e-8)


def test_mask(waters: list[Atoms], tiny_basis: Basis) -> None:
    """Atoms that do not count may have any coefficients."""
    atoms = waters[0].copy()
    atoms.info["counts"] = [0, 2]
    matrix = loss_metric(tiny_basis, atoms, LossTerms(mask="counts"))
    chosen = np.isin(tiny_basis.layout(atoms.numbers).atom, [0, 2])
    whole = loss_metric(tiny_basis, atoms, LossTerms())
    np.testing.assert_allclose(matrix[np.ix_(chosen, chosen)], whole[np.ix_(chosen, chosen)])
    assert not matrix[~chosen].any()
    with pytest.raises(ValueError, match=r"loss.mask is 'other', but atoms.info of H2O has no"):
        loss_metric(tiny_basis, atoms, LossTerms(mask="other"))
    atoms.info["counts"] = [3]
    with pytest.raises(ValueError, match="give indices of its 3 atoms"):
        loss_metric(tiny_basis, atoms, LossTerms(mask="counts"))


def test_periodic_overlap_is_the_sum_over_images(tiny_basis: Basis) -> None:
    """The square of a periodic density, integrated on a grid."""
    atoms = Atoms(
        "OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], cell=[3.0, 3.2, 3.4], pbc=True
    )
    smooth = Basis.from_shells({"H": [(0, [0.5]), (1, [0.6])], "O": [(0, [0.8]), (1, [0.7])]})
    error = np.random.default_rng(0).normal(size=smooth.size(atoms.numbers))
    matrix = loss_metric(smooth, atoms, LossTerms())
    grid = Density(atoms, smooth, error, normalize=False).on_grid(spacing=0.15)
    voxel = grid.voxel_volume * units.Bohr**3
    assert error @ matrix @ error == pytest.approx((grid.values**2).sum() * voxel, rel=1e-6)
    with pytest.raises(ValueError, match=r"loss.coulomb is 0.5, but H2O is periodic"):
        loss_metric(smooth, atoms, LossTerms(coulomb=0.5))
