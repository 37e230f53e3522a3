"""The examples of the page on the way from a density to DFT."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs" / "scf.md"


def test_examples_run(capfd: pytest.CaptureFixture[str]) -> None:
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        # a temporary file that PySCF does not close
        closed = ".density_fit()\nmf.chkfile = mf._chkfile = None"
        exec(block.replace(".density_fit()", closed), found)
    capfd.readouterr()
    assert found["mf"].converged
    assert 4 < found["found"].gap < 9
    dipoles = [rho.dipole() for rho in (found["rho"], found["better"])]
    np.testing.assert_allclose(*dipoles, atol=0.02)
