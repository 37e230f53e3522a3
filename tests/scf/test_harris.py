"""The gradient of the Harris energy against differences, with exported models in the loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.lj import LennardJones
from ase.md.verlet import VelocityVerlet
from scipy.spatial.transform import Rotation

from ase_rholearn import Density, RhoCalculator
from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    ModelCard,
    NeighborDensity,
    NetworkOptions,
    build_network,
    export_model,
)
from ase_rholearn.references.pyscf import atomic_densities
from ase_rholearn.scf import harris_gradient, one_shot

WATER = Atoms("OHH", [[0.3, -0.2, 0.1], [1.2, -0.1, 0.3], [0.0, 0.5, 0.75]])

#: Cheap, but with everything that moves.
OPTIONS = {"basis": "def2-svp", "grid_level": 0}


def dimer() -> Atoms:
    second = WATER.copy()
    second.translate([0.3, 2.7, 0.4])
    return WATER + second


@pytest.fixture(scope="module")
def organic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of H, C and O that knows free atoms, and adds something small and random."""
    shells = {
        "H": [(0, [2.0]), (0, [0.5]), (1, [0.8]), (2, [0.9])],
        "C": [(0, [9.0]), (0, [0.5]), (1, [0.9]), (1, [0.3]), (2, [0.7]), (3, [0.6])],
        "O": [(0, [1.1]), (0, [0.4]), (1, [0.9]), (2, [1.3]), (3, [0.8]), (4, [1.0])],
    }
    basis = Basis.from_shells(shells).with_atomic_densities(
        atomic_densities([1, 6, 8], orbital_basis="def2-svp")
    )
    density = NeighborDensity(cutoff=3.0, max_angular=3, max_radial=4)
    network = build_network(NetworkOptions(density=density, tensors=3, linear=True), basis)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.copy_(0.06 * noise)
    card = ModelCard(
        "random", level_of_theory={"xc": "PBE", "orbital_basis": "def2-svp"}, charges=(0, -1)
    )
    path = tmp_path_factory.mktemp("organic") / "model.pt"
    export_model(network, basis, card, path, dtype="float64")
    return path


def calculator(model: str | Path = "water-pbe", **options: object) -> RhoCalculator:
    return RhoCalculator(
        model, device="cpu", energy="harris", energy_options={**OPTIONS, **options}
    )


def check_forces(atoms: Atoms, calc: RhoCalculator, step: float = 5e-4) -> np.ndarray:
    """Along a random direction; the forces."""
    direction = np.random.default_rng(1).normal(size=atoms.positions.shape)
    direction /= np.linalg.norm(direction)
    forces = calc.get_forces(atoms)
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions += sign * step * direction
        energies.append(calc.get_potential_energy(moved))
    expected = (energies[1] - energies[0]) / (2 * step)
    found = float((forces * direction).sum())
    assert found == pytest.approx(expected, abs=1e-6 * units.Hartree / units.Bohr)
    return forces


@pytest.mark.parametrize("xc", ["LDA,VWN", "PBE"])
def test_forces_of_water(xc: str) -> None:
    calc = calculator(xc=xc)
    forces = check_forces(WATER, calc)
    # with the response of the grid nothing is lost when all move together
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-9)
    assert np.abs(forces).max() > 0.5
    energy = calc.get_property("energy", WATER)
    assert calc.get_property("free_energy", WATER) == energy
    rho = calc.get_density(WATER, normalize=False)
    assert one_shot(WATER, rho, xc, **OPTIONS).energy == pytest.approx(energy, abs=1e-9)


def test_forces_of_a_water_dimer_without_a_fit() -> None:
    check_forces(dimer(), calculator(coulomb_basis=None))


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["def2-universal-jfit", None])
def test_forces_of_ethanol(organic: Path, fit: str | None) -> None:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=0)
    forces = check_forces(atoms, calculator(organic, coulomb_basis=fit))
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-9)


def test_forces_of_an_ion(organic: Path) -> None:
    ion = Atoms("OH", [[0.1, 0.2, 0.3], [0.4, 0.9, 0.9]], info={"charge": -1})
    check_forces(ion, calculator(organic))


def test_derivatives_by_coefficients() -> None:
    """Along a random direction, and for a function whose coefficient is zero."""
    rho = RhoCalculator("water-pbe", device="cpu").get_density(WATER, normalize=False)
    c = rho.raw_coefficients.copy()
    c[40] = 0.0
    found = harris_gradient(one_shot(WATER, Density(WATER, rho.basis, c), **OPTIONS))
    assert found.coefficients.shape == c.shape
    random = np.random.default_rng(0).normal(size=c.shape)
    step = 2e-4
    for direction in (random / np.linalg.norm(random), np.eye(len(c))[40]):
        energies = [
            one_shot(WATER, Density(WATER, rho.basis, c + s * direction), **OPTIONS).energy
            for s in (step, -step)
        ]
        expected = (energies[0] - energies[1]) / (2 * step)
        assert found.coefficients @ direction == pytest.approx(expected, rel=1e-4, abs=2e-5)


def test_forces_turn_with_the_molecule() -> None:
    """As far as the grid, whose directions are fixed, allows."""
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7])
    turned = WATER.copy()
    turned.positions = turn.apply(WATER.positions) + 2.0
    calc = calculator(grid_level=2)
    first, second = (calc.get_forces(atoms) for atoms in (WATER, turned))
    np.testing.assert_allclose(turn.apply(first), second, atol=2e-3)


def test_energy_is_conserved() -> None:
    """With exact forces the error of Verlet's steps falls with their square."""
    spread = []
    for step in (0.5, 0.25):
        atoms = WATER.copy()
        atoms.calc = calculator()
        energies = []
        dynamics = VelocityVerlet(atoms, timestep=step * units.fs)
        dynamics.attach(lambda a=atoms, e=energies: e.append(a.get_total_energy()))
        dynamics.run(round(2 / step))
        spread.append(np.ptp(energies))
    assert spread[0] < 0.05
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.25)


def test_where_things_come_from() -> None:
    """The level of theory is the model's; energy and forces never come from two places."""
    calc = RhoCalculator("water-pbe", device="cpu", energy="harris", base=LennardJones())
    assert calc.model.dtype == "float64"
    options = calc._harris.options.to_dict()
    assert (options["xc"], options["basis"], options["grid_level"]) == ("PBE", "def2-tzvp", 3)
    assert {"energy", "free_energy", "forces"} < set(calc.implemented_properties)
    assert not {"stress", "energies"} & set(calc.implemented_properties)
    again = RhoCalculator(**calculator().todict())
    assert again._harris == calculator()._harris


def test_forces_are_computed_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the diagonalisation once for both."""
    calc, calls = calculator(), []
    original = one_shot
    monkeypatch.setattr(
        "ase_rholearn.scf.harris_energy.one_shot",
        lambda *a, **k: calls.append("one shot") or original(*a, **k),
    )
    monkeypatch.setattr(
        "ase_rholearn.scf.harris_energy.harris_gradient",
        lambda found: calls.append("gradient") or harris_gradient(found),
    )
    atoms = WATER.copy()
    atoms.calc = calc
    atoms.get_potential_energy()
    assert calls == ["one shot"]
    atoms.get_forces()
    atoms.get_potential_energy()
    assert calls == ["one shot", "gradient"]


def test_what_is_refused() -> None:
    from ase.calculators.calculator import PropertyNotImplementedError

    calc = calculator()
    crystal = WATER.copy()
    crystal.cell, crystal.pbc = [9, 9, 9], True
    with pytest.raises(ValueError, match=r"atoms.pbc is .*set pbc=False"):
        calc.get_potential_energy(crystal)
    with pytest.raises(PropertyNotImplementedError, match=r"'stress'.*Harris energy is one of mol"):
        calc.get_stress(crystal)
    with pytest.raises(ValueError, match="xc is 'B3LYP': give an LDA or GGA functional"):
        calculator(xc="B3LYP")
    with pytest.raises(ValueError, match=r"energy_options has \['functional'\]: it may have xc, b"):
        calculator(functional="PBE")
    with pytest.raises(ValueError, match="grid_level is 10: give 0 to 9"):
        calculator(grid_level=10)
    with pytest.raises(ValueError, match=r"energy is 'auto': they are for energy='harris'"):
        RhoCalculator("water-pbe", device="cpu", energy_options={"xc": "PBE"})
    magnetic = WATER.copy()
    magnetic.set_initial_magnetic_moments([0, 1, 1])
    with pytest.raises(ValueError, match="magnetic moments"):
        calc.get_potential_energy(magnetic)
