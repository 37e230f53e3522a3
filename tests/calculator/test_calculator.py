"""RhoCalculator as ASE and its users handle calculators."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import (
    PropertyNotImplementedError,
    get_calculator_class,
)
from ase.calculators.lj import LennardJones
from ase.io import read, write
from ase.io.trajectory import Trajectory
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from ase_rholearn import Density, RhoCalculator, load_model
from ase_rholearn.basis import from_tensormap
from ase_rholearn.density import read_grid
from ase_rholearn.trajectory import DensityTrajectory


@pytest.fixture(scope="module")
def calculator() -> RhoCalculator:
    return RhoCalculator("water-pbe", device="cpu")


@pytest.fixture
def water() -> Atoms:
    return molecule("H2O")


@pytest.fixture
def dimer() -> Atoms:
    second = molecule("H2O")
    second.translate([0.3, 2.9, 0.4])
    return molecule("H2O") + second


def lennard_jones() -> LennardJones:
    return LennardJones(sigma=1.0, epsilon=0.01, rc=6.0)


def test_dipole_is_that_of_water(calculator, water):
    """PBE/def2-TZVP gives 1.9 D, along the axis of symmetry towards the hydrogen atoms."""
    water.calc = calculator
    dipole = water.get_dipole_moment() / units.Debye
    assert np.abs(dipole[:2]).max() < 0.01
    assert abs(dipole[2]) == pytest.approx(1.95, abs=0.1)
    towards_hydrogen = water.positions[1:].mean(axis=0) - water.positions[0]
    assert dipole @ towards_hydrogen > 0


def test_charges_add_up_and_follow_electronegativity(calculator, water):
    water.calc = calculator
    charges = water.get_charges()
    assert charges.sum() == pytest.approx(0.0, abs=1e-10)
    assert charges[0] < 0 < charges[1]
    assert charges[1] == pytest.approx(charges[2], abs=1e-3)


def test_number_of_electrons_is_exact(calculator, dimer):
    assert calculator.get_density(dimer).number_of_electrons == pytest.approx(20.0, abs=1e-8)


def test_normalize_false_keeps_the_raw_coefficients(calculator, dimer):
    exact, raw = calculator.get_density(dimer), calculator.get_density(dimer, normalize=False)
    np.testing.assert_array_equal(exact.raw_coefficients, raw.coefficients)
    assert raw.number_of_electrons + exact.normalization == pytest.approx(20.0, abs=1e-8)


def test_coefficients_of_a_batch_equal_single_ones(calculator, water, dimer):
    tensor = calculator.get_coefficients([water, dimer])
    basis = calculator.model.basis
    flat = from_tensormap(basis, [water.numbers, dimer.numbers], tensor)
    for atoms, coefficients in zip([water, dimer], flat, strict=True):
        expected = calculator.get_density(atoms).raw_coefficients
        np.testing.assert_allclose(coefficients, expected, rtol=0, atol=2e-6)


def test_same_answer_as_the_model_itself(calculator, dimer):
    model = load_model("water-pbe", "cpu")
    rho = Density(dimer, model.basis, model.coefficients([dimer])[0])
    np.testing.assert_allclose(rho.dipole(), calculator.get_density(dimer).dipole(), atol=1e-12)


# ASE's habits ------------------------------------------------------------------------------


def test_results_are_cached_until_something_changes(calculator, water, monkeypatch):
    calls = []
    predict = calculator._predict
    monkeypatch.setattr(calculator, "_predict", lambda atoms: calls.append(1) or predict(atoms))
    water.calc = calculator
    first = water.get_dipole_moment()
    water.get_dipole_moment()
    water.get_charges()
    calculator.get_density()
    assert len(calls) == 1
    water.rattle(0.01, seed=1)
    assert not np.array_equal(water.get_dipole_moment(), first)
    assert len(calls) == 2


def test_a_returned_dipole_can_be_changed_without_harm(calculator, water):
    water.calc = calculator
    first = water.get_dipole_moment()
    kept = first.copy()
    first += 1.0
    np.testing.assert_array_equal(water.get_dipole_moment(), kept)


def test_density_keeps_its_own_structure(calculator, water):
    rho = calculator.get_density(water)
    before = rho.dipole()
    water.positions += 1.0
    water.positions[0] += 0.3
    np.testing.assert_array_equal(rho.dipole(), before)


def test_changed_charge_invalidates_the_cache(calculator, water):
    water.calc = calculator
    water.get_dipole_moment()
    water.info["charge"] = 1
    with pytest.raises(ValueError, match=r"charge \+1.*'water-pbe' was trained on"):
        water.get_dipole_moment()


def test_changed_initial_charges_invalidate_the_cache(calculator, water):
    water.calc = calculator
    water.get_dipole_moment()
    water.set_initial_charges([1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"charge \+1"):
        water.get_dipole_moment()


def test_todict_makes_an_equal_calculator(calculator, water):
    twin = get_calculator_class("rho")(**calculator.todict())
    np.testing.assert_array_equal(
        twin.get_density(water).coefficients, calculator.get_density(water).coefficients
    )
    assert calculator.todict() == {
        "model": "water-pbe",
        "device": "cpu",
        "charges_scheme": "hirshfeld",
    }


def test_the_scheme_of_charges(water, monkeypatch):
    """Changing it invalidates charges, and copies keep it."""
    asked = []

    def charges(self: Density, scheme: str) -> np.ndarray:
        asked.append(scheme)
        return np.full(3, float(len(asked)))

    monkeypatch.setattr(Density, "charges", charges)
    calculator = RhoCalculator("water-pbe", device="cpu")
    water.calc = calculator
    water.get_charges()
    dipole = water.get_dipole_moment()
    calculator.charges_scheme = "voronoi"
    assert "charges" not in calculator.results
    np.testing.assert_array_equal(calculator.results["dipole"], dipole)
    np.testing.assert_array_equal(water.get_charges(), 2.0)
    assert asked == ["hirshfeld", "voronoi"]
    assert copy.deepcopy(calculator).charges_scheme == "voronoi"
    with pytest.raises(ValueError, match="charges_scheme is 'mulliken': give one of hirshfeld"):
        calculator.charges_scheme = "mulliken"
    with pytest.raises(ValueError, match="charges_scheme is 'mulliken'"):
        RhoCalculator("water-pbe", charges_scheme="mulliken")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_are_independent_and_equal(water, duplicate):
    original = RhoCalculator("water-pbe", device="cpu", base=lennard_jones())
    water.calc = original
    expected = water.get_dipole_moment()
    twin = duplicate(original)
    other = molecule("H2O")
    other.calc = twin
    np.testing.assert_array_equal(other.get_dipole_moment(), expected)
    assert other.get_potential_energy() == water.get_potential_energy()
    other.rattle(0.05, seed=0)
    other.get_dipole_moment()
    np.testing.assert_array_equal(water.get_dipole_moment(), expected)


def test_copied_atoms_have_no_calculator(calculator, water):
    water.calc = calculator
    assert water.copy().calc is None
    deep = copy.deepcopy(water)
    np.testing.assert_array_equal(deep.get_dipole_moment(), water.get_dipole_moment())


def test_trajectory_keeps_the_properties(calculator, water, tmp_path):
    water.calc = calculator
    dipole, charges = water.get_dipole_moment(), water.get_charges()
    with Trajectory(tmp_path / "water.traj", "w") as trajectory:
        trajectory.write(water)
    back = read(tmp_path / "water.traj")
    np.testing.assert_array_equal(back.get_dipole_moment(), dipole)
    np.testing.assert_array_equal(back.get_charges(), charges)


def test_extended_xyz_keeps_the_dipole(calculator, water, tmp_path):
    water.calc = calculator
    dipole = water.get_dipole_moment()
    write(tmp_path / "water.xyz", water)
    np.testing.assert_allclose(read(tmp_path / "water.xyz").get_dipole_moment(), dipole, atol=1e-7)


def test_threads(calculator):
    """Several threads, one calculator: each gets the density of its own structure."""
    frames = []
    for seed in range(6):
        atoms = molecule("H2O")
        atoms.rattle(0.02, seed=seed)
        frames.append(atoms)
    expected = [RhoCalculator("water-pbe", device="cpu").get_density(a).dipole() for a in frames]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(10):
            found = calculator.get_density(frames[index]).dipole()
            if np.abs(found - expected[index]).max() > 1e-10:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_ase_finds_the_calculator_by_name():
    assert get_calculator_class("rho") is RhoCalculator


def test_ase_finds_the_plugin_without_an_import():
    """The entry point, in a process that does not mention this package."""
    code = (
        "from ase._4.plugins import plugins; "
        "print([p() for p in plugins.calculators if p.name == 'rho'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "RhoCalculator" in done.stdout, done.stderr


# base --------------------------------------------------------------------------------------


def test_base_supplies_energy_forces_and_stress(water):
    water.calc = RhoCalculator("water-pbe", device="cpu", base=lennard_jones())
    alone = molecule("H2O")
    alone.calc = lennard_jones()
    assert water.get_potential_energy() == alone.get_potential_energy()
    np.testing.assert_array_equal(water.get_forces(), alone.get_forces())
    assert water.get_dipole_moment().shape == (3,)


def test_relaxation_and_dynamics_with_an_observer(dimer, tmp_path):
    """Drops into scripts: cubes and dipoles every second step."""
    calculator = RhoCalculator("water-pbe", device="cpu", base=lennard_jones())
    dimer.calc = calculator
    BFGS(dimer, logfile=None).run(fmax=0.05, steps=3)
    dynamics = VelocityVerlet(dimer, timestep=0.5 * units.fs)
    observer = calculator.observer(dimer, tmp_path / "md", spacing=0.6)
    dynamics.attach(observer, interval=2)
    dynamics.run(4)
    assert sorted(path.name for path in (tmp_path / "md").iterdir()) == [
        "density_00000.cube",
        "density_00001.cube",
        "density_00002.cube",
        "dipoles.csv",
    ]
    table = np.loadtxt(tmp_path / "md" / "dipoles.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(table[-1, 1:], dimer.get_dipole_moment(), atol=1e-7)


@pytest.mark.parametrize("name", ["md.extxyz", "md.h5"])
def test_an_observer_writes_files_of_frames(calculator, water, tmp_path, name):
    """And goes on with them, if it is told to."""
    expected = []
    for start in (0, 2):
        with calculator.observer(water, tmp_path / name, append=True) as observer:
            assert observer.count == start
            for _ in range(2):
                water.rattle(0.02, seed=observer.count)
                observer()
                expected.append(calculator.get_density(water).dipole())
    if name == "md.h5":
        with DensityTrajectory(tmp_path / name) as trajectory:
            found = trajectory["dipole"]
    else:
        found = [atoms.get_dipole_moment() for atoms in read(tmp_path / name, ":")]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    calculator.observer(water, tmp_path / name).close()
    with pytest.raises(ValueError, match="quantities and append are for files"):
        calculator.observer(water, tmp_path / "folder", append=True)


def test_properties_without_base_say_what_to_do(calculator, water):
    water.calc = calculator
    with pytest.raises(PropertyNotImplementedError, match=r"'energy'.*give base="):
        water.get_potential_energy()


def test_dipole_of_a_crystal_is_refused(calculator, water):
    water.set_cell([6, 6, 6])
    water.pbc = True
    water.calc = calculator
    with pytest.raises(ValueError, match=r"atoms\.pbc is \[True, True, True\].*set pbc=False"):
        water.get_dipole_moment()


# files and mistakes ------------------------------------------------------------------------


def test_write_cube(calculator, water, tmp_path):
    """A cube that ASE reads back: the density integrates to the electrons, to the grid's error."""
    water.calc = calculator
    water.get_dipole_moment()
    calculator.write_cube(tmp_path / "water", spacing=0.25)
    from ase.io.cube import read_cube

    with (tmp_path / "water.cube").open() as stream:
        content = read_cube(stream)
    assert content["atoms"].get_chemical_formula() == "H2O"
    np.testing.assert_allclose(content["atoms"].positions, water.positions, atol=1e-5)
    values = content["data"]
    rho = calculator.get_density()
    grid = rho.on_grid(spacing=0.25)
    np.testing.assert_allclose(values / units.Bohr**3, grid.values, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", ["rho.xsf", "rho.h5", "CHGCAR"])
def test_write_cube_knows_other_formats_by_name(calculator, water, tmp_path, name):
    calculator.write_cube(tmp_path / name, water, spacing=0.5)
    values = calculator.get_density(water).on_grid(0.5).values
    np.testing.assert_allclose(read_grid(tmp_path / name)[1].values, values, rtol=1e-6, atol=1e-8)


def test_write_cube_adds_its_suffix(calculator, water, tmp_path):
    calculator.write_cube(tmp_path / "water.1", water, spacing=0.8)
    assert [path.name for path in tmp_path.iterdir()] == ["water.1.cube"]


@pytest.mark.parametrize("name", ["missing/water.cube", "folder.cube"])
def test_unwritable_cube(calculator, water, tmp_path, name):
    (tmp_path / "folder.cube").mkdir()
    with pytest.raises(OSError, match=Path(name).parts[0]):
        calculator.write_cube(tmp_path / name, water, spacing=0.5)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder.cube"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.symbols.__setitem__(0, "S"), r"atoms: the model 'water-pbe'.*\bS\b.*H, O"),
        (lambda a: a.positions.__setitem__(1, np.nan), r"atoms\.positions of atom 1 is \[nan"),
        (lambda a: a.__delitem__(slice(None)), "atoms has no atoms: give a structure"),
        (lambda a: a.positions.__setitem__(1, a.positions[2]), "atoms 1 and 2 overlap, 0 Angstrom"),
        (lambda a: a.set_pbc(True), r"atoms\.pbc is \[True, True, True\] but the cell vectors"),
        (lambda a: a.symbols.__setitem__(1, "X"), r"dummy species \(X\) at atom 1: remove it"),
    ],
)
def test_bad_structures(calculator, water, change, message):
    change(water)
    with pytest.raises(ValueError, match=message):
        calculator.get_density(water)


def test_structures_of_another_type(calculator):
    with pytest.raises(TypeError, match=r"atoms is a str: give an ase\.Atoms object"):
        calculator.get_density("H2O")


def test_no_structure_at_all():
    calculator = RhoCalculator("water-pbe", device="cpu")
    with pytest.raises(ValueError, match="atoms is missing: no structure was calculated before"):
        calculator.get_density()
    with pytest.raises(ValueError, match="atoms is an empty list"):
        calculator.get_coefficients([])


def test_unknown_arguments():
    with pytest.raises(TypeError, match=r"no arguments \['cutof'\]: it takes model"):
        RhoCalculator("water-pbe", cutof=3)
    with pytest.raises(TypeError, match="base is a str: give an ASE calculator"):
        RhoCalculator("water-pbe", base="lj")
    with pytest.raises(FileNotFoundError, match="water-pbe"):
        RhoCalculator("no-such-model")
