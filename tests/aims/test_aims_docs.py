"""What the tutorial shows works as it stands, with a program that stands in for FHI-aims."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import molecule
from ase.calculators.aims import AimsProfile
from ase.io import write
from markdown_pages import PageRunner
from test_aims_cli import Predictor
from test_seeded import Model, product_basis

import ase_rholearn
from ase_rholearn.cli import aims as commands

PAGE = Path(__file__).parents[2] / "docs" / "fhi-aims.md"


def test_the_tutorial(
    page_runner: PageRunner, monkeypatch: pytest.MonkeyPatch, species: Path, command_line: str
) -> None:
    # what a reader has: ASE's configuration, and a trained model
    configured = {"command": command_line, "default_species_directory": str(species)}
    for name in ("ase_rholearn.aims.ase_io", "ase_rholearn.aims.species"):
        monkeypatch.setattr(f"{name}.configuration", lambda: configured)
    monkeypatch.setattr(
        "ase.calculators.aims.AimsTemplate.load_profile",
        lambda *_, **__: AimsProfile(command_line, default_species_directory=str(species)),
    )
    monkeypatch.setattr("ase.calculators.genericfileio._cfg.parser", {"aims": {}})
    monkeypatch.setattr(commands, "load_model", lambda *_: Predictor(product_basis()))
    monkeypatch.setattr(ase_rholearn, "RhoCalculator", lambda _: Model(product_basis()))
    water = molecule("H2O")
    write("molecules.xyz", [water, molecule("CH4")])
    found = page_runner.run(PAGE, given={"atoms": water})
    assert (found["atoms"].calc.output.gap, found["atoms"].calc.cycles) == (12.0, 0)
    assert (page_runner.folder / "aims-data" / "dataset.json").exists()
