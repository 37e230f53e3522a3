"""From one auxiliary basis to another without orbitals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule

from ase_rholearn.basis import Basis, even_tempered
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import (
    KohnSham,
    atomic_densities,
    metric_matrix,
    project,
    reference,
    refit,
)

LEVEL = KohnSham("PBE", "def2-svp", grid_level=0, conv_tol=1e-9, forces=False)


@pytest.fixture(scope="module")
def rich() -> Basis:
    basis = even_tempered(["H", "O"], beta=1.8, orbital_basis="def2-svp")
    return basis.with_atomic_densities(atomic_densities([1, 8], orbital_basis="def2-svp"))


@pytest.fixture(scope="module")
def poor() -> Basis:
    return even_tempered(["H", "O"], beta=2.5, orbital_basis="def2-svp")


@pytest.fixture(scope="module")
def fitted(rich: Basis) -> Reference:
    return reference(molecule("H2O"), rich, LEVEL, keep_orbitals=True)


@pytest.mark.parametrize("metric", ["coulomb", "overlap"])
def test_a_density_in_the_basis_comes_back(fitted: Reference, rich: Basis, metric: str) -> None:
    """Projected onto the same functions, with or without atomic densities below."""
    again = project(fitted, rich, rich, metric=metric)
    error = again.coefficients - fitted.coefficients
    overlap = metric_matrix(fitted.atoms, rich)
    assert np.sqrt(error @ overlap @ error) < 1e-8


def test_nearly_the_fit_to_the_orbitals(fitted: Reference, rich: Basis, poor: Basis) -> None:
    """The whole density, in a basis without atomic densities."""
    projected, direct = project(fitted, rich, poor), refit(fitted, poor)
    error = projected.coefficients - direct.coefficients
    coulomb = metric_matrix(fitted.atoms, poor, "coulomb")
    # the error of the first fit, in energy
    assert error @ coulomb @ error / 2 < 1e-6
    assert abs(projected.fit["electron_error"] - direct.fit["electron_error"]) < 1e-3
    for name in ("energy", "dipole", "converged"):
        assert np.all(getattr(projected, name) == getattr(fitted, name))


def test_settings_say_so(fitted: Reference, rich: Basis, poor: Basis) -> None:
    projected = project(fitted, rich, poor)
    assert projected.settings["projected_from"] == fitted.settings["basis"]
    assert projected.id != refit(fitted, poor).id


def test_what_cannot_be_projected(fitted: Reference, rich: Basis, poor: Basis) -> None:
    with pytest.raises(ValueError, match=r"only fits of molecules can be projected"):
        project(replace(fitted, atoms=bulk("Si")), rich, poor)
    with pytest.raises(ValueError, match=r"the target basis is valence"):
        project(fitted, rich, Basis(poor.shells, kind="valence", core_charges={1: 1, 8: 6}))
