"""What in ``control.in`` defines the product basis.

Its functions are products of radial functions, which are solutions of free atoms with the
functional and the relativistic treatment of the run. So all of it has to be the same where
coefficients are written and where they are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .run_files import file_of_run

NAME = "control.in"

#: Keywords of the whole run that the product basis depends on.
KEYWORDS = (
    "xc",
    "relativistic",
    "atomic_solver",
    "default_prodbas_acc",
    "default_max_l_prodbas",
    "wave_threshold",
    "prodbas_threshold",
    "basis_threshold",
)

_NUMBER = re.compile(r"^[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$")


@dataclass(frozen=True)
class BasisKeywords:
    """What a ``control.in`` says about the product basis.

    Attributes
    ----------
    keywords
        Values of :data:`KEYWORDS` that are there, in one notation.
    species
        Lines of each species, without comments, in one notation.
    """

    keywords: Mapping[str, str]
    species: Mapping[str, tuple[str, ...]]

    def difference(self, other: BasisKeywords) -> str | None:
        """The first thing that differs, in words; None if the bases are the same.

        Species that only one of them has do not count.
        """
        for name in KEYWORDS:
            mine, others = self.keywords.get(name), other.keywords.get(name)
            if mine != others:
                return f"{name} is {mine or 'left out'} and {others or 'left out'}"
        for label in self.species.keys() & other.species.keys():
            mine_, others_ = self.species[label], other.species[label]
            if mine_ != others_:
                only = [line for line in mine_ if line not in others_]
                only += [line for line in others_ if line not in mine_]
                detail = f": only one has {only[0]!r}" if only else ""
                return f"the species {label} is defined in two ways{detail}"
        return None


def read_basis_keywords(path: str | os.PathLike[str]) -> BasisKeywords:
    """Read what a ``control.in`` says about the product basis.

    Parameters
    ----------
    path
        The file, or the directory that holds it.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    return parse_basis_keywords(file_of_run(path, NAME).read_text())


def parse_basis_keywords(text: str) -> BasisKeywords:
    r"""The same for the text of a ``control.in``.

    >>> one = parse_basis_keywords("xc pbe\ndefault_prodbas_acc 1d-5\nspecies H\ncut_pot 4.0")
    >>> two = parse_basis_keywords("xc PBE\ndefault_prodbas_acc 1E-05\nspecies H\ncut_pot 3.5")
    >>> one.difference(two)
    "the species H is defined in two ways: only one has 'cut_pot 4'"
    """
    keywords: dict[str, str] = {}
    species: dict[str, list[str]] = {}
    lines: list[str] | None = None
    for raw in text.splitlines():
        words = raw.split("#")[0].split()
        if not words:
            continue
        if words[0] == "species":
            lines = species.setdefault(words[1], [])
        elif lines is not None:
            lines.append(_one_notation(words))
        elif words[0] in KEYWORDS:
            keywords[words[0]] = _one_notation(words[1:])
    return BasisKeywords(keywords, {label: tuple(found) for label, found in species.items()})


def _one_notation(words: list[str]) -> str:
    """Words in lower case, numbers as Python writes them."""
    return " ".join(
        f"{float(word.lower().replace('d', 'e')):.12g}" if _NUMBER.match(word) else word.lower()
        for word in words
    )


def check_same_basis(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> None:
    """Raise a ValueError if the runs of two directories have different product bases."""
    difference = read_basis_keywords(first).difference(read_basis_keywords(second))
    if difference:
        raise ValueError(
            f"the product bases of {first} and {second} are not the same: {difference}. "
            "Coefficients of one mean nothing in the other"
        )
