"""Rigidities, surroundings and the outputs of model files that are made of them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from metatensor.torch import Labels, TensorMap
from scipy.spatial.transform import Rotation

from ase_rholearn.model import DensityModel, export_model, load_model
from ase_rholearn.model.network import readouts_of, species_of
from ase_rholearn.model.systems import to_system
from ase_rholearn.model.uncertainty.rigidity import Rigidity
from ase_rholearn.model.uncertainty.surroundings import Surroundings
from ase_rholearn.model.uncertainty.uncertainty import (
    N_TERMS,
    CoefficientVariance,
    SpeciesUncertainty,
    Uncertainty,
)
from ase_rholearn.model.wrapper import DEVIATIONS, ERRORS, EXTRAPOLATION
from ase_rholearn.torchscript import quiet_torchscript

N_GATES, N_TENSORS = 5, 4


def features(n_atoms: int, mu: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    gates = torch.randn((n_atoms, N_GATES), generator=generator, dtype=torch.float64)
    tensors = torch.randn((n_atoms, mu, N_TENSORS), generator=generator, dtype=torch.float64)
    return gates, tensors


@pytest.mark.parametrize("count", [6, N_GATES * N_TENSORS])
def test_rigidity_is_the_dense_formula(count):
    """Matrices instead of eigenvectors, outer products instead of contractions."""
    generator = torch.Generator().manual_seed(0)
    size = N_GATES * N_TENSORS
    mixing = torch.randn((size, size), generator=generator, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(mixing @ mixing.T)
    values, vectors = values[-count:], vectors[:, -count:]
    zeta = 0.3
    rest = 1 / zeta if count < size else 0.0
    rigidity = Rigidity(vectors.reshape(N_GATES, N_TENSORS, count), 1 / (values + zeta), rest)
    rigidity.largest = np.inf

    gates, tensors = features(3, 3, seed=1)
    phi = np.einsum("ag,amt->amgt", gates, tensors).reshape(3, 3, size)
    kept = (vectors * values) @ vectors.T  # the covariance, what was left out counts as zero
    inverse = np.linalg.inv(kept.numpy() + zeta * np.eye(size))
    expected = np.einsum("ami,ij,amj->a", phi, inverse, phi) / 3
    with quiet_torchscript():
        found = torch.jit.script(rigidity)(gates, tensors)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)

    rigidity.largest = float(np.median(expected))
    np.testing.assert_allclose(rigidity(gates, tensors).max(), np.median(expected))


def test_rescaling_makes_the_mean_one():
    gates, tensors = features(50, 1, seed=2)
    eye = torch.eye(20, dtype=torch.float64).reshape(N_GATES, N_TENSORS, 20)
    rigidity = Rigidity(eye, torch.rand(20, dtype=torch.float64), 0.0)
    rigidity.rescale(gates, tensors)
    rigidity.largest = np.inf
    assert float(rigidity(gates, tensors).mean()) == pytest.approx(1.0)


# the outputs of a file ------------------------------------------------------------------


@pytest.fixture(scope="module")
def uncertain(network, basis) -> Uncertainty:
    """Random, but for the surroundings that are known: those of three molecules."""
    generator = torch.Generator().manual_seed(3)

    def positive(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    surroundings = Surroundings(basis.species)
    known = describe(network, basis, [molecule(name) for name in ("CH3OH", "H2CO", "H2O")])
    species = []
    for k, one in enumerate(species_of(network)):
        variances = []
        for readout in readouts_of(one):
            shape = (8, readout.n_tensors, 6)
            vectors, _ = torch.linalg.qr(positive(8 * readout.n_tensors, 6))
            rest = 2.0 if readout.n_tensors else 0.0
            rigidity = Rigidity(
                vectors.reshape(shape) if vectors.numel() else positive(*shape), positive(6), rest
            )
            n = readout.n_out
            variances.append(CoefficientVariance(rigidity, positive(n), positive(n)))
        species.append(SpeciesUncertainty(variances, known[k], positive(N_TERMS)))
    return Uncertainty(surroundings, species, 0.8)


def describe(network, basis, structures) -> list[torch.Tensor]:
    """Surroundings of the atoms of each species."""
    surroundings = Surroundings(basis.species)
    found: list[list[torch.Tensor]] = [[] for _ in basis.species]
    for atoms in structures:
        vectors = atoms.get_all_distances(vector=True)
        first, second = np.nonzero(~np.eye(len(atoms), dtype=bool))
        index = torch.tensor([basis.species.index(z) for z in atoms.numbers])
        arguments = (torch.from_numpy(first), torch.from_numpy(second))
        numbers, _ = surroundings(index, *arguments, torch.from_numpy(vectors[first, second]))
        for k in range(len(basis.species)):
            found[k].append(numbers[index == k])
    return [torch.cat(parts) for parts in found]


@pytest.fixture(scope="module")
def file(network, basis, card, uncertain, tmp_path_factory):
    path = tmp_path_factory.mktemp("uncertain") / "model.pt"
    export_model(network, basis, card, path, dtype="float64", uncertainty=uncertain)
    return path


@pytest.fixture(scope="module")
def model(file) -> DensityModel:
    return load_model(file, "cpu")


def ethanol() -> Atoms:
    return molecule("CH3CH2OH")


def test_no_change_with_rotation_translation_and_order(model):
    atoms = ethanol()
    order = np.random.default_rng(0).permutation(len(atoms))
    turn = Rotation.random(rng=1).as_matrix()
    other = Atoms(atoms.numbers[order], (atoms.positions @ turn.T)[order] + 2.0)
    first, second = model.uncertainty([atoms, other])
    np.testing.assert_allclose(second.errors, first.errors[order], rtol=1e-9)
    np.testing.assert_allclose(second.extrapolation, first.extrapolation[order], atol=1e-9)
    layout = model.basis.layout(atoms.numbers)
    for place, atom in enumerate(order):
        own = model.basis.layout(other.numbers).atom == place
        np.testing.assert_allclose(
            second.variances[own], first.variances[layout.atom == atom], rtol=1e-9
        )


def test_the_same_for_all_components(model):
    atoms = ethanol()
    layout = model.basis.layout(atoms.numbers)
    variances = model.uncertainty([atoms])[0].variances
    first = layout.m == -layout.l
    np.testing.assert_array_equal(variances, np.repeat(variances[first], 2 * layout.l[first] + 1))


def test_file_agrees_with_the_formula(model, network, basis, uncertain):
    """TorchScript and metatomic against the terms added up one by one."""
    atoms = molecule("H2CO")
    neighbors = model._neighbors[0]
    block = to_system(atoms, [neighbors], torch.float64, torch.device("cpu")).get_neighbor_list(
        neighbors
    )
    index = torch.tensor([basis.species.index(z) for z in atoms.numbers])
    pairs = block.samples.values.long()
    rows = [torch.nonzero(index == k)[:, 0] for k in range(3)]
    arguments = (index, pairs[:, 0], pairs[:, 1], block.values[:, :, 0])
    numbers, bonds = uncertain.surroundings(*arguments)
    own = np.zeros((4, 2))
    variances: dict[int, list[np.ndarray]] = {}
    with torch.no_grad():
        layers = network.last_layers(*arguments, rows)
    for k, species in enumerate(uncertain.species):
        gates, tensors = layers[k]
        for i, atom in enumerate(rows[k].tolist()):
            values = []
            for variance, tensor in zip(species.variances, tensors, strict=True):
                r = float(variance.rigidity(gates[i : i + 1], tensor[i : i + 1]))
                own[atom, 0] += r
                spread = variance.offset**2 + variance.slope**2 * r
                mu = tensor.shape[1]
                values += [np.repeat(float(value), mu) for value in spread]
            variances[atom] = values
            own[atom, 1] = np.linalg.norm(numbers[atom] - species.known, axis=1).min()
    own[:, 0] **= 0.5
    weights = np.zeros((4, 4))
    weights[pairs[:, 0], pairs[:, 1]] = bonds
    means = weights @ own / weights.sum(axis=1, keepdims=True)
    terms = np.hstack([np.ones((4, 1)), own, means])
    expected = [terms[a] @ uncertain.species[int(index[a])].terms.numpy() for a in range(4)]

    found = model.uncertainty([atoms])[0]
    np.testing.assert_allclose(found.errors, expected, rtol=1e-9)
    np.testing.assert_allclose(found.extrapolation, own[:, 1] / 0.8, atol=1e-9)
    flat = np.concatenate([np.concatenate(variances[atom]) for atom in range(4)])
    np.testing.assert_allclose(found.variances, flat, rtol=1e-9)


def test_single_precision_is_enough(model, file):
    single = load_model(file, "cpu", "float32").uncertainty([ethanol()])[0]
    exact = model.uncertainty([ethanol()])[0]
    np.testing.assert_allclose(single.errors, exact.errors, rtol=1e-4)
    np.testing.assert_allclose(single.variances, exact.variances, rtol=1e-3)
    np.testing.assert_allclose(single.extrapolation, exact.extrapolation, atol=1e-4)


def test_bonds_that_are_known_and_others(model):
    """Nothing new in the molecules themselves; the further a bond is stretched, the more."""
    for name in ("CH3OH", "H2CO", "H2O"):
        assert model.extrapolation([molecule(name)])[0].max() < 1e-6
    ratios = []
    for factor in (1.0, 1.1, 1.2, 1.4):
        atoms = molecule("H2CO")
        atoms.positions[0] = atoms.positions[1] + factor * (atoms.positions[0] - atoms.positions[1])
        ratios.append(model.extrapolation([atoms])[0][:2].max())
    assert np.all(np.diff(ratios) > 0.1)
    assert ratios[-1] > 1
    radical = molecule("CH3OH")
    del radical[2]
    assert model.extrapolation([radical])[0].max() > 1


def test_atoms_alone(model):
    """No pairs at all; and a species that a structure has not."""
    found = model.uncertainty([Atoms("H"), molecule("H2O")])
    assert np.isfinite(found[0].errors).all()
    assert found[0].extrapolation[0] > 1


def test_uncertainty_comes_when_asked_for(model):
    tensors = model._evaluate([ethanol()], [EXTRAPOLATION])
    assert list(tensors) == [EXTRAPOLATION]
    both = model._evaluate([ethanol()], [model.output, DEVIATIONS])
    assert set(both) == {model.output, DEVIATIONS}
    torch.testing.assert_close(
        both[model.output].block(0).values, model.predict([ethanol()]).block(0).values
    )


def test_selected_atoms_keep_their_neighbours(model):
    """An atom's error depends on its neighbours, selected or not."""
    chosen = Labels(["system", "atom"], torch.tensor([[0, 2], [0, 4]]))
    whole = model._evaluate([ethanol()], [ERRORS, DEVIATIONS])
    part = model._evaluate([ethanol()], [ERRORS, DEVIATIONS], chosen)
    found = []
    for name in (ERRORS, DEVIATIONS):
        for key, block in part[name].items():
            for sample, values in zip(block.samples.values.tolist(), block.values, strict=True):
                all_of_them: TensorMap = whole[name]
                row = all_of_them.block(key).samples.position(sample)
                torch.testing.assert_close(values, all_of_them.block(key).values[row])
                found.append(tuple(sample))
    assert set(found) == {(0, 2), (0, 4)}


def test_pickled_models_know_it_too(model):
    twin = pickle.loads(pickle.dumps(model))
    assert twin.knows_uncertainty
    np.testing.assert_array_equal(
        twin.uncertainty([ethanol()])[0].errors, model.uncertainty([ethanol()])[0].errors
    )


def test_files_without_uncertainty_say_so(model_file):
    plain = load_model(model_file, "cpu")
    assert not plain.knows_uncertainty
    for ask in (plain.uncertainty, plain.extrapolation):
        with pytest.raises(ValueError, match="does not say how uncertain"):
            ask([ethanol()])
