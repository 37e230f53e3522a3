"""Energies, forces and stress of exported models: physics, batches, and programs that ask."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from metatensor.torch import Labels
from metatomic.torch import ModelEvaluationOptions, ModelOutput, load_atomistic_model
from scipy.spatial.transform import Rotation

from ase_rholearn import RhoCalculator
from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    ENERGY,
    OUTPUT,
    DensityModel,
    DensityNetwork,
    EnergyHead,
    EnergyOptions,
    ModelCard,
    export_model,
    load_model,
)
from ase_rholearn.model.systems import to_system
from ase_rholearn.model.wrapper import CoefficientModel
from ase_rholearn.torchscript import quiet_torchscript

BASELINE = {1: -13.6, 6: -1030.0, 8: -2040.0}


@pytest.fixture(scope="module")
def head(network: DensityNetwork) -> EnergyHead:
    """Random weights, and energies of atoms as large as real ones."""
    made = EnergyHead(network.expansion, EnergyOptions(pairs=4, products=3, gates=6))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.3 * noise)
        made.baseline.copy_(torch.tensor(list(BASELINE.values()), dtype=torch.float64))
    return made


@pytest.fixture(scope="module")
def energy_file(
    network: DensityNetwork,
    basis: Basis,
    card: ModelCard,
    head: EnergyHead,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("energy") / "model.pt"
    export_model(network, basis, card, path, dtype="float64", energy=head)
    return path


@pytest.fixture(scope="module")
def model(energy_file: Path) -> DensityModel:
    return load_model(energy_file, "cpu")


def rattled(atoms: Atoms) -> Atoms:
    atoms.rattle(0.1, seed=3)
    return atoms


def triclinic() -> Atoms:
    """A crystal whose atoms see several images of each other."""
    cell = [[2.3, 0.2, -0.3], [0.9, 2.6, 0.1], [-0.4, 0.7, 2.9]]
    return Atoms("CO", scaled_positions=[[0.1, 0.2, 0.05], [0.55, 0.6, 0.45]], cell=cell, pbc=True)


def energy(model: DensityModel, atoms: Atoms) -> float:
    return model.potential(atoms).energy


@pytest.mark.parametrize("make", [lambda: rattled(molecule("CH3CH2OH")), triclinic])
def test_forces_equal_finite_differences(energy_file: Path, make: Callable[[], Atoms]) -> None:
    atoms = make()
    atoms.calc = RhoCalculator(energy_file, device="cpu")
    numerical = calculate_numerical_forces(atoms, eps=1e-4)
    assert np.abs(numerical).max() > 0.1
    np.testing.assert_allclose(atoms.get_forces(), numerical, atol=2e-7)


def test_stress_equals_finite_differences(energy_file: Path) -> None:
    atoms = triclinic()
    atoms.calc = RhoCalculator(energy_file, device="cpu")
    numerical = calculate_numerical_stress(atoms, eps=1e-5, voigt=True)
    assert np.abs(numerical).max() > 1e-3
    np.testing.assert_allclose(atoms.get_stress(), numerical, atol=1e-7)


def test_invariances(model: DensityModel) -> None:
    """Rotation with inversion, translation, permutation: the energy stays, forces follow."""
    atoms = rattled(molecule("CH3CH2OH"))
    expected = model.potential(atoms)
    matrix = -Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    order = np.random.default_rng(1).permutation(len(atoms))
    moved = atoms[order]
    moved.positions = moved.positions @ matrix.T + [3.0, -5.0, 7.0]
    actual = model.potential(moved)
    assert actual.energy == pytest.approx(expected.energy, abs=1e-9)
    np.testing.assert_allclose(actual.forces, expected.forces[order] @ matrix.T, atol=1e-9)
    np.testing.assert_allclose(actual.energies, expected.energies[order], atol=1e-9)
    np.testing.assert_allclose(actual.forces.sum(axis=0), 0.0, atol=1e-10)


def test_size_extensivity(model: DensityModel) -> None:
    """Two far copies have twice the energy, and a supercell that of its cells."""
    atoms = rattled(molecule("CH3CH2OH"))
    far = atoms.copy()
    far.translate([50.0, 0.0, 0.0])
    assert energy(model, atoms + far) == pytest.approx(2 * energy(model, atoms), abs=1e-8)
    cell = triclinic()
    once, twice = model.potential(cell), model.potential(cell.repeat((1, 2, 1)))
    assert twice.energy == pytest.approx(2 * once.energy, abs=1e-8)
    assert once.stress is not None
    assert twice.stress is not None
    np.testing.assert_allclose(twice.stress, once.stress, atol=1e-10)


@pytest.mark.parametrize("z", list(BASELINE))
def test_lone_atoms_have_the_energy_of_the_baseline(model: DensityModel, z: int) -> None:
    alone = model.potential(Atoms([z]))
    assert alone.energy == pytest.approx(BASELINE[z], abs=1e-12)
    np.testing.assert_array_equal(alone.forces, 0.0)
    pair = Atoms([z, 6], positions=[[0, 0, 0], [0, 0, 3.01]])  # beyond the cutoff
    assert energy(model, pair) == pytest.approx(BASELINE[z] + BASELINE[6], abs=1e-11)


def test_smooth_through_the_cutoff(model: DensityModel) -> None:
    """Energy and slope vanish together where a neighbour leaves."""
    distances = 3.0 + np.array([-1e-3, -1e-4, 1e-4])
    found = [
        model.potential(Atoms("CO", positions=[[0, 0, 0], [0, 0, r]])) for r in distances.tolist()
    ]
    zero = BASELINE[6] + BASELINE[8]
    assert abs(found[0].energy - zero) < 1e-5
    assert abs(found[1].energy - zero) < 1e-7
    assert found[2].energy == pytest.approx(zero, abs=1e-11)
    assert 10 * abs(found[1].forces[0, 2]) == pytest.approx(
        abs(found[0].forces[0, 2]), rel=0.02
    )  # linear in the distance to the cutoff


def test_single_precision(model: DensityModel, energy_file: Path) -> None:
    single = load_model(energy_file, "cpu", "float32")
    atoms = rattled(molecule("CH3CH2OH"))
    exact, rounded = model.potential(atoms), single.potential(atoms)
    assert rounded.energy == pytest.approx(exact.energy, rel=2e-7)
    np.testing.assert_allclose(rounded.forces, exact.forces, atol=1e-4)


def run(path: Path, structures: list[Atoms], kind: str, selected: Labels | None = None):
    """The outputs of a file as metatomic's own checks accept them."""
    with quiet_torchscript():
        loaded = load_atomistic_model(path)
    lists = loaded.requested_neighbor_lists()
    systems = [to_system(a, lists, torch.float64, torch.device("cpu")) for a in structures]
    outputs = {
        ENERGY: ModelOutput(unit="eV", sample_kind=kind),
        OUTPUT: ModelOutput(unit="", sample_kind="atom"),
    }
    options = ModelEvaluationOptions(
        length_unit="angstrom", outputs=outputs, selected_atoms=selected
    )
    with torch.jit.optimized_execution(False):
        return loaded(systems, options, check_consistency=True)


def test_batches_and_sample_kinds(model: DensityModel, energy_file: Path) -> None:
    """Sums and atoms, of several structures, with the coefficients at the same time."""
    structures = [molecule("H2O"), Atoms("H"), bulk("C"), molecule("CH4")]
    alone = [model.potential(atoms) for atoms in structures]
    totals = run(energy_file, structures, "system")[ENERGY].block()
    assert totals.samples.names == ["system"]
    np.testing.assert_allclose(totals.values[:, 0].detach(), [p.energy for p in alone])
    atoms = run(energy_file, structures, "atom")
    block = atoms[ENERGY].block()
    assert block.samples.values.tolist() == [
        [s, a] for s, p in enumerate(alone) for a in p_range(p)
    ]
    np.testing.assert_allclose(
        block.values[:, 0].detach(), np.concatenate([p.energies for p in alone])
    )
    coefficients = model.predict(structures)
    torch.testing.assert_close(atoms[OUTPUT].block(0).values, coefficients.block(0).values)


def p_range(potential) -> range:
    return range(len(potential.energies))


def test_selected_atoms(model: DensityModel, energy_file: Path) -> None:
    structures = [molecule("CH3CH2OH"), Atoms("C"), molecule("H2O")]
    chosen = Labels(["system", "atom"], torch.tensor([[2, 2], [0, 8], [0, 1]]))
    whole = [model.potential(atoms).energies for atoms in structures]
    block = run(energy_file, structures, "atom", chosen)[ENERGY].block()
    found = {
        tuple(sample): float(value)
        for sample, value in zip(block.samples.values.tolist(), block.values[:, 0], strict=True)
    }
    assert set(found) == {(0, 1), (0, 8), (2, 2)}
    for (system, atom), value in found.items():
        assert value == pytest.approx(whole[system][atom], abs=1e-10)
    totals = run(energy_file, structures, "system", chosen)[ENERGY].block()
    assert totals.samples.values.tolist() == [[0], [2]]
    assert float(totals.values[0]) == pytest.approx(whole[0][1] + whole[0][8], abs=1e-10)


def test_saved_model_equals_eager_one(
    network: DensityNetwork, basis: Basis, head: EnergyHead, model: DensityModel
) -> None:
    module = CoefficientModel(network, basis, copy.deepcopy(head))
    atoms = rattled(molecule("CH3CH2OH"))
    system = to_system(atoms, module.requested_neighbor_lists(), torch.float64, torch.device("cpu"))
    eager = module([system], {ENERGY: ModelOutput(unit="eV", sample_kind="atom")}, None)
    np.testing.assert_allclose(
        eager[ENERGY].block().values[:, 0].detach(), model.potential(atoms).energies, atol=1e-10
    )


def test_one_expansion_gives_coefficients_and_energies(
    network: DensityNetwork, basis: Basis, head: EnergyHead
) -> None:
    """Asked for together they are what they are alone, for the price of one expansion."""
    module = CoefficientModel(network, basis, head)
    lists = module.requested_neighbor_lists()
    atoms = [rattled(molecule("CH3CH2OH")), molecule("H2O")]
    systems = [to_system(one, lists, torch.float64, torch.device("cpu")) for one in atoms]
    chosen = Labels(["system", "atom"], torch.tensor([[1, 0], [0, 3]]))
    calls: list[None] = []
    hook = network.expansion.register_forward_hook(lambda *_: calls.append(None))
    output = ModelOutput(unit="", sample_kind="atom")
    for selected in (None, chosen):
        both = module(systems, {ENERGY: output, OUTPUT: output}, selected)
        assert len(calls) == 1
        for name in (ENERGY, OUTPUT):
            alone = module(systems, {name: output}, selected)[name]
            for key, block in alone.items():
                torch.testing.assert_close(block.values, both[name].block(key).values)
        calls.clear()
    hook.remove()


# the calculator ---------------------------------------------------------------------------


def test_metatomic_calculator_agrees(energy_file: Path) -> None:
    metatomic_ase = pytest.importorskip("metatomic_ase")
    with quiet_torchscript():
        # without stress, which it would divide by the volume of a molecule too
        other = metatomic_ase.MetatomicCalculator(
            energy_file, device="cpu", check_consistency=True, do_gradients_with_energy=False
        )
    for atoms in (rattled(molecule("CH3CH2OH")), triclinic(), Atoms("H")):
        theirs = atoms.copy()
        theirs.calc, atoms.calc = other, RhoCalculator(energy_file, device="cpu")
        assert atoms.get_potential_energy() == pytest.approx(
            theirs.get_potential_energy(), abs=1e-9
        )
        np.testing.assert_allclose(atoms.get_forces(), theirs.get_forces(), atol=1e-10)
        if atoms.pbc.all():
            np.testing.assert_allclose(atoms.get_stress(), theirs.get_stress(), atol=1e-10)


def test_dynamics_agree(energy_file: Path) -> None:
    """Verlet steps through this calculator and metatomic's visit the same positions."""
    metatomic_ase = pytest.importorskip("metatomic_ase")
    from ase import units
    from ase.md.verlet import VelocityVerlet

    with quiet_torchscript():
        other = metatomic_ase.MetatomicCalculator(
            energy_file, device="cpu", neighbor_skin=0.0, do_gradients_with_energy=False
        )
    ends = []
    for calculator in (RhoCalculator(energy_file, device="cpu"), other):
        atoms = molecule("CH3OH")
        atoms.set_momenta(np.random.default_rng(0).normal(scale=0.1, size=(len(atoms), 3)))
        atoms.calc = calculator
        VelocityVerlet(atoms, 0.5 * units.fs).run(20)
        ends.append(atoms.positions)
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-6)


def test_one_evaluation_gives_everything(energy_file: Path, monkeypatch) -> None:
    calls = []
    original = DensityModel.potential

    def counted(self: DensityModel, atoms: Atoms):
        calls.append(atoms)
        return original(self, atoms)

    monkeypatch.setattr(DensityModel, "potential", counted)
    atoms = triclinic()
    atoms.calc = RhoCalculator(energy_file, device="cpu")
    total = atoms.get_potential_energy()
    assert atoms.get_potential_energy(force_consistent=True) == total
    assert atoms.get_potential_energies().sum() == pytest.approx(total, abs=1e-9)
    atoms.get_forces(), atoms.get_stress()
    assert len(calls) == 1
    atoms.positions[0] += 0.01
    atoms.get_stress()
    assert len(calls) == 2


def test_stress_of_a_molecule_is_refused(energy_file: Path) -> None:
    from ase.calculators.calculator import PropertyNotImplementedError

    atoms = molecule("H2O")
    atoms.calc = RhoCalculator(energy_file, device="cpu")
    atoms.get_forces()
    with pytest.raises(PropertyNotImplementedError, match="periodic along 0 directions"):
        atoms.get_stress()


def test_choice_of_the_energy(energy_file: Path, model_file: Path) -> None:
    from ase.calculators.lj import LennardJones

    atoms = molecule("H2O")
    own = RhoCalculator(energy_file).get_potential_energy(atoms)
    base = LennardJones().get_potential_energy(atoms)

    def chosen(**arguments) -> float:
        return RhoCalculator(energy_file, **arguments).get_potential_energy(atoms)

    assert chosen(base=LennardJones()) == base
    assert chosen(base=LennardJones(), energy=None) == base
    assert chosen(base=LennardJones(), energy="model") == own
    assert "energy" not in RhoCalculator(energy_file, energy=None).implemented_properties
    assert "stress" not in RhoCalculator(model_file).implemented_properties
    with pytest.raises(ValueError, match=r"energy is 'model'.*has no energies.*base="):
        RhoCalculator(model_file, energy="model")
    with pytest.raises(ValueError, match=r"energy is 'guess'.*'auto', 'model', 'harris', None"):
        RhoCalculator(energy_file, energy="guess")


def test_choice_survives_copies_and_files(energy_file: Path) -> None:
    import pickle

    calculator = RhoCalculator(energy_file, energy=None)
    again = [
        copy.deepcopy(calculator),
        pickle.loads(pickle.dumps(calculator)),
        RhoCalculator(**calculator.todict()),
    ]
    assert all("energy" not in twin.implemented_properties for twin in again)
    assert "energy" not in RhoCalculator(energy_file).todict()


def test_model_without_energies_says_so(model_file: Path) -> None:
    """A file of before this output: densities as ever, energies with a reason."""
    old = load_model(model_file, "cpu")
    assert not old.has_energy
    assert old.coefficients([molecule("H2O")])[0].any()
    with pytest.raises(ValueError, match="has no energies: train it"):
        old.potential(molecule("H2O"))


def test_shipped_model_has_no_energies() -> None:
    assert not load_model("water-pbe", "cpu").has_energy


def test_examples_of_the_documentation_run(energy_file: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(energy_file.parent)
    text = (Path(__file__).parents[2] / "docs" / "energies.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, {})
    assert float(capfd.readouterr().out.split()[0]) < -2000


def test_empty_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="pairs is 0, products 0"):
        EnergyOptions(pairs=0, products=0)
