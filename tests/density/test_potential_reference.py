"""Fitted densities against the SCF's own potential and charges; all ten in benchmarks/."""

from __future__ import annotations

import pytest
from ase.build import molecule

pytest.importorskip("pyscf")


@pytest.mark.parametrize("name", ["H2O", "HCN"])
def test_surface_potential_and_hirshfeld_charges(name: str) -> None:
    from esp_accuracy import fitted, hirshfeld_errors, potential_error

    rho, mean_field = fitted(molecule(name))
    error, size = potential_error(rho, mean_field, degree=11)
    assert size > 10  # kcal/mol/e
    assert error < 0.15
    quadrature, scf = hirshfeld_errors(rho, mean_field, level=4)
    assert quadrature < 3e-5
    assert scf < 1e-3
