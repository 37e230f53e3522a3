"""Direct minimisation against PySCF's self-consistent field."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from scipy.linalg import expm

from ase_rholearn.basis import even_tempered
from ase_rholearn.references.pyscf import atomic_densities, density_from_mean_field
from ase_rholearn.references.pyscf.molecule import build_molecule
from ase_rholearn.references.pyscf.run import without_checkpoint
from ase_rholearn.scf import minimize_energy, one_shot_orbitals
from ase_rholearn.scf.functionals import functional
from ase_rholearn.scf.minimize import functional_energy, mean_field_energy


def mean_field(atoms: Atoms, xc: str = "PBE", basis: str = "def2-svp") -> Any:
    from pyscf import dft

    run = dft.RKS(build_molecule(atoms, basis), xc=xc)
    run.grids.level = 0
    run.conv_tol = 1e-11
    return without_checkpoint(run)


@pytest.mark.parametrize("xc", ["PBE", "LDA,PW", "HF", "PBE0"])
def test_reaches_the_self_consistent_energy(xc: str) -> None:
    """From PySCF's own guess, for hybrids too."""
    run = mean_field(molecule("H2O"), xc)
    run.kernel()
    found = minimize_energy(mean_field(molecule("H2O"), xc))
    assert found.converged
    assert found.gradient < 1e-5
    assert found.energy == pytest.approx(run.e_tot, abs=1e-8)
    np.testing.assert_allclose(found.orbital_energies, run.mo_energy, atol=1e-4)
    np.testing.assert_allclose(found.density_matrix, run.make_rdm1(), atol=1e-4)
    assert found.gap == pytest.approx(run.mo_energy[5] - run.mo_energy[4], abs=1e-4)


@pytest.mark.parametrize("name", ["NH3", "CO2", "HCN"])
def test_with_our_functional(name: str) -> None:
    run = mean_field(molecule(name))
    run.kernel()
    found = minimize_energy(mean_field(molecule(name)), functional=functional("PBE"))
    assert found.energy == pytest.approx(run.e_tot, abs=1e-8)


def test_from_a_density() -> None:
    """One-shot orbitals of a fit are nearly there: fewer Fock matrices than from atoms."""
    run = mean_field(molecule("H2O"))
    run.kernel()
    basis = even_tempered(["H", "O"], beta=2.0, orbital_basis="def2-svp")
    basis = basis.with_atomic_densities(atomic_densities([1, 8], orbital_basis="def2-svp"))
    orbitals, _ = one_shot_orbitals(run.mol, density_from_mean_field(run, basis), "PBE")
    start = mean_field(molecule("H2O"))
    found = minimize_energy(start, orbitals @ orbitals.T)
    assert found.energy == pytest.approx(run.e_tot, abs=1e-8)
    assert found.evaluations < minimize_energy(start).evaluations


# name, structure: what default DIIS does not converge, see benchmarks/direct_minimisation.py
HARD = {
    "square of hydrogen": Atoms("H4", [[0, 0, 0], [1.5, 0, 0], [1.5, 1.5, 0], [0, 1.5, 0]]),
    "carbon dimer": Atoms("C2", [[0, 0, 0], [0, 0, 1.243]]),
    "singlet oxygen": Atoms("O2", [[0, 0, 0], [0, 0, 1.21]]),
    "stretched salt": Atoms("NaCl", [[0, 0, 0], [0, 0, 6.0]]),
}


@pytest.mark.parametrize("name", list(HARD))
def test_where_diis_fails(name: str) -> None:
    run = mean_field(HARD[name])
    run.conv_tol = 1e-9
    run.kernel()
    assert not run.converged
    fresh = mean_field(HARD[name])
    found = minimize_energy(fresh)
    assert found.converged
    # a stationary point in PySCF's eyes too, and below all that DIIS came to
    energy, fock = mean_field_energy(fresh)(found.density_matrix)
    assert energy == pytest.approx(found.energy, abs=1e-10)
    occupied, empty = np.split(found.orbitals, [found.n_occupied], axis=1)
    assert np.abs(empty.T @ fock @ occupied).max() < 1e-5
    assert found.energy < run.e_tot


def test_saddle_point_is_left() -> None:
    """From an excited filling of water, which has another symmetry, to its ground state."""
    run = mean_field(molecule("H2O"))
    run.kernel()
    swapped = run.mo_coeff[:, [0, 1, 2, 3, 5]]
    found = minimize_energy(run, 2 * swapped @ swapped.T)
    assert found.energy == pytest.approx(run.e_tot, abs=1e-8)
    assert found.gap > 0


@pytest.mark.parametrize("ours", [True, False])
def test_fock_matrix_is_the_derivative(ours: bool) -> None:
    run = mean_field(molecule("H2O"))
    evaluate = functional_energy(run, functional("PBE")) if ours else mean_field_energy(run)
    run.kernel()
    rng = np.random.default_rng(0)
    turn = rng.normal(size=(24, 24))
    turn -= turn.T

    def energy(step: float) -> float:
        orbitals = (run.mo_coeff @ expm((0.02 + step) * turn))[:, :5]
        return evaluate(2 * orbitals @ orbitals.T)[0]

    orbitals = (run.mo_coeff @ expm(0.02 * turn))[:, :5]
    change = (run.mo_coeff @ expm(0.02 * turn) @ turn)[:, :5]
    fock = evaluate(2 * orbitals @ orbitals.T)[1]
    slope = (energy(1e-4) - energy(-1e-4)) / 2e-4
    assert 4 * np.vdot(change, fock @ orbitals) == pytest.approx(slope, rel=1e-6)


def test_gives_up_when_told() -> None:
    found = minimize_energy(mean_field(molecule("H2O"), basis="sto-3g"), max_evaluations=4)
    assert not found.converged
    assert found.evaluations <= 6
    assert found.gradient > 1e-5


def test_nothing_to_rotate() -> None:
    run = mean_field(Atoms("He"), basis="sto-3g")
    run.kernel()
    found = minimize_energy(run)
    assert found.energy == pytest.approx(run.e_tot, abs=1e-12)
    assert found.gap == np.inf


def test_bad_input() -> None:
    from pyscf import dft, gto

    run = mean_field(molecule("H2O"), basis="sto-3g")
    with pytest.raises(
        ValueError, match=r"guess has shape \(3, 3\): give a density matrix \(7, 7\)"
    ):
        minimize_energy(run, np.eye(3))
    with pytest.raises(ValueError, match="tolerance is 0: give a positive norm"):
        minimize_energy(run, tolerance=0)
    with pytest.raises(ValueError, match="only closed shells"):
        minimize_energy(dft.UKS(run.mol))
    triplet = gto.M(atom="O 0 0 0", basis="sto-3g", spin=2, verbose=0)
    with pytest.raises(ValueError, match="with 2 unpaired electrons: only closed shells"):
        minimize_energy(dft.RKS(triplet))
