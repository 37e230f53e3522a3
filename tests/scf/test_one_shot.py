"""One diagonalisation against self-consistent calculations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from scipy.spatial.transform import Rotation

from ase_rholearn.basis import Basis, even_tempered
from ase_rholearn.density import Density
from ase_rholearn.references.pyscf import KohnSham, atomic_densities, density_from_mean_field
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.scf import one_shot
from ase_rholearn.scf.kohn_sham import kohn_sham_terms

WATER = Atoms("OHH", [[0.3, -0.2, 0.1], [1.2, -0.1, 0.3], [0.0, 0.5, 0.75]])


@pytest.fixture(scope="module")
def basis() -> Basis:
    made = even_tempered(["H", "O"], beta=1.8, orbital_basis="def2-svp")
    return made.with_atomic_densities(atomic_densities([1, 8], orbital_basis="def2-svp"))


def converged(atoms: Atoms, xc: str = "PBE") -> Any:
    """With exact Coulomb integrals, as the one diagonalisation has them."""
    level = KohnSham(xc, "def2-svp", density_fit=False, grid_level=3, conv_tol=1e-11)
    mean_field = kohn_sham(atoms, level)
    mean_field.kernel()
    return mean_field


@pytest.fixture(scope="module")
def run() -> Any:
    return converged(WATER)


@pytest.fixture(scope="module")
def density(run: Any, basis: Basis) -> Density:
    return density_from_mean_field(run, basis)


def test_energy_and_orbitals_of_the_exact_fit(run: Any, density: Density, basis: Basis) -> None:
    found = one_shot(WATER, density)
    assert found.energy == pytest.approx(run.e_tot * units.Hartree, abs=2e-3)
    expected = run.mo_energy * units.Hartree
    np.testing.assert_allclose(found.orbital_energies[:6], expected[:6], atol=0.02)
    assert found.gap == pytest.approx(expected[5] - expected[4], abs=0.02)
    dipole = run.dip_moment(unit="AU", verbose=0) * units.Bohr
    np.testing.assert_allclose(found.dipole(), dipole, atol=2e-4)
    np.testing.assert_allclose(found.density(basis).dipole(), dipole, atol=2e-3)


def test_error_is_of_second_order(run: Any, density: Density) -> None:
    """Half the error of the density, a quarter of that of the energy."""
    random = np.random.default_rng(0)
    layout = density.basis.layout(WATER.numbers)
    noise = np.where(layout.l == 1, random.normal(size=len(layout.l)), 0.0)
    exact = one_shot(WATER, density).energy
    errors = []
    for size in (0.02, 0.01):
        changed = density.raw_coefficients + size * noise
        errors.append(one_shot(WATER, Density(WATER, density.basis, changed)).energy - exact)
    # first-order parts that the fit leaves are small beside these
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("xc", ["LDA,VWN", "PBE"])
def test_self_consistent_energy_exactly(xc: str) -> None:
    """The density of helium in STO-3G is a sum of s Gaussians: no error of a fit is left."""
    level = KohnSham(xc, "sto-3g", density_fit=False, grid_level=1, conv_tol=1e-12)
    mean_field = kohn_sham(Atoms("He"), level)
    mean_field.kernel()
    exponents = mean_field.mol.bas_exp(0)
    sums = sorted({float(a + b) for a in exponents for b in exponents})
    rho = density_from_mean_field(mean_field, Basis.from_shells({"He": [(0, sums)]}))
    found = one_shot(Atoms("He"), rho, xc, "sto-3g", grid_level=1)
    assert found.energy == pytest.approx(mean_field.e_tot * units.Hartree, abs=1e-6)
    assert np.isnan(found.gap)


def test_nothing_changes_with_place_and_direction(density: Density) -> None:
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7])
    turned = WATER.copy()
    turned.positions = turn.apply(WATER.positions) + np.array([3.0, 1.0, -2.0])
    zero = np.zeros_like(density.raw_coefficients)
    first, second = (
        one_shot(atoms, Density(atoms, density.basis, zero)) for atoms in (WATER, turned)
    )
    # the grid turns with the molecule only approximately
    assert first.energy == pytest.approx(second.energy, abs=1e-3)
    np.testing.assert_allclose(first.orbital_energies, second.orbital_energies, atol=1e-3)
    np.testing.assert_allclose(turn.apply(first.dipole()), second.dipole(), atol=1e-4)


def test_far_molecules_add_up(density: Density) -> None:
    """Twice the energy of one, where neither feels the other."""
    far = WATER.copy()
    far.positions += [200.0, 0.0, 0.0]
    pair = WATER + far
    zero = np.zeros_like(density.raw_coefficients)
    one = one_shot(WATER, Density(WATER, density.basis, zero), grid_level=1).energy
    both = one_shot(pair, Density(pair, density.basis, np.tile(zero, 2)), grid_level=1).energy
    assert both == pytest.approx(2 * one, abs=1e-4)


def test_coulomb_energy_is_that_of_the_density(run: Any, density: Density) -> None:
    raw = Density(WATER, density.basis, density.raw_coefficients, normalize=False)
    expected = -raw.hartree_energy()
    exact = kohn_sham_terms(run.mol, density, "PBE", grid_level=0)
    assert exact.coulomb.constant * units.Hartree == pytest.approx(expected, abs=1e-6)
    fitted = kohn_sham_terms(
        run.mol, density, "PBE", grid_level=0, coulomb_basis="def2-universal-jkfit"
    )
    assert fitted.coulomb.constant * units.Hartree == pytest.approx(expected, abs=0.01)
    np.testing.assert_allclose(fitted.matrix, exact.matrix, atol=2e-3)


def test_error_of_the_coulomb_fit_is_of_second_order(density: Density) -> None:
    """A small basis changes orbitals by milliHartrees, the energy by a hundredth of that."""
    exact, fitted = (
        one_shot(WATER, density, coulomb_basis=basis) for basis in (None, "def2-universal-jfit")
    )
    assert fitted.energy == pytest.approx(exact.energy, abs=1e-3)
    with pytest.raises(ValueError, match=r"coulomb_basis is 'nonsense', which PySCF does not"):
        one_shot(WATER, density, coulomb_basis="nonsense")


def test_what_is_refused(density: Density) -> None:
    crystal = WATER.copy()
    crystal.cell, crystal.pbc = [9, 9, 9], True
    with pytest.raises(ValueError, match=r"atoms.pbc is .*use one_shot_crystal"):
        one_shot(crystal, density)
    ion = WATER.copy()
    ion.info["charge"] = 1
    with pytest.raises(ValueError, match="open shell"):
        one_shot(ion, density)
    with pytest.raises(ValueError, match="xc is 'B3LYP': give an LDA or GGA functional"):
        one_shot(WATER, density, "B3LYP")
    with pytest.raises(ValueError, match="nonsense"):
        one_shot(WATER, density, "PBE", "nonsense")
