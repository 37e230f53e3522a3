"""The code of pages that runs as it stands, and what it should give."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from markdown_pages import PageRunner

from ase_rholearn.scf.functionals import Tapered

DOCS = Path(__file__).parents[2] / "docs"


def test_comparison(page_runner: PageRunner) -> None:
    found = page_runner.run(DOCS / "comparison.md")
    assert 0.99 < found["found"].similarity <= 1 + 1e-9
    assert found["profile"].electrons[-1] == pytest.approx(10, abs=0.05)
    assert found["planes"].values.sum() * 0.05 == pytest.approx(10, abs=0.05)
    # the levels are reached at the ends
    levels = found["potential"].values[[0, -1]]
    assert levels == pytest.approx(found["potential"].vacuum_levels, abs=0.02)
    assert found["displacement"][-1] == pytest.approx(0, abs=1e-3)


def test_functionals(page_runner: PageRunner) -> None:
    found = page_runner.run(DOCS / "functionals.md")
    # the electrons of water in the field of its nuclei and of each other: without kinetic energy
    assert -170 < found["energy"].item() < -150
    assert torch.isfinite(found["projected"]).all()
    assert found["v"].shape == (3,)
    assert (found["v"] < 0).all()
    # what the taper costs, the figure of the page
    functionals, atoms, basis = found["functionals"], found["atoms"], found["density"].basis
    tapered = functionals.local_energy(atoms, basis, Tapered(found["pbe"]), level=2)
    with torch.no_grad():
        change = tapered(found["c"]) - found["exchange"](found["c"])
    assert change.item() == pytest.approx(1e-5, abs=1e-5)


def test_index(page_runner: PageRunner) -> None:
    """The first lines that anybody types."""
    found = page_runner.run(DOCS / "index.md")
    assert found["rho"].number_of_electrons == pytest.approx(10)
    assert (page_runner.folder / "water.cube").exists()
