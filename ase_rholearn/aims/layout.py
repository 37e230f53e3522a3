"""Where runs are: ``ROOT/000000/scf``, ``ROOT/000000/fit``, ``ROOT/000000/rebuild``, ..."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .settings import Step

#: In the directory of a fit: what is fitted, if it is not the density.
QUANTITY = "quantity.json"

_NUMBER = re.compile(r"\d{6,}")


def structure_directory(root: str | os.PathLike[str], index: int) -> Path:
    """Directory of the structure with this number, from 0."""
    return Path(root) / f"{index:06d}"


def structure_directories(root: str | os.PathLike[str]) -> list[Path]:
    """Directories of all structures, in their order.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or it has none.
    """
    folder = Path(root)
    found = sorted(p for p in folder.glob("[0-9]*") if _NUMBER.fullmatch(p.name) and p.is_dir())
    if not found:
        raise FileNotFoundError(
            f"there are no runs in {folder}: `ase-rholearn aims setup` makes them"
        )
    return sorted(found, key=lambda p: int(p.name))


def step_directory(structure: str | os.PathLike[str], step: Step) -> Path:
    """Directory of one step of a structure."""
    return Path(structure) / step
