"""Linear response brings starts near to self-consistency."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from pyscf import dft, gto
from small_calculations import molecule_of, rich_fit

from ase_rholearn.basis import even_tempered
from ase_rholearn.density import Density
from ase_rholearn.references.pyscf import density_from_mean_field
from ase_rholearn.references.pyscf.run import without_checkpoint
from ase_rholearn.scf import harris_gradient, initial_guess, one_shot, screening
from ase_rholearn.scf.coulomb import COULOMB_BASIS
from ase_rholearn.scf.guess import Orbitals, commutator_norm
from ase_rholearn.scf.kohn_sham import kohn_sham_terms
from ase_rholearn.scf.one_shot import OneShot
from ase_rholearn.scf.screening import linear_response

HYDROGEN_CYANIDE = Atoms("HCN", [[0.1, 0.0, -1.6], [0.0, 0.05, -0.5], [0.0, 0.0, 0.65]])


def calculation(kind: Any = dft.RKS, xc: str = "LDA,VWN", **options: Any) -> Any:
    """Not yet run, with PySCF's fit of Coulomb integrals."""
    molecule = molecule_of(HYDROGEN_CYANIDE, **options)
    mean_field = without_checkpoint(kind(molecule, xc=xc).density_fit(auxbasis=COULOMB_BASIS))
    mean_field.grids.level = 1
    return mean_field


@pytest.fixture(scope="module")
def exact() -> Density:
    """A rich fit of the self-consistent density."""
    mean_field = calculation()
    mean_field.kernel()
    return rich_fit(mean_field, {"H": 1, "C": 6, "N": 7})


def off_by(exact: Density, share: float) -> Density:
    """A density with a share of the deformation missing: towards superposed free atoms."""
    return Density(exact.atoms, exact.basis, (1 - share) * exact.raw_coefficients)


def test_the_mixing_part_is_that_of_self_consistency(exact: Density) -> None:
    mean_field = calculation()
    mean_field.kernel()
    terms = kohn_sham_terms(
        mean_field.mol, off_by(exact, 0.1), "LDA,VWN", grid_level=1, coulomb_basis=COULOMB_BASIS
    )
    overlap = mean_field.get_ovlp()
    first = Orbitals.of(mean_field, terms.matrix)
    found = linear_response(mean_field.mol, terms, first.channels(), overlap)
    assert found is not None
    occupied = first.occupations > 0
    o, v = first.coefficients[:, occupied], first.coefficients[:, ~occupied]
    missing = o.T @ (mean_field.get_fock() - terms.matrix) @ v
    left = missing - o.T @ found.matrices[0] @ v
    assert np.linalg.norm(left) < 0.2 * np.linalg.norm(missing)
    # the rest of the matrix stays
    for block in (o, v):
        assert np.abs(block.T @ found.matrices[0] @ block).max() < 1e-6


@pytest.mark.parametrize("xc", ["LDA,VWN", "PBE"])
def test_commutators_shrink(exact: Density, xc: str) -> None:
    mean_field = calculation(xc=xc)
    rho = off_by(exact, 0.1)
    plain, screened = (
        commutator_norm(mean_field, initial_guess(mean_field, rho, screening=wanted))
        for wanted in (False, True)
    )
    assert screened < plain / 5


def test_cycles_are_saved(exact: Density) -> None:
    counts = []
    for wanted in (False, True):
        mean_field = calculation(xc="PBE")
        mean_field.kernel(initial_guess(mean_field, off_by(exact, 0.1), screening=wanted))
        counts.append(mean_field.cycles)
    assert counts[1] < counts[0]


def test_one_shot_comes_nearer_to_self_consistency(exact: Density) -> None:
    mean_field = calculation(xc="PBE")
    energy = mean_field.kernel() * units.Hartree
    expected = mean_field.dip_moment(unit="au", verbose=0) * units.Bohr

    def shot(share: float) -> OneShot:
        rho = off_by(exact, share)
        return one_shot(rho.atoms, rho, "PBE", "def2-svp", grid_level=1)

    floor = shot(0.0).energy - energy  # of fit and quadrature
    plain = shot(0.3)
    screened = plain.screened()
    assert abs(screened.energy - energy - floor) < 0.3 * abs(plain.energy - energy - floor)
    errors = [np.linalg.norm(found.dipole() - expected) for found in (screened, plain)]
    assert errors[0] < 0.3 * errors[1]
    assert screened.screened() is screened
    with pytest.raises(ValueError, match="is screened"):
        harris_gradient(screened)


def test_screening_needs_a_fitting_basis(exact: Density) -> None:
    found = one_shot(exact.atoms, exact, "PBE", "sto-3g", grid_level=0, coulomb_basis=None)
    with pytest.raises(ValueError, match="coulomb_basis was None"):
        found.screened()


def test_unrestricted_calculations_of_closed_shells_start_the_same(exact: Density) -> None:
    both = initial_guess(calculation(), off_by(exact, 0.1))
    up, down = initial_guess(calculation(dft.UKS), off_by(exact, 0.1))
    np.testing.assert_allclose(up, both / 2, atol=1e-6)
    np.testing.assert_allclose(down, both / 2, atol=1e-6)


@pytest.mark.parametrize("kind", [dft.UKS, dft.ROKS])
def test_open_shells(exact: Density, kind: Any) -> None:
    cation = calculation(kind, charge=1, spin=1)
    norms = [
        commutator_norm(cation, initial_guess(cation, exact, screening=wanted, check=False))
        for wanted in (False, True)
    ]
    assert norms[1] < norms[0]


def test_large_molecules_go_without(exact: Density, monkeypatch: pytest.MonkeyPatch) -> None:
    mean_field, rho = calculation(), off_by(exact, 0.1)
    plain = initial_guess(mean_field, rho, screening=False)
    monkeypatch.setattr(screening, "_MOST", 10)
    np.testing.assert_array_equal(initial_guess(mean_field, rho), plain)


def test_no_empty_orbitals() -> None:
    molecule = gto.M(atom="He", basis="sto-3g", verbose=0)
    mean_field = without_checkpoint(dft.RKS(molecule, xc="PBE"))
    mean_field.kernel()
    basis = even_tempered(["He"], beta=1.8, orbital_basis="def2-svp")
    rho = density_from_mean_field(mean_field, basis)
    np.testing.assert_allclose(initial_guess(mean_field, rho), mean_field.make_rdm1(), atol=1e-8)
