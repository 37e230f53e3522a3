"""What the tutorial shows works as it stands, with a program that stands in for FHI-aims."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ase.build import molecule
from ase.calculators.aims import AimsProfile
from ase.io import write
from test_aims_cli import Predictor
from test_seeded import Model, product_basis

import ase_rholearn
from ase_rholearn.aims import ase_io
from ase_rholearn.cli import aims as commands

DOCS = (Path(__file__).parents[2] / "docs" / "fhi-aims.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)


def test_the_tutorial(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., tuple[int, str, str]],
    species: Path,
    command_line: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    configured = {"command": command_line, "default_species_directory": str(species)}
    monkeypatch.setattr(ase_io, "configuration", lambda: configured)
    monkeypatch.setattr("ase_rholearn.aims.species.configuration", lambda: configured)
    monkeypatch.setattr(commands, "load_model", lambda *_: Predictor(product_basis()))
    atoms = molecule("H2O")
    write("molecules.xyz", [atoms, molecule("CH4")])
    [options] = blocks("yaml")
    Path("aims.yaml").write_text(options)
    for line in "".join(blocks("sh")).splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "ase-rholearn"
        status, out, err = command(*arguments)
        assert status == 0, (line, out, err)
    # the only thing that differs from the docs: ASE's configuration, and the model
    monkeypatch.setattr(
        "ase.calculators.aims.AimsTemplate.load_profile",
        lambda *_, **__: AimsProfile(command_line, default_species_directory=str(species)),
    )
    monkeypatch.setattr("ase.calculators.genericfileio._cfg.parser", {"aims": {}})
    monkeypatch.setattr(ase_rholearn, "RhoCalculator", lambda _: Model(product_basis()))
    [code] = blocks("python")
    names: dict[str, Any] = {"atoms": atoms}
    exec(code, names)
    assert capfd.readouterr().out.split()[1:] == ["12.0", "0"]
