"""The Kohn-Sham matrix of a density, and one diagonalisation, against PySCF's SCF."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms

from ase_rholearn.basis import Basis, even_tempered
from ase_rholearn.density import Density
from ase_rholearn.references.pyscf import KohnSham, atomic_densities, density_from_mean_field
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.scf import kohn_sham_matrix, one_shot_orbitals

WATER = Atoms("OHH", [[0.3, -0.2, 0.1], [1.2, -0.1, 0.3], [0.0, 0.5, 0.75]])


def converged(atoms: Atoms, xc: str, orbital_basis: str) -> Any:
    """Without density-fitted integrals, so that nothing but our fit is approximate."""
    level = KohnSham(xc, orbital_basis, density_fit=False, grid_level=1, conv_tol=1e-12)
    mean_field = kohn_sham(atoms, level)
    mean_field.kernel()
    return mean_field


@pytest.fixture(scope="module")
def water_run() -> Any:
    return converged(WATER, "PBE", "def2-svp")


@pytest.fixture(scope="module")
def rich_basis() -> Basis:
    basis = even_tempered(["H", "O"], beta=2.0, orbital_basis="def2-svp")
    return basis.with_atomic_densities(atomic_densities([1, 8], orbital_basis="def2-svp"))


@pytest.fixture(scope="module")
def water_density(water_run: Any, rich_basis: Basis) -> Density:
    return density_from_mean_field(water_run, rich_basis)


def products_of_s_functions(molecule: Any) -> Basis:
    """All that the density of an atom with s orbitals can be made of."""
    exponents = molecule.bas_exp(0)
    sums = {float(a + b) for a in exponents for b in exponents}
    return Basis.from_shells({"He": [(0, sorted(sums))]})


@pytest.mark.parametrize("xc", ["LDA,VWN", "PBE"])
@pytest.mark.parametrize("baseline", [False, True])
def test_exact_density_gives_the_exact_matrix(xc: str, baseline: bool) -> None:
    """The density of helium in STO-3G is a finite sum of s Gaussians: no error of a fit is left."""
    run = converged(Atoms("He"), xc, "sto-3g")
    basis = products_of_s_functions(run.mol)
    if baseline:
        basis = basis.with_atomic_densities(atomic_densities([2], xc=xc, orbital_basis="sto-3g"))
    rho = density_from_mean_field(run, basis)
    matrix = kohn_sham_matrix(run.mol, rho, xc, grid_level=1)
    np.testing.assert_allclose(matrix, run.get_fock(), atol=1e-7)


def test_matrix_of_a_fitted_density(water_run: Any, water_density: Density) -> None:
    matrix = kohn_sham_matrix(water_run.mol, water_density, "PBE", grid_level=1)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(matrix, water_run.get_fock(), atol=5e-3)


def test_raw_coefficients_count(water_run: Any, water_density: Density) -> None:
    """A corrected charge would make the Hartree error one of first order."""
    raw = Density(WATER, water_density.basis, water_density.raw_coefficients, normalize=False)
    assert water_density.normalization != 0
    first, second = (kohn_sham_matrix(water_run.mol, d, "PBE") for d in (water_density, raw))
    np.testing.assert_array_equal(first, second)


def test_blocks_of_points_do_not_matter(
    water_run: Any, water_density: Density, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = kohn_sham_matrix(water_run.mol, water_density, "PBE", grid_level=0)
    monkeypatch.setattr("ase_rholearn.density.evaluation.points._BLOCK", 1001)
    pieces = kohn_sham_matrix(water_run.mol, water_density, "PBE", grid_level=0)
    np.testing.assert_allclose(pieces, whole, atol=1e-12)


def test_one_shot_from_the_exact_fit(water_run: Any, water_density: Density) -> None:
    """The energy is of second order in the orbitals' error: microhartrees are left."""
    orbitals, energies = one_shot_orbitals(water_run.mol, water_density, "PBE", grid_level=1)
    overlap = water_run.get_ovlp()
    np.testing.assert_allclose(orbitals.T @ overlap @ orbitals, 2 * np.eye(5), atol=1e-10)
    np.testing.assert_allclose(energies, water_run.mo_energy, atol=2e-3)
    energy = water_run.energy_tot(orbitals @ orbitals.T)
    # and, by the variational principle, on the upper side
    assert -1e-9 < energy - water_run.e_tot < 1e-5


def test_one_shot_from_free_atoms_is_worse(water_run: Any, water_density: Density) -> None:
    """The fit is what makes it good, not the diagonalisation."""
    zero = np.zeros_like(water_density.coefficients)
    orbitals, _ = one_shot_orbitals(
        water_run.mol, Density(WATER, water_density.basis, zero), "PBE", grid_level=1
    )
    assert water_run.energy_tot(orbitals @ orbitals.T) - water_run.e_tot > 1e-3


def test_another_orbital_basis(water_density: Density) -> None:
    """The density knows nothing of the orbitals that it came from."""
    run = converged(WATER, "PBE", "sto-3g")
    orbitals, _ = one_shot_orbitals(run.mol, water_density, "PBE", grid_level=1)
    assert 0 < run.energy_tot(orbitals @ orbitals.T) - run.e_tot < 0.05


@pytest.mark.parametrize("xc", ["B3LYP", "TPSS", "HF"])
def test_functionals_that_need_more_than_the_density(
    water_run: Any, water_density: Density, xc: str
) -> None:
    with pytest.raises(ValueError, match=rf"xc is '{xc}': give an LDA or GGA functional"):
        kohn_sham_matrix(water_run.mol, water_density, xc)


def test_unknown_functional(water_run: Any, water_density: Density) -> None:
    with pytest.raises(ValueError, match=r"xc is 'PBEE', which PySCF does not know: give"):
        kohn_sham_matrix(water_run.mol, water_density, "PBEE")


def test_molecule_of_another_structure(water_run: Any, water_density: Density) -> None:
    moved = WATER.copy()
    moved.positions += 0.1
    rho = Density(moved, water_density.basis, water_density.raw_coefficients)
    with pytest.raises(ValueError, match=r"molecule has other atoms than the structure \(H2O\)"):
        kohn_sham_matrix(water_run.mol, rho, "PBE")


def test_core_potentials_need_a_valence_density() -> None:
    from pyscf import gto

    molecule = gto.M(atom="Na 0 0 0", basis="lanl2dz", ecp="lanl2dz", charge=1, verbose=0)
    basis = Basis.from_shells({"Na": [(0, [0.5])]})
    rho = Density(Atoms("Na"), basis, [11.0])
    message = r"molecule has effective core potentials, but the density is all-electron: use"
    with pytest.raises(ValueError, match=message):
        kohn_sham_matrix(molecule, rho, "PBE")


def test_open_shell_molecule() -> None:
    from pyscf import gto

    molecule = gto.M(atom="H 0 0 0", basis="sto-3g", spin=1, verbose=0)
    rho = Density(Atoms("H"), Basis.from_shells({"H": [(0, [1.0])]}), [1.0])
    with pytest.raises(ValueError, match=r"molecule has 1 unpaired electrons: only closed shells"):
        one_shot_orbitals(molecule, rho, "PBE")
