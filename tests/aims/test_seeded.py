"""FHI-aims started from predictions: what is written, checked, refused and reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.aims import Aims, AimsProfile
from ase.calculators.calculator import CalculationFailed, PropertyNotImplementedError
from fits import SPECIES

from ase_rholearn.aims import AimsSeeded
from ase_rholearn.aims.run import run_all
from ase_rholearn.aims.settings import AimsSettings
from ase_rholearn.aims.setup import set_up
from ase_rholearn.basis import Basis, NumericalShell
from ase_rholearn.density import Density

WATER = molecule("H2O")


def product_basis(counts: dict[str, tuple[int, ...]] = SPECIES) -> Basis:
    """Some tabulated functions, as many as the program has that stands in for FHI-aims."""
    radii = np.linspace(0.0, 8.0, 41)
    numbers = {"H": 1, "C": 6, "O": 8}
    shells = {
        numbers[symbol]: tuple(
            NumericalShell(l, tuple(radii), tuple(radii**l * np.exp(-(radii**2) * (n + 1))))
            for l, count in enumerate(of_species)
            for n in range(count)
        )
        for symbol, of_species in counts.items()
    }
    return Basis(shells, name="test")


class Model:
    """Predicts coefficients that tell where the atoms are."""

    def __init__(self, basis: Basis, factor: float = 1.0) -> None:
        self.basis, self.factor = basis, factor

    def get_density(self, atoms: Atoms, *, normalize: bool = True) -> Density:
        assert not normalize
        size = self.basis.size(atoms.numbers)
        values = self.factor * np.sin(np.arange(size) + atoms.positions.sum())
        return Density(atoms, self.basis, values, normalize=False)


@pytest.fixture
def aims(tmp_path: Path, species: Path, command_line: str) -> Callable[..., Aims]:
    """ASE's calculator, running the program that stands in."""

    def make(**keywords: Any) -> Aims:
        options = {"xc": "pbe", "relativistic": "atomic_zora scalar", "default_prodbas_acc": 1e-5}
        profile = AimsProfile(command_line, default_species_directory=str(species))
        return Aims(profile, tmp_path / "aims", **{**options, **keywords})

    return make


def expected_energy(values: np.ndarray) -> float:
    return -2000.0 + float(np.arange(len(values)) @ values)


@pytest.mark.parametrize("version", [240925, 221103])
def test_energy_and_eigenvalues_are_of_the_predicted_density(
    aims: Callable[..., Aims], behave: Callable[..., None], version: int, settings: AimsSettings
) -> None:
    behave(version=version)
    calculator = aims()
    model = Model(product_basis())
    if version < 240403:  # these leave their index files in a run before
        (folder,) = set_up([WATER], calculator.directory, settings, ("scf", "fit"))
        run_all(calculator.directory, command=calculator.profile.command)
        for name in ("idx_prodbas.out", "prodbas_condon_shotley_list.out"):
            (calculator.directory / name).write_bytes((folder / "fit" / name).read_bytes())
    atoms = WATER.copy()
    atoms.calc = AimsSeeded(calculator, model, version=version)
    values = model.get_density(atoms, normalize=False).raw_coefficients
    assert atoms.get_potential_energy() == pytest.approx(expected_energy(values), abs=1e-9)
    assert atoms.calc.cycles == 0
    assert atoms.calc.get_fermi_level() == -5.25
    np.testing.assert_allclose(atoms.calc.get_eigenvalues(), [-10.5, 1.5])
    np.testing.assert_allclose(atoms.calc.get_occupation_numbers(), [2, 0])
    # a moved structure is another run
    atoms.positions += 0.1
    moved = model.get_density(atoms, normalize=False).raw_coefficients
    assert atoms.get_potential_energy() == pytest.approx(expected_energy(moved), abs=1e-9)


def test_forces_of_one_diagonalisation_are_refused(aims: Callable[..., Aims]) -> None:
    atoms = WATER.copy()
    atoms.calc = AimsSeeded(aims(), Model(product_basis()), version=240925)
    for call in (atoms.get_forces, atoms.get_stress):
        with pytest.raises(PropertyNotImplementedError, match="derivative of the energy"):
            call()


def test_a_self_consistent_run_starts_from_the_diagonalisation(aims: Callable[..., Aims]) -> None:
    with pytest.raises(ValueError, match="experimental=True"):
        AimsSeeded(aims(), Model(product_basis()), version=240925, mode="scf")
    atoms = WATER.copy()
    atoms.calc = AimsSeeded(
        aims(), Model(product_basis()), version=240925, mode="scf", experimental=True
    )
    np.testing.assert_allclose(atoms.get_forces(), 0.1 * atoms.positions, atol=1e-12)
    assert atoms.calc.cycles == 5  # 12 without a density matrix


class TestBasis:
    def test_another_one_is_found_after_the_run(self, aims: Callable[..., Aims]) -> None:
        other = {**SPECIES, "O": (2, 2, 2)}  # as many functions and a wrong order would do harm
        atoms = WATER.copy()
        atoms.calc = AimsSeeded(aims(), Model(product_basis(other)), version=240925)
        with pytest.raises(CalculationFailed, match=r"coefficients for|radial functions"):
            atoms.get_potential_energy()

    def test_a_reference_is_compared_before_the_run(
        self,
        aims: Callable[..., Aims],
        settings: AimsSettings,
        tmp_path: Path,
        command_line: str,
    ) -> None:
        (folder,) = set_up([WATER], tmp_path / "training", settings)
        run_all(tmp_path / "training", command=command_line)
        reference, model = folder / "fit", Model(product_basis())
        atoms = WATER.copy()
        atoms.calc = AimsSeeded(aims(), model, reference=reference)  # says the version too
        atoms.get_potential_energy()
        for calculator, rho, message in (
            (aims(default_prodbas_acc=1e-4), model, "default_prodbas_acc is 0.0001 and 1e-05"),
            (aims(xc="pbe0"), model, "xc is pbe0 and pbe"),
            (aims(), Model(product_basis({**SPECIES, "O": (3, 2)})), r"the model has \(3, 2\)"),
        ):
            output = calculator.directory / "aims.out"
            output.unlink(missing_ok=True)
            atoms.calc = AimsSeeded(calculator, rho, reference=reference)
            with pytest.raises(ValueError, match=message):
                atoms.get_potential_energy()
            assert not output.exists()

    def test_gaussians_are_refused_or_projected(self, aims: Callable[..., Aims]) -> None:
        gaussian = Model(Basis.from_shells({"O": [(0, [1.0])], "H": [(0, [1.0])]}))
        atoms = WATER.copy()
        atoms.calc = AimsSeeded(aims(), gaussian, version=240925)
        with pytest.raises(ValueError, match="Gaussians"):
            atoms.get_potential_energy()
        values = np.ones(product_basis().size(atoms.numbers))
        atoms.calc = AimsSeeded(aims(), gaussian, version=240925, project=lambda density: values)
        assert atoms.get_potential_energy() == pytest.approx(expected_energy(values))
        atoms.calc = AimsSeeded(
            aims(), gaussian, version=240925, project=lambda density: values[1:]
        )
        with pytest.raises(CalculationFailed, match="status 1"):
            atoms.get_potential_energy()


def test_both_spins(aims: Callable[..., Aims]) -> None:
    total, difference = Model(product_basis()), Model(product_basis(), 0.25)
    with pytest.raises(ValueError, match="belong together"):
        AimsSeeded(aims(spin="collinear"), total, version=240925)
    with pytest.raises(ValueError, match="experimental=True"):
        AimsSeeded(aims(spin="collinear"), total, spin_calculator=difference, version=240925)
    calculator = aims(spin="collinear", default_initial_moment=0)
    atoms = WATER.copy()
    atoms.calc = AimsSeeded(
        calculator, total, spin_calculator=difference, version=240925, experimental=True
    )
    atoms.get_potential_energy()
    values = total.get_density(atoms, normalize=False).raw_coefficients
    alpha, beta = (
        np.loadtxt(calculator.directory / f"ri_restart_coeffs{suffix}.out")
        for suffix in ("", "_beta")
    )
    np.testing.assert_allclose([alpha, beta], [0.625 * values, 0.375 * values], atol=1e-15)


def test_what_cannot_be(aims: Callable[..., Aims]) -> None:
    model = Model(product_basis())
    with pytest.raises(ValueError, match="keywords ri_density_restart"):
        AimsSeeded(aims(ri_density_restart="read 0"), model, version=240925)
    atoms = WATER.copy()
    atoms.calc = AimsSeeded(aims(), model)
    with pytest.raises(ValueError, match=r"version of FHI-aims.*unknown"):
        atoms.get_potential_energy()
    atoms.calc = AimsSeeded(aims(ri_full_output=False), model, version=240925)
    with pytest.raises(ValueError, match="could not be compared"):
        atoms.get_potential_energy()
    atoms.info["charge"] = 1
    atoms.calc = AimsSeeded(aims(charge=2), model, version=240925)
    with pytest.raises(ValueError, match="charge of aims_calculator is 2, that of the atoms 1"):
        atoms.get_potential_energy()


def test_what_is_missing_is_named_with_its_remedy(aims: Callable[..., Aims]) -> None:
    rho = Model(product_basis())
    with pytest.raises(FileNotFoundError, match="no nowhere: reference is the directory of a fit"):
        AimsSeeded(aims(), rho, reference="nowhere")
    water = molecule("H2O")
    water.calc = AimsSeeded(aims(), rho, version=221103)
    with pytest.raises(FileNotFoundError, match=r"idx_prodbas\.out: .*read_init"):
        water.get_potential_energy()
    water.calc = AimsSeeded(aims(k_grid=(2, 2, 2)), rho, version=240925)
    with pytest.raises(ValueError, match="not periodic: leave out k_grid"):
        water.get_potential_energy()
    water.center(vacuum=3.0)
    water.pbc = True
    water.calc = AimsSeeded(aims(), rho, version=240925)
    with pytest.raises(ValueError, match="is periodic: give it k_grid"):
        water.get_potential_energy()


def test_a_wrong_version_is_noticed(aims: Callable[..., Aims], behave: Callable[..., None]) -> None:
    behave(version=221103)
    atoms = WATER.copy()
    atoms.calc = AimsSeeded(aims(), Model(product_basis()), version=240925)
    with pytest.raises(CalculationFailed, match="version 221103, but coefficients were written"):
        atoms.get_potential_energy()


def test_another_charge_is_another_run(aims: Callable[..., Aims]) -> None:
    calculator = aims()
    atoms = WATER.copy()
    atoms.calc = AimsSeeded(calculator, Model(product_basis()), version=240925)
    atoms.get_potential_energy()
    assert "charge 1" not in " ".join((calculator.directory / "control.in").read_text().split())
    atoms.info["charge"] = 1
    atoms.get_potential_energy()
    assert "charge 1" in " ".join((calculator.directory / "control.in").read_text().split())
