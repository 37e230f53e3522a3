"""Species sections of ``control.in``, from the defaults of the user's FHI-aims."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ase.data import atomic_numbers

from .ase_io import configuration
from .geometry import element_of

_SPECIES = re.compile(r"^(\s*species\s+)\S+", re.MULTILINE)


def species_directory(given: str | os.PathLike[str] | None = None) -> Path:
    """Folder of species defaults: what is given, ASE's configuration, or AIMS_SPECIES_DIR.

    Raises
    ------
    FileNotFoundError
        None is said, or it does not exist.
    """
    sources = {
        "species_directory": given,
        "default_species_directory of ASE's configuration": configuration().get(
            "default_species_directory"
        ),
        "AIMS_SPECIES_DIR": os.environ.get("AIMS_SPECIES_DIR"),
    }
    name, found = next(((name, path) for name, path in sources.items() if path), ("", None))
    if not found:
        raise FileNotFoundError(
            "the species defaults of FHI-aims are unknown: give species_directory, set "
            "default_species_directory in the section [aims] of ASE's configuration, or the "
            "environment variable AIMS_SPECIES_DIR"
        )
    path = Path(found).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(
            f"{name} is {path}: there is no such folder; give that of FHI-aims' species defaults"
        )
    return path


def species_sections(
    labels: Sequence[str], directory: str | os.PathLike[str], masked: Sequence[str] = ()
) -> str:
    """Sections of all species of a structure, in the order in which they appear.

    Parameters
    ----------
    labels
        Species of each atom; ``C_1`` gets the defaults of C.
    directory
        Of the defaults, such as ``species_defaults/defaults_2020/tight``.
    masked
        Species that get no product functions.

    Raises
    ------
    FileNotFoundError
        There are no defaults of an element.
    ValueError
        A file of defaults does not have one species.
    """
    return "\n".join(
        _section(label, Path(directory), label in masked) for label in dict.fromkeys(labels)
    )


def _section(label: str, directory: Path, masked: bool) -> str:
    element = element_of(label)
    path = directory / f"{atomic_numbers[element]:02d}_{element}_default"
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path}: give a folder of FHI-aims' species defaults, such as "
            "species_defaults/defaults_2020/tight"
        )
    text, count = _SPECIES.subn(rf"\g<1>{label}", path.read_text())
    if count != 1:
        raise ValueError(f"{path} has {count} species, not one")
    if masked:
        text = text.rstrip("\n") + "\n    max_n_prodbas 0\n"
    return text.rstrip("\n") + "\n"
