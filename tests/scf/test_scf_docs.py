"""The examples of the page on the way from a density to DFT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from grid_orbitals import valence_density
from markdown_pages import PageRunner

from ase_rholearn.density import Density
from ase_rholearn.references.grid import fit_grid, grid_basis

DOCS = Path(__file__).parents[2] / "docs" / "scf.md"


def test_examples_run(page_runner: PageRunner) -> None:
    values = valence_density("si", (12, 12, 12))
    basis = grid_basis(values, largest=2.0, beta=2.5)
    fit = fit_grid(values, basis)
    Density(values.atoms, basis, fit.coefficients).write(page_runner.folder / "silicon.npz")
    replace = {
        # a temporary file that PySCF does not close
        ".density_fit()": ".density_fit()\nmf.chkfile = mf._chkfile = None",
        # cheaper ones will do
        "gth-dzvp": "gth-szv",
        "(20, 20, 20)": "(12, 12, 12)",
    }
    found = page_runner.run(DOCS, commands=False, replace=replace)
    assert found["mf"].converged
    assert 4 < found["found"].gap < 9
    dipoles = [rho.dipole() for rho in (found["rho"], found["better"])]
    np.testing.assert_allclose(*dipoles, atol=0.02)
    assert found["bands"].energies.shape == (1, 40, 8)
    assert 0 < found["crystal"].gap < 3  # larger in so small a basis
    assert found["improved"].integral == pytest.approx(8, abs=0.01)
