"""The screened repulsion of nuclei: values, smoothness, and as a part of exported energies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from metatomic.torch import ModelOutput
from scipy import constants

from ase_rholearn import RhoCalculator
from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    ENERGY,
    DensityModel,
    DensityNetwork,
    EnergyHead,
    EnergyOptions,
    ModelCard,
    NeighborDensity,
    NetworkOptions,
    NuclearRepulsion,
    build_network,
    export_model,
    load_model,
)
from ase_rholearn.model.systems import to_system
from ase_rholearn.model.wrapper import CoefficientModel

#: Of the pairs of H, C and O, Angstrom; some are shorter than what the structures have.
ONSET = torch.tensor([[1.9, 1.3, 1.2], [1.3, 2.6, 1.6], [1.2, 1.6, 2.8]], dtype=torch.float64)


@pytest.fixture(scope="module")
def repulsion(basis: Basis) -> NuclearRepulsion:
    return NuclearRepulsion(basis.species, ONSET)


@pytest.fixture(scope="module")
def plain(density: NeighborDensity, basis: Basis) -> DensityNetwork:
    return build_network(NetworkOptions(density=density, tensors=2), basis)


def head_of(network: DensityNetwork, repulsion: NuclearRepulsion | None) -> EnergyHead:
    """The same random weights each time."""
    head = EnergyHead(network.expansion, EnergyOptions(pairs=3, products=2, gates=4), repulsion)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in head.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.1 * noise)
    return head


@pytest.fixture(scope="module")
def files(
    plain: DensityNetwork,
    basis: Basis,
    card: ModelCard,
    repulsion: NuclearRepulsion,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """One head, exported with and without the repulsion."""
    folder = tmp_path_factory.mktemp("repulsion")
    for name, term in (("with", repulsion), ("without", None)):
        path = folder / f"{name}.pt"
        export_model(plain, basis, card, path, dtype="float64", energy=head_of(plain, term))
    return {name: folder / f"{name}.pt" for name in ("with", "without")}


@pytest.fixture(scope="module")
def models(files: dict[str, Path]) -> dict[str, DensityModel]:
    return {name: load_model(path, "cpu") for name, path in files.items()}


def independent(z: int, other: int, r: float, onset: float) -> float:
    """The potential in SI units and with numbers typed anew, eV."""
    bohr = constants.physical_constants["Bohr radius"][0]
    a = 0.8854 * bohr / (z**0.23 + other**0.23)
    x = r * 1e-10 / a
    terms = {3.1998: 0.18175, 0.94229: 0.50986, 0.4029: 0.28022, 0.20162: 0.02817}
    screening = sum(c * np.exp(-b * x) for b, c in terms.items())
    coulomb = z * other * constants.e / (4 * np.pi * constants.epsilon_0 * r * 1e-10)
    t = np.clip(2 * r / onset - 1, 0, 1)
    return float(coulomb * screening * (1 - (6 * t**5 - 15 * t**4 + 10 * t**3)))


def pair(z: int, other: int, r: float) -> Atoms:
    return Atoms([z, other], positions=[[0, 0, 0], [0, 0, r]])


def dimer() -> Atoms:
    """Two molecules far too close."""
    atoms = molecule("CH3OH") + molecule("H2O")
    atoms.positions[6:] += [1.0, 1.4, 0.3]
    return atoms


@pytest.mark.parametrize("r", [0.4, 0.9, 1.15, 1.55, 2.5])
@pytest.mark.parametrize(("i", "j"), [(0, 0), (0, 2), (1, 2), (2, 2)])
def test_values(repulsion: NuclearRepulsion, basis: Basis, i: int, j: int, r: float) -> None:
    distances = torch.tensor([r, r], dtype=torch.float64)
    found = repulsion.pairs(torch.tensor([i, j]), torch.tensor([j, i]), distances)
    expected = independent(basis.species[i], basis.species[j], r, float(ONSET[i, j]))
    assert found[0] == found[1]
    assert float(found[0]) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_falls_everywhere_and_is_smooth_at_both_ends(repulsion: NuclearRepulsion) -> None:
    """Value, slope and curvature go through the ends of the switch; the potential only repels."""
    r = torch.linspace(0.2, 3.0, 561, dtype=torch.float64)
    r = torch.cat([r, *(end + torch.tensor([-1e-9, 1e-9]).double() for end in (1.4, 2.8))])
    r.requires_grad_()
    oxygen = torch.full(r.shape, 2)
    values = repulsion.pairs(oxygen, oxygen, r)
    (slopes,) = torch.autograd.grad(values.sum(), r, create_graph=True)
    (curves,) = torch.autograd.grad(slopes.sum(), r)
    assert bool((slopes[r < 2.79] < 0).all())
    assert not values[r > 2.8].any()
    assert not slopes[r > 2.8].any()
    for start in (561, 563):
        for numbers in (values, slopes, curves):
            left, right = numbers.detach()[start : start + 2].tolist()
            assert left == pytest.approx(right, rel=1e-6, abs=1e-5)


def test_is_added_to_what_is_learned(models: dict[str, DensityModel], basis: Basis) -> None:
    """Nothing else changes, in energies of atoms and in total; atoms of a pair share it."""
    atoms = dimer()
    d = atoms.get_all_distances()
    expected = np.zeros(len(atoms))
    for i in range(len(atoms)):
        for j in set(range(len(atoms))) - {i}:
            z, other = atoms.numbers[[i, j]]
            onset = float(ONSET[basis.species.index(z), basis.species.index(other)])
            expected[i] += independent(int(z), int(other), d[i, j], onset) / 2
    found = [models[name].potential(atoms).energies for name in ("with", "without")]
    assert expected.sum() > 1.0
    np.testing.assert_allclose(found[0] - found[1], expected, rtol=1e-5, atol=1e-9)


def test_forces_and_stress_equal_finite_differences(files: dict[str, Path]) -> None:
    crystal = Atoms("CO", positions=[[0, 0, 0], [0.9, 0.8, 0.7]], cell=[2.4, 2.3, 2.5], pbc=True)
    for atoms in (dimer(), crystal):
        atoms.calc = RhoCalculator(files["with"], device="cpu")
        numerical = calculate_numerical_forces(atoms, eps=1e-5)
        np.testing.assert_allclose(atoms.get_forces(), numerical, rtol=1e-6, atol=1e-6)
    numerical = calculate_numerical_stress(crystal, eps=1e-6, voigt=True)
    np.testing.assert_allclose(crystal.get_stress(), numerical, rtol=1e-5, atol=1e-6)


def test_size_extensivity(models: dict[str, DensityModel]) -> None:
    atoms = dimer()
    far = atoms.copy()
    far.translate([40.0, 0.0, 0.0])
    once, twice = (models["with"].potential(a).energy for a in (atoms, atoms + far))
    assert twice == pytest.approx(2 * once, abs=1e-8)


def test_atoms_that_are_pushed_together_repel(models: dict[str, DensityModel]) -> None:
    for z, other in ((1, 1), (1, 8), (6, 8), (8, 8)):
        forces = models["with"].potential(pair(z, other, 0.35)).forces
        assert forces[0, 2] < -30
        assert forces[1, 2] > 30


def test_lone_atoms_and_distant_pairs_are_as_before(models: dict[str, DensityModel]) -> None:
    for atoms in (Atoms("O"), pair(8, 8, 2.81), pair(1, 8, 1.21)):
        found = [models[name].potential(atoms) for name in ("with", "without")]
        assert found[0].energy == found[1].energy
        np.testing.assert_array_equal(found[0].forces, found[1].forces)


def test_saved_model_equals_eager_one(
    plain: DensityNetwork, basis: Basis, repulsion: NuclearRepulsion, models, files
) -> None:
    module = CoefficientModel(plain, basis, head_of(plain, repulsion))
    atoms = dimer()
    system = to_system(atoms, module.requested_neighbor_lists(), torch.float64, torch.device("cpu"))
    eager = module([system], {ENERGY: ModelOutput(unit="eV", sample_kind="atom")}, None)
    exact = models["with"].potential(atoms)
    np.testing.assert_allclose(
        eager[ENERGY].block().values[:, 0].detach(), exact.energies, atol=1e-10
    )
    rounded = load_model(files["with"], "cpu", "float32").potential(atoms)
    assert rounded.energy == pytest.approx(exact.energy, rel=1e-5)


@pytest.mark.parametrize("onset", [torch.ones(2, 3), torch.zeros(2, 2)])
def test_onset_that_makes_no_sense(onset: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="each pair of the 2 species"):
        NuclearRepulsion([1, 8], onset)
