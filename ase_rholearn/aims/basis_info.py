"""``basis_info.out``: how many radial functions the product basis has on each atom.

The file is the authority: the product basis depends on species defaults, on
``default_prodbas_acc``, ``default_max_l_prodbas`` and ``wave_threshold``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..basis import Layout
from ..files import atomic_write
from .run_files import file_of_run

NAME = "basis_info.out"

_ATOM = re.compile(r"^\s*atom\s+(\d+)\s*$", re.IGNORECASE)
_COUNT = re.compile(r"^\s*For L =\s*(\d+) there are\s*(\d+) radial functions\s*$")
_END = re.compile(r"^\s*For atom\s*(\d+) max L =\s*(-?\d+)\s*$")


@dataclass(frozen=True)
class BasisInfo:
    """Radial functions of every atom.

    Attributes
    ----------
    counts
        For each atom, how many radial functions there are of l = 0, 1, ..., lmax; empty for an
        atom without functions.

    Examples
    --------
    >>> info = BasisInfo(((2, 1), (1,)))
    >>> info.sizes.tolist(), info.size
    ([5, 1], 6)
    """

    counts: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        counts = tuple(tuple(int(n) for n in atom) for atom in self.counts)
        for atom, of_atom in enumerate(counts):
            if any(n < 0 for n in of_atom):
                raise ValueError(f"counts of atom {atom} are {of_atom}: none can be negative")
        object.__setattr__(self, "counts", counts)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def l_max(self) -> tuple[int, ...]:
        """Highest angular momentum of each atom; -1 without functions."""
        return tuple(len(of_atom) - 1 for of_atom in self.counts)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Functions of each atom: shape (natoms,)."""
        return np.array([sum((2 * l + 1) * n for l, n in enumerate(c)) for c in self.counts], int)

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return int(self.sizes.sum())

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where each atom's coefficients start, and the total length: shape (natoms + 1,)."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(int)

    @cached_property
    def layout(self) -> Layout:
        """Labels atom, l, n, m of each coefficient, each of shape (size,)."""
        rows = [
            (atom, l, n, m)
            for atom, of_atom in enumerate(self.counts)
            for l, count in enumerate(of_atom)
            for n in range(count)
            for m in range(-l, l + 1)
        ]
        return Layout(*np.array(rows, dtype=int).reshape(-1, 4).T)

    def by_label(self, labels: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Counts of each species, which all of its atoms have in common.

        Parameters
        ----------
        labels
            Species of each atom, as in ``geometry.in``; ``C_1`` is another species than ``C``.

        Raises
        ------
        ValueError
            Other numbers of atoms, or atoms of one species with different functions.
        """
        self.check_atoms(len(labels))
        species: dict[str, tuple[int, ...]] = {}
        first: dict[str, int] = {}
        for atom, (label, counts) in enumerate(zip(labels, self.counts, strict=True)):
            if species.setdefault(label, counts) != counts:
                raise ValueError(
                    f"atoms {first[label]} and {atom} are both {label}, but have {species[label]} "
                    f"and {counts} radial functions of l = 0, 1, ...: is the order of the atoms "
                    "that of geometry.in?"
                )
            first.setdefault(label, atom)
        return species

    def check_atoms(self, natoms: int) -> None:
        """Raise a ValueError if this is not the basis of so many atoms."""
        if natoms != len(self):
            raise ValueError(f"the basis has {len(self)} atoms, the structure {natoms}")

    @classmethod
    def from_species(cls, labels: Sequence[str], species: Mapping[str, Sequence[int]]) -> BasisInfo:
        """The basis of a structure from the counts of each species.

        Raises
        ------
        ValueError
            A species has no counts.
        """
        missing = sorted(set(labels) - set(species))
        if missing:
            raise ValueError(
                f"the product basis of {', '.join(missing)} is unknown: there are counts for "
                f"{', '.join(sorted(species))}"
            )
        return cls(tuple(tuple(species[label]) for label in labels))


def read_basis_info(path: str | os.PathLike[str]) -> BasisInfo:
    """Read ``basis_info.out``.

    Parameters
    ----------
    path
        The file, or the directory that holds it.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        A line is not what it should be: atoms in their order, l from 0, and the highest l at
        the end of each; the message names the line.
    """
    path = file_of_run(path, NAME, "run FHI-aims with `ri_density_restart` and `ri_full_output`")
    counts: list[tuple[int, ...]] = []
    open_atom: list[int] | None = None
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        if match := _ATOM.match(line):
            if open_atom is not None or int(match[1]) != len(counts) + 1:
                raise ValueError(f"{where}: atom {match[1]} where atom {len(counts) + 1} belongs")
            open_atom = []
        elif match := _COUNT.match(line):
            if open_atom is None or int(match[1]) != len(open_atom):
                raise ValueError(f"{where}: L = {match[1]} is out of its order")
            open_atom.append(int(match[2]))
        elif match := _END.match(line):
            if (
                open_atom is None
                or int(match[1]) != len(counts) + 1
                or int(match[2]) != len(open_atom) - 1
            ):
                raise ValueError(f"{where}: max L = {match[2]} does not end what is before it")
            counts.append(tuple(open_atom))
            open_atom = None
        else:
            raise ValueError(f"{where}: {line.strip()!r} is not a line of {NAME}")
    if open_atom is not None or not counts:
        raise ValueError(f"{path} is truncated: it ends within atom {len(counts) + 1}")
    return BasisInfo(tuple(counts))


def write_basis_info(path: str | os.PathLike[str], info: BasisInfo) -> None:
    """Write a file as FHI-aims writes it, for :func:`read_basis_info`."""
    with atomic_write(path, "w") as stream:
        for atom, counts in enumerate(info.counts, 1):
            stream.write(f" atom {atom:11d}\n")
            for l, n in enumerate(counts):
                stream.write(f" For L = {l:12d} there are {n:11d} radial functions\n")
            stream.write(f" For atom {atom:12d} max L = {len(counts) - 1:12d}\n")
