"""Starts of calculations from a density: what they save, whom they serve, when they are dropped."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from pyscf import dft, gto, scf
from small_calculations import molecule_of, rich_fit

from ase_rholearn import RhoCalculator
from ase_rholearn.basis import Basis
from ase_rholearn.density import Density
from ase_rholearn.references.pyscf.run import without_checkpoint
from ase_rholearn.scf import GuessWarning, initial_guess, write_checkpoint
from ase_rholearn.scf.guess import commutator_norm, density_change

WATER = Atoms("OHH", [[0.3, -0.2, 0.1], [1.2, -0.1, 0.3], [0.0, 0.5, 0.75]])


def water(**options: Any) -> Any:
    """The molecule, where ASE has it."""
    return molecule_of(WATER, **options)


def calculation(kind: Any = dft.RKS, xc: str | None = "PBE", **options: Any) -> Any:
    """Not yet run, on a coarse grid."""
    molecule = water(**options)
    mean_field = without_checkpoint(kind(molecule) if xc is None else kind(molecule, xc=xc))
    if xc is not None:
        mean_field.grids.level = 1
    return mean_field


@pytest.fixture(scope="module")
def density() -> Density:
    """A rich fit of the converged density: as good as a start can be."""
    mean_field = calculation()
    mean_field.kernel()
    return rich_fit(mean_field, {"H": 1, "O": 8})


@pytest.fixture(scope="module")
def wrong(density: Density) -> Density:
    """Free atoms, of which the hydrogen atoms have lost what the oxygen atom gained."""
    coefficients = np.zeros_like(density.coefficients)
    layout = density.basis.layout(WATER.numbers)
    wide = (layout.l == 1) & (layout.atom == 0)
    coefficients[wide] = 0.4
    return Density(WATER, density.basis, coefficients)


def test_cycles_are_saved(density: Density) -> None:
    usual, better = calculation(), calculation()
    usual.kernel()
    better.kernel(initial_guess(better, density))
    assert better.cycles <= usual.cycles - 3
    assert better.e_tot == pytest.approx(usual.e_tot, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "xc", "spin", "charge"),
    [
        (dft.RKS, "PBE", 0, 0),
        (dft.RKS, "LDA,VWN", 0, 0),
        (dft.RKS, "B3LYP", 0, 0),
        (dft.RKS, "TPSS", 0, 0),
        (scf.RHF, None, 0, 0),
        (dft.UKS, "PBE", 0, 0),
        (dft.UKS, "PBE", 1, 1),
        (dft.ROKS, "PBE", 1, 1),
        (scf.UHF, None, 2, 0),
    ],
)
@pytest.mark.parametrize("wrap", ["plain", "density_fit", "newton"])
def test_kinds_of_calculations(
    density: Density, kind: Any, xc: str | None, spin: int, charge: int, wrap: str
) -> None:
    mean_field = calculation(kind, xc, spin=spin, charge=charge)
    if wrap != "plain":
        mean_field = getattr(mean_field, wrap)()
    start = initial_guess(mean_field, density, check=False)
    assert start.shape == np.shape(mean_field.get_init_guess())
    spins = start if start.ndim == 3 else 0.5 * np.array([start, start])
    overlap = mean_field.get_ovlp()
    counts = [np.trace(one @ overlap) for one in spins]
    np.testing.assert_allclose(counts, mean_field.mol.nelec, atol=1e-9)
    for one in spins:
        np.testing.assert_allclose(one @ overlap @ one, one, atol=1e-9)


def test_an_open_shell_starts_better_than_usual(density: Density) -> None:
    """Also where the density is that of the neutral molecule."""
    usual, better = calculation(dft.UKS, spin=1, charge=1), calculation(dft.UKS, spin=1, charge=1)
    usual.kernel()
    better.kernel(initial_guess(better, density))
    assert better.e_tot == pytest.approx(usual.e_tot, abs=1e-8)


def test_a_bad_density_is_replaced(wrong: Density) -> None:
    mean_field = calculation()
    with pytest.warns(GuessWarning, match=r"the density of H2O is no good start.*taken instead"):
        start = initial_guess(mean_field, wrong)
    np.testing.assert_allclose(start, mean_field.get_init_guess(), atol=1e-12)
    unchecked = initial_guess(mean_field, wrong, check=False)
    assert commutator_norm(mean_field, unchecked) > commutator_norm(mean_field, start)


def test_a_good_density_is_not_looked_at_closely(
    density: Density, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean_field = calculation()
    monkeypatch.setattr(mean_field, "get_fock", None)
    start = initial_guess(mean_field, density)
    assert density_change(mean_field.mol, density, start) < 0.005


def test_commutator_vanishes_at_self_consistency() -> None:
    mean_field = calculation(dft.UKS)
    mean_field.conv_tol = 1e-12
    mean_field.kernel()
    assert commutator_norm(mean_field, mean_field.make_rdm1()) < 1e-4


def test_models_and_calculators_predict_it() -> None:
    """By name, and as calculators; the molecule's charge goes along."""
    mean_field = calculation()
    named = initial_guess(mean_field, "water-pbe")
    predicted = initial_guess(mean_field, RhoCalculator("water-pbe"))
    np.testing.assert_array_equal(named, predicted)
    mean_field.kernel(named)
    usual = calculation()
    usual.kernel()
    assert mean_field.cycles < usual.cycles
    with pytest.raises(ValueError, match="charge"):
        initial_guess(calculation(charge=2), "water-pbe")


def test_other_atoms_and_other_objects_are_refused(density: Density) -> None:
    moved = WATER.copy()
    moved.positions[1] += 0.1
    other = Density(moved, density.basis, density.raw_coefficients)
    with pytest.raises(ValueError, match="molecule has other atoms than the structure"):
        initial_guess(calculation(), other)
    with pytest.raises(ValueError, match="mean_field is a Mole: give a Hartree-Fock or Kohn-Sham"):
        initial_guess(water(), density)
    from pyscf.pbc import gto as periodic
    from pyscf.pbc import scf as periodic_scf

    cell = periodic.M(a=np.eye(3) * 5, atom="He 0 0 0", basis="gth-szv", pseudo="gth-pade")
    crystal = without_checkpoint(periodic_scf.RHF(cell))
    with pytest.raises(ValueError, match="mean_field is periodic"):
        initial_guess(crystal, density)


def test_checkpoints_start_pyscf(density: Density, wrong: Density, tmp_path: Path) -> None:
    for kind, spin, charge in ((dft.RKS, 0, 0), (dft.UKS, 1, 1), (dft.ROKS, 1, 1)):
        mean_field = calculation(kind, spin=spin, charge=charge)
        path = tmp_path / f"{kind.__name__}.chk"
        write_checkpoint(path, mean_field, density, check=False)
        found = mean_field.from_chk(str(path))
        expected = initial_guess(mean_field, density, check=False)
        np.testing.assert_allclose(found, expected, atol=1e-9)
    larger = calculation(basis="def2-tzvp")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        projected = larger.from_chk(str(tmp_path / "RKS.chk"))
    assert np.trace(projected @ larger.get_ovlp()) == pytest.approx(10, abs=1e-6)
    with pytest.warns(GuessWarning):
        write_checkpoint(tmp_path / "wrong.chk", calculation(), wrong)
    assert (tmp_path / "wrong.chk").exists()


def test_species_that_the_basis_lacks(density: Density) -> None:
    basis = Basis.from_shells({"He": [(0, [1.0])]})
    helium = gto.M(atom="He 0 0 0", basis="sto-3g", verbose=0)
    with pytest.raises(ValueError, match="molecule has other atoms"):
        initial_guess(without_checkpoint(dft.RKS(helium)), density)
    rho = Density(Atoms("He"), basis, [2.0])
    assert initial_guess(without_checkpoint(scf.RHF(helium)), rho, check=False).shape == (1, 1)
