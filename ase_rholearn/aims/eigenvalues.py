"""Tables of Kohn-Sham eigenvalues in ``aims.out``."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from .product_table import number

#: Tables with spin-orbit coupling have other columns.
_HEAD = re.compile(r"^\s*State\s+Occupation\s+Eigenvalue \[Ha\]\s+Eigenvalue \[eV\]\s*$")
_ROW = re.compile(r"^\s*\d+\s+(\S+)\s+(\S+)\s+(\S+)\s*$")
_K_POINT = re.compile(r"^\s*K-point:\s*(\d+) at\s+(\S+)\s+(\S+)\s+(\S+)")


@dataclass(frozen=True)
class Eigenvalues:
    """Kohn-Sham states of one k-point and one spin.

    Attributes
    ----------
    occupations
        Shape (nstates,).
    energies
        Shape (nstates,), eV; NaN where the number was too large for its column.
    spin
        0, or 1 for the second spin.
    k_point
        Number of the k-point, from 0; 0 for molecules.
    """

    occupations: np.ndarray
    energies: np.ndarray
    spin: int = 0
    k_point: int = 0


class EigenvalueTables:
    """Collects the tables from lines of an output, one after another."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], list[tuple[float, float]]] = {}
        self._open: list[tuple[float, float]] | None = None
        self._spin = self._k_point = 0

    def look(self, line: str, *, frozen: bool = False) -> None:
        """Take in the next line; ``frozen`` keeps what there is already."""
        if "Writing Kohn-Sham eigenvalues." in line:
            if not (frozen and self._rows):
                self._rows = {}
            self._spin = self._k_point = 0
        elif "Spin-up eigenvalues" in line or "Spin-down eigenvalues" in line:
            self._spin = int("down" in line)
        elif "K-point:" in line and (match := _K_POINT.match(line)):
            self._k_point = int(match[1]) - 1
        elif "Eigenvalue [Ha]" in line and _HEAD.match(line):
            key = (self._k_point, self._spin)
            # tables that are not wanted are read over
            self._open = [] if frozen and key in self._rows else self._rows.setdefault(key, [])
            self._open.clear()
        elif self._open is not None:
            match = _ROW.match(line)
            if match is None:
                self._open = None
            else:
                self._open.append((number(match[1]), number(match[3])))

    @property
    def tables(self) -> tuple[Eigenvalues, ...]:
        """What has been found, ordered by k-point and spin."""
        found = []
        for (k_point, spin), rows in sorted(self._rows.items()):
            occupations, energies = np.array(rows, dtype=float).reshape(-1, 2).T
            found.append(Eigenvalues(occupations, energies, spin, k_point))
        return tuple(found)
