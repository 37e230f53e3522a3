"""The examples of the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from ase_rholearn.scf.functionals import Tapered

DOCS = Path(__file__).parents[2] / "docs" / "functionals.md"


def test_examples_run() -> None:
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, found)
    # the electrons of water in the field of its nuclei and of each other: without kinetic energy
    assert -170 < found["energy"].item() < -150
    assert torch.isfinite(found["projected"]).all()
    assert found["v"].shape == (3,)
    assert (found["v"] < 0).all()


def test_what_the_taper_costs() -> None:
    """The figure of the page."""
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, found)
    functionals, atoms, basis = found["functionals"], found["atoms"], found["density"].basis
    tapered = functionals.local_energy(atoms, basis, Tapered(found["pbe"]), level=2)
    with torch.no_grad():
        change = tapered(found["c"]) - found["exchange"](found["c"])
    assert change.item() == pytest.approx(1e-5, abs=1e-5)
