"""The examples of the page on the way from a density to DFT."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grid_orbitals import valence_density

from ase_rholearn.density import Density
from ase_rholearn.references.grid import fit_grid, grid_basis

DOCS = Path(__file__).parents[2] / "docs" / "scf.md"


def test_examples_run(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = valence_density("si", (12, 12, 12))
    basis = grid_basis(values, largest=2.0, beta=2.5)
    fit = fit_grid(values, basis)
    Density(values.atoms, basis, fit.coefficients).write(tmp_path / "silicon.npz")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        # a temporary file that PySCF does not close
        closed = ".density_fit()\nmf.chkfile = mf._chkfile = None"
        code = block.replace(".density_fit()", closed)
        # cheaper ones will do
        code = code.replace("gth-dzvp", "gth-szv").replace("(20, 20, 20)", "(12, 12, 12)")
        exec(code, found)
    capfd.readouterr()
    assert found["mf"].converged
    assert 4 < found["found"].gap < 9
    dipoles = [rho.dipole() for rho in (found["rho"], found["better"])]
    np.testing.assert_allclose(*dipoles, atol=0.02)
    assert found["bands"].energies.shape == (1, 40, 8)
    assert 0 < found["crystal"].gap < 3  # larger in so small a basis
    assert found["improved"].integral == pytest.approx(8, abs=0.01)
