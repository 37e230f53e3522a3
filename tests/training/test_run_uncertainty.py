"""Uncertainty of a trained run: calibration, its way into the file, and the calculator."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from scipy.stats import expon

from ase_rholearn import Density, RhoCalculator, load_model
from ase_rholearn.model import OutsideTrainingWarning, update_model
from ase_rholearn.model.network import species_of
from ase_rholearn.references import Reference
from ase_rholearn.training.export import export_run
from ase_rholearn.training.learning.samples import BlockOrder, expand
from ase_rholearn.training.learning.train import load_network
from ase_rholearn.training.learning.uncertainty.likelihood import fit_expectations
from ase_rholearn.training.learning.uncertainty.limit import conformal_limit
from ase_rholearn.training.learning.uncertainty.rigidity import RigidityOptions, fit_uncertainty
from ase_rholearn.training.learning.uncertainty.run import run_uncertainty
from ase_rholearn.trajectory.batches import densities


def water(bond: float = 0.96, shift: float = 0.0) -> Atoms:
    return Atoms("OHH", [[shift, 0, 0], [bond + shift, 0, 0], [-0.24 + shift, 0.93, 0]])


@pytest.fixture(scope="module")
def file(run, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.pt"
    export_run(run.options, path)
    return path


# fits ---------------------------------------------------------------------------------------


def test_known_variances_are_found():
    """Squares of normal numbers, and exponential ones, of expectations that are known."""
    random = np.random.default_rng(0)
    design = np.column_stack([np.ones(20000), random.exponential(size=(20000, 2))])
    theta = np.array([0.5, 2.0, 0.0])
    expected = design @ theta
    for observed in (
        expected * random.standard_normal(20000) ** 2,
        expon.rvs(scale=expected, random_state=1),
    ):
        found = fit_expectations(design, observed, np.ones(20000), np.ones(3))
        np.testing.assert_allclose(found, theta, atol=0.12)


def test_terms_that_nothing_sees_stay():
    design = np.array([[1.0, 0.0], [2.0, 0.0]])
    found = fit_expectations(design, np.array([3.0, 6.0]), np.ones(2), np.array([1.0, 7.0]))
    np.testing.assert_allclose(found, [3.0, 7.0], rtol=1e-4)


@pytest.mark.parametrize("count", [30, 100])
def test_limit_keeps_false_alarms_down(count):
    """Over many draws, a further value is beyond it in at most 5 % of the cases."""
    random = np.random.default_rng(0)
    beyond = [
        random.exponential() > conformal_limit(random.exponential(size=count).tolist(), 0.05)
        for _ in range(4000)
    ]
    assert 0.02 < np.mean(beyond) < 0.06


def noisy_references(dataset, network, names, sizes, seed) -> list[Reference]:
    """References that are predictions plus noise of a known size for each species."""
    basis, random = dataset.basis, np.random.default_rng(seed)
    references = []
    for name in names:
        atoms = dataset.load(name).atoms
        order = BlockOrder(basis, atoms.numbers, "overlap")
        predicted = prediction(network, basis, atoms)
        size = np.array([sizes[z] for z in atoms.numbers])[basis.layout(atoms.numbers).atom]
        noise = (size * random.standard_normal(len(size)))[order.order]
        references.append(
            Reference(atoms, predicted + order.to_flat(noise), settings=dataset.settings)
        )
    return references


def prediction(network, basis, atoms) -> np.ndarray:
    with torch.no_grad():
        parts = [
            c.reshape(-1)
            for species, expansion in zip(
                species_of(network), expand(network, basis, atoms), strict=True
            )
            for c in species.orthonormal(expansion)
        ]
    return BlockOrder(basis, atoms.numbers, "overlap").to_flat(torch.cat(parts).numpy())


def test_calibration_finds_noise_of_known_size(run, dataset):
    """Independent errors of coefficients: both their size and the atoms' errors come out."""
    network = load_network(run.options, dataset.basis)
    sizes = {1: 0.002, 8: 0.01}
    names = dataset.ids * 2
    references = noisy_references(dataset, network, names, sizes, seed=0)
    structures = [dataset.load(name).atoms for name in dataset.ids]
    found = fit_uncertainty(
        network, dataset.basis, structures, references, RigidityOptions(structures=16)
    )
    for z, species in zip(dataset.basis.species, found.species, strict=True):
        for variance in species.variances:
            if len(variance.offset):
                total = float((variance.offset**2 + variance.slope**2).mean()) ** 0.5
                assert total == pytest.approx(sizes[z], rel=0.35)


# files and the calculator ---------------------------------------------------------------------


def test_the_file_says_how_uncertain_it_is(file, run):
    model = load_model(file, "cpu")
    assert model.knows_uncertainty
    assert model.card.training["extrapolation_false_alarms"] == 0.05
    assert model.card.training["extrapolation_limit"] > 0
    assert (run.options.output / "uncertainty.pt").exists()


def test_kept_beside_the_weights_until_options_change(run, dataset, file, tmp_path):
    kept = (run.options.output / "uncertainty.pt").stat().st_mtime_ns
    network = load_network(run.options, dataset.basis)
    found = run_uncertainty(run.options, dataset, network)
    assert found is not None
    assert (run.options.output / "uncertainty.pt").stat().st_mtime_ns == kept
    without = run.options.model_copy(
        update={"uncertainty": run.options.uncertainty.model_copy(update={"predict": False})}
    )
    assert run_uncertainty(without, dataset, network) is None
    export_run(without, tmp_path / "plain.pt")
    calculator = RhoCalculator(tmp_path / "plain.pt", device="cpu")
    with pytest.raises(ValueError, match="does not say how uncertain"):
        calculator.get_uncertainty(water())
    with pytest.raises(ValueError, match="does not say how uncertain"):
        calculator.get_density_uncertainty(water())


def test_uncertainty_grows_away_from_the_training_data(file, run, dataset):
    model = load_model(file, "cpu")
    split = json.loads((run.options.output / "split.json").read_text())
    trained = dataset.load(split["training"][0]).atoms
    near, far, farther = model.uncertainty([trained, water(1.25), water(1.5)])
    assert near.errors.sum() < min(far.errors.sum(), farther.errors.sum())
    assert near.variances.sum() < far.variances.sum()
    assert near.extrapolation.max() < far.extrapolation.max() < farther.extrapolation.max()


def test_calculator_gives_errors_of_atoms(file):
    calculator = RhoCalculator(file, device="cpu")
    atoms = water()
    atoms.calc = calculator
    atoms.get_dipole_moment()
    errors = calculator.get_uncertainty()
    assert errors.shape == (3,)
    assert (errors > 0).all()
    np.testing.assert_allclose(errors[1], errors[2], rtol=0.5)  # hydrogen atoms
    twin = pickle.loads(pickle.dumps(calculator))
    np.testing.assert_array_equal(twin.get_uncertainty(atoms), errors)


def test_an_updated_file_has_the_same_errors(file, tmp_path):
    """Beside coefficients, what it knows about them; single precision rounds both."""
    update_model(file, tmp_path / "new.pt")
    old, new = load_model(file, "cpu"), load_model(tmp_path / "new.pt", "cpu")
    (before,), (after,) = old.uncertainty([water()]), new.uncertainty([water()])
    np.testing.assert_allclose(after.errors, before.errors, rtol=1e-3)
    np.testing.assert_allclose(after.variances, before.variances, rtol=1e-3)
    np.testing.assert_array_equal(after.extrapolation, before.extrapolation)


def test_deviation_of_the_density_is_that_of_the_model(file):
    calculator = RhoCalculator(file, device="cpu")
    deviation = calculator.get_density_uncertainty(water())
    assert isinstance(deviation.rho, Density)
    drawn = deviation.draw(100)
    spread = np.std([one.dipole() for one in drawn], axis=0)
    np.testing.assert_allclose(deviation.dipole(), spread, rtol=0.3)
    assert deviation.charges(draws=4, level=0).shape == (3,)
    raw = calculator.get_density_uncertainty(water(), normalize=False)
    assert not raw.rho.is_normalized


def test_warns_once_a_structure(file):
    calculator = RhoCalculator(file, device="cpu")
    torn = water(1.6)
    with pytest.warns(OutsideTrainingWarning, match=r"O0 .*times the limit") as caught:
        calculator.get_density(torn)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calculator.get_density(torn)
        calculator.get_uncertainty(torn)
        calculator.get_coefficients([torn, water()])
        calculator.get_density(water(shift=3.0))
    with pytest.warns(OutsideTrainingWarning, match="H1"):
        calculator.get_coefficients(water(1.7))


def test_networks_and_data_that_do_not_do(run, dataset):
    network = load_network(run.options, dataset.basis)
    structures = [dataset.load(dataset.ids[0]).atoms]
    references = [dataset.load(dataset.ids[1])]
    with pytest.raises(ValueError, match="held_out is empty"):
        fit_uncertainty(network, dataset.basis, structures, [])
    with pytest.raises(ValueError, match="training is empty"):
        fit_uncertainty(network, dataset.basis, [], references)
    with pytest.raises(ValueError, match="no atomic densities"):
        fit_uncertainty(network, dataset.basis.with_atomic_densities({}), structures, references)
    with pytest.raises(ValueError, match="vectors is 0"):
        RigidityOptions(vectors=0)
    with pytest.raises(ValueError, match="false_alarms is 1"):
        RigidityOptions(false_alarms=1.0)


def test_trajectories_name_the_first_unknown_frames(file):
    """Not all of a thousand; the last warning says so."""
    torn = [water(1.6 + 0.01 * i) for i in range(8)]
    with pytest.warns(OutsideTrainingWarning) as caught:
        assert len(list(densities(load_model(file, "cpu"), [water(), *torn]))) == 9
    assert len(caught) == 5
    assert str(caught[-1].message).endswith("; further structures are not looked at")


def test_the_command_warns_in_one_line(file, tmp_path, command):
    write(tmp_path / "torn.xyz", water(1.6))
    status, out, err = command("predict", tmp_path / "torn.xyz", "--model", file)
    assert status == 0
    assert "10.00" in out
    [line] = err.splitlines()
    assert line.startswith("ase-rholearn: warning: H2O has atoms whose bonds are unlike")
