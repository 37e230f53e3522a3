"""Species defaults of our own, and a program that stands in for FHI-aims."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ase.data import atomic_numbers

from ase_rholearn.aims.settings import AimsSettings

STAND_IN = f"{sys.executable} {Path(__file__).with_name('stand_in.py')}"


@pytest.fixture(scope="session")
def species(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Species files that are as small as can be."""
    folder = tmp_path_factory.mktemp("species")
    for symbol in ("H", "C", "O", "Si"):
        number = atomic_numbers[symbol]
        (folder / f"{number:02d}_{symbol}_default").write_text(
            f"# made for a test\n  species        {symbol}\n    nucleus        {number}\n"
            "    cut_pot        4.0  1.5  1.0\n"
        )
    return folder


@pytest.fixture
def settings(species: Path) -> AimsSettings:
    return AimsSettings(species_directory=species, k_density=1.0)


@pytest.fixture
def command_line() -> str:
    """The command that stands in for FHI-aims."""
    return STAND_IN


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say how it behaves."""

    def set_options(**options: object) -> None:
        monkeypatch.setenv("AIMS_STAND_IN", json.dumps(options))

    return set_options
