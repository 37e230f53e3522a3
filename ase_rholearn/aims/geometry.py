"""``geometry.in`` with species that are not elements, such as ``C_1`` beside ``C``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ase import Atoms
from ase.data import atomic_numbers

from .ase_io import parse_geometry
from .run_files import file_of_run

NAME = "geometry.in"

_ATOM = re.compile(r"^(\s*(?:atom|atom_frac)\s+\S+\s+\S+\s+\S+\s+)(\S+)", re.MULTILINE)
_EMPTY = re.compile(r"^\s*empty\s", re.MULTILINE)


@dataclass(frozen=True)
class Geometry:
    """A structure, and the species of its atoms in FHI-aims.

    Attributes
    ----------
    atoms
        The structure.
    labels
        Species of each atom: its symbol, or a symbol with something behind an underscore.
    """

    atoms: Atoms
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        check_labels(self.atoms, self.labels)


def element_of(label: str) -> str:
    """Element of a species.

    >>> element_of("C_1")
    'C'
    """
    symbol = label.split("_")[0]
    if atomic_numbers.get(symbol, 0) == 0:
        raise ValueError(f"species {label!r} does not begin with the symbol of an element")
    return symbol


def check_labels(atoms: Atoms, labels: Sequence[str]) -> None:
    """Raise a ValueError if these are not species of the atoms of a structure."""
    if len(labels) != len(atoms):
        raise ValueError(f"there are {len(labels)} labels for {len(atoms)} atoms")
    for index, (label, symbol) in enumerate(zip(labels, atoms.symbols, strict=True)):
        if element_of(label) != symbol:
            raise ValueError(f"label {label!r} of atom {index} is none of its element {symbol}")


def read_geometry(path: str | os.PathLike[str]) -> Geometry:
    """Read ``geometry.in``, atoms in the order of the file.

    Parameters
    ----------
    path
        The file, or the directory that holds it.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It cannot be read, or has sites without atoms.
    """
    path = file_of_run(path, NAME)
    text = path.read_text()
    if _EMPTY.search(text):
        raise ValueError(f"{path} has empty sites, for which no file format is known: remove them")
    labels = tuple(match[2] for match in _ATOM.finditer(text))
    if not labels:
        raise ValueError(f"{path} has no atoms")
    try:
        plain = _ATOM.sub(lambda match: match[1] + element_of(match[2]), text)
        return Geometry(parse_geometry(plain), labels)
    except Exception as error:  # ASE's reader raises whatever it stumbles over
        raise ValueError(f"{path} cannot be read: {error}") from error
