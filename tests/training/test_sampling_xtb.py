"""Relaxation and dynamics with xTB: energies, charges, temperature, and broken molecules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule

from ase_rholearn.training.sampling import (
    XTB,
    Dynamics,
    SamplingError,
    conformers,
    dynamics,
    relax,
    trajectory,
)
from ase_rholearn.training.sampling.dynamics import langevin
from ase_rholearn.training.sampling.xtb import calculator, running_xtb

pytest.importorskip("tblite")

QUICK = Dynamics(frames=2, spacing_fs=5, equilibration_fs=5)


def ammonium() -> Atoms:
    h = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.59
    return Atoms("NH4", [[0, 0, 0], *h], info={"charge": 1})


def test_energy_and_charge_are_those_of_tblite() -> None:
    from tblite.interface import Calculator

    atoms = ammonium()
    direct = Calculator("GFN2-xTB", atoms.numbers, atoms.positions / units.Bohr, charge=1.0)
    direct.set("verbosity", 0)
    atoms.calc = calculator(atoms, "GFN2-xTB")
    expected = direct.singlepoint().get("energy") * units.Hartree
    assert atoms.get_potential_energy() == pytest.approx(expected, abs=1e-5)
    assert atoms.get_charges().sum() == pytest.approx(1, abs=1e-6)


def test_charge_from_initial_charges() -> None:
    atoms = ammonium()
    del atoms.info["charge"]
    atoms.set_initial_charges([1, 0, 0, 0, 0])
    assert calculator(atoms, "GFN1-xTB").parameters.charge == 1


@pytest.mark.parametrize("method", ["GFN2-xTB", "GFN1-xTB"])
def test_relax(method: Any) -> None:
    water = molecule("H2O")
    water.info = {"name": "water"}
    water.positions[1, 1] += 0.2
    before = water.copy()
    relaxed = relax(water, XTB(method=method, fmax=0.01))
    assert water == before
    assert relaxed.calc is None
    assert relaxed.info == {"name": "water", "source": "relaxation"}
    # experiment: 0.958 Angstrom, 104.5 degrees
    assert relaxed.get_distance(0, 1) == pytest.approx(0.958, abs=0.015)
    assert relaxed.get_distance(0, 2) == pytest.approx(relaxed.get_distance(0, 1), abs=0.005)
    assert relaxed.get_angle(1, 0, 2) == pytest.approx(104.5, abs=4)
    relaxed.calc = calculator(relaxed, method)
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() < 0.01


def test_relax_keeps_charge() -> None:
    relaxed = relax(ammonium())
    assert relaxed.info["charge"] == 1
    assert relaxed.get_distance(0, 1) == pytest.approx(1.02, abs=0.02)


def test_relax_reports_what_is_not_converged() -> None:
    water = molecule("H2O")
    water.positions[1, 1] += 0.3
    with pytest.raises(SamplingError, match="not relaxed after 1 steps, the largest force is"):
        relax(water, XTB(steps=1))


def test_relax_reports_a_reaction() -> None:
    """Glycine in the gas phase is no zwitterion: the proton goes over."""
    pytest.importorskip("rdkit")
    zwitterion = conformers("[NH3+]CC(=O)[O-]")[0]
    with pytest.raises(SamplingError, match=r"the bond N0-H\d broke .* while .* relaxed"):
        relax(zwitterion)
    neutral = relax(zwitterion, XTB(keep_bonds=False))
    oxygen, hydrogen = (np.flatnonzero(neutral.numbers == z) for z in (8, 1))
    assert neutral.get_all_distances()[np.ix_(oxygen, hydrogen)].min() < 1.05


def test_frames() -> None:
    atoms = molecule("CH3OH")
    atoms.info = {"smiles": "CO"}
    atoms.set_velocities(np.ones((6, 3)))
    frames = dynamics(atoms, QUICK, seed=1)
    assert len(frames) == 2
    for frame in frames:
        assert frame.info == {"smiles": "CO", "source": "dynamics", "temperature": 300.0}
        assert frame.calc is None
        assert not frame.has("momenta")
        assert frame.numbers.tolist() == atoms.numbers.tolist()
    assert frames[0].positions.tolist() != frames[1].positions.tolist()


def test_deterministic_and_seeded() -> None:
    atoms = molecule("CH3OH")
    first, again, other = (dynamics(atoms, QUICK, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first[1].positions.tolist() != other[1].positions.tolist()
    # the first frames do not depend on how many follow
    assert (
        next(trajectory(atoms, Dynamics(frames=9, spacing_fs=5, equilibration_fs=5), 1))
        == (first[0])
    )


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_change_nothing(threads: int) -> None:
    """Sums in another order would: trajectories are chaotic."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    ring = molecule("C6H6")
    expected = dynamics(ring, QUICK)
    with threadpoolctl.threadpool_limits(threads):
        assert dynamics(ring, QUICK) == expected


def test_kinetic_temperature() -> None:
    atoms = molecule("CH3OH")
    atoms.calc = calculator(atoms, "GFN2-xTB")
    plan = Dynamics(temperature=400, timestep_fs=0.5, friction=0.05)
    integrator = langevin(atoms, plan, np.random.default_rng(5))
    integrator.run(100)
    temperatures = []
    for _ in range(150):
        integrator.run(10)
        temperatures.append(atoms.get_temperature())
    # 18 velocities that forget in 20 fs: 750 fs give a standard error of 5 %
    assert np.mean(temperatures) == pytest.approx(400, rel=0.15)
    # chi-squared with 18 degrees of freedom
    assert np.std(temperatures) == pytest.approx(400 * (2 / 18) ** 0.5, rel=0.3)


def test_equipartition_of_the_potential_energy() -> None:
    """Three vibrations of water hold kT/2 each, above the minimum."""
    water = relax(molecule("H2O"), XTB(fmax=0.001))
    water.calc = calculator(water, "GFN2-xTB")
    minimum = water.get_potential_energy()
    plan = Dynamics(temperature=300, frames=200, spacing_fs=15, timestep_fs=1, friction=0.05)
    energies = []
    for frame in trajectory(water, plan, seed=7):
        frame.calc = water.calc
        energies.append(frame.get_potential_energy() - minimum)
    assert min(energies) > 0
    # some 75 independent frames: standard error 0.14 kT
    assert np.mean(energies) / (units.kB * 300) == pytest.approx(1.5, abs=0.4)


def test_bonds_are_kept_at_room_temperature() -> None:
    from ase_rholearn.training.sampling.bonds import BondGraph

    atoms = molecule("CH3CH2OH")
    graph = BondGraph(atoms)
    assert [graph.change(frame) for frame in dynamics(atoms, QUICK)] == [None, None]


def test_a_molecule_that_dissociates_is_reported() -> None:
    hot = Dynamics(temperature=5000, frames=400, spacing_fs=5, equilibration_fs=0)
    frames = trajectory(molecule("H2O2"), hot, seed=0)
    with pytest.raises(SamplingError, match=r"the bond .* (broke|formed).* at 5000 K: lower"):
        list(frames)


def test_a_structure_that_explodes_is_reported() -> None:
    squeezed = Atoms("Ar2", [[0, 0, 0], [0, 0, 1.2]])
    plan = Dynamics(temperature=10, keep_bonds=False, equilibration_fs=0)
    with pytest.raises(SamplingError, match=r"exploded after .* \(it has \d+ K\): lower"):
        dynamics(squeezed, plan)


def test_failures_of_the_calculation_have_our_class() -> None:
    water = molecule("H2O")
    water.calc = calculator(water, "GFN2-xTB")
    water.positions[0] = np.nan
    with pytest.raises(SamplingError, match="xTB failed: "), running_xtb():
        water.get_forces()


def test_periodic() -> None:
    box = molecule("H2O")
    box.cell = np.diag([6.0, 6.0, 6.0])
    box.pbc = True
    box.wrap()  # bonds across the boundary
    frames = dynamics(box, QUICK)
    for frame in frames:
        assert frame.pbc.all()
        np.testing.assert_array_equal(frame.cell.array, box.cell.array)
        assert frame.get_distance(0, 1, mic=True) == pytest.approx(0.96, abs=0.2)


@pytest.mark.parametrize(
    ("atoms", "match"),
    [
        (molecule("OH"), "HO with charge 0 has 9 electrons, an open shell"),
        (Atoms("H", info={"charge": 1}), "has 0 electrons"),
        (Atoms("O2", [[0, 0, 0], [0, 0, 1.2]], magmoms=[1, 1]), "initial magnetic moments"),
        (Atoms("Fr2", [[0, 0, 0], [0, 0, 4.0]]), "no parameters for Fr"),
        (bulk("Si"), "the cell is 3.14 Angstrom wide"),
        (Atoms("Ne", cell=[9, 9, 9], pbc=[1, 1, 0]), "three periodic directions or none"),
    ],
)
def test_refused(atoms: Atoms, match: str) -> None:
    with pytest.raises(SamplingError, match=match):
        relax(atoms)
    with pytest.raises(SamplingError, match=match):
        dynamics(atoms)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"method": "GFN3"}, "method is 'GFN3': give one of GFN2-xTB, GFN1-xTB"),
        ({"fmax": 0}, "fmax is 0: give a number above 0"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_bad_parameters_of_xtb(parameters: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        XTB(**parameters)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"method": "PBE"}, "method is 'PBE'"),
        ({"temperature": 0}, "temperature is 0: give a number above 0"),
        ({"frames": 0}, "frames is 0"),
        ({"timestep_fs": 5}, "timestep_fs is 5: .* of at most 2"),
        ({"spacing_fs": 0.2}, r"spacing_fs is 0.2: give at least timestep_fs \(0.5 fs\)"),
        ({"equilibration_fs": -1}, "equilibration_fs is -1"),
        ({"friction": 0}, "friction is 0"),
    ],
)
def test_bad_parameters_of_dynamics(parameters: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Dynamics(**parameters)
