"""The examples of the page on the way from a density to DFT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from markdown_pages import PageRunner

DOCS = Path(__file__).parents[2] / "docs" / "scf.md"


def test_examples_run(page_runner: PageRunner) -> None:
    # a temporary file that PySCF does not close
    closed = {".density_fit()": ".density_fit()\nmf.chkfile = mf._chkfile = None"}
    found = page_runner.run(DOCS, commands=False, replace=closed)
    assert found["mf"].converged
    assert 4 < found["found"].gap < 9
    dipoles = [rho.dipole() for rho in (found["rho"], found["better"])]
    np.testing.assert_allclose(*dipoles, atol=0.02)
