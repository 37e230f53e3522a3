"""The tables of one species on common knots. Atomic units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .numerical import FreeAtom, NumericalAtomicDensity, NumericalShell, RadialFunction
from .radial_spline import RadialSpline


@dataclass(frozen=True, eq=False)
class TabulatedFunctions:
    """Radial functions of one species that are tables.

    Attributes
    ----------
    spline
        R / r^l of each, by ascending l.
    l
        Their angular momenta: shape (n_functions,).
    starts
        Where the functions m = -l .. l of each start among those of the species; -1 for the
        density of the free atom, which is the first one, if it is a table.
    """

    spline: RadialSpline
    l: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(
        cls, shells: Sequence[RadialFunction], atomic: FreeAtom | None
    ) -> TabulatedFunctions | None:
        """The tables among the functions of a species, or None if there are none."""
        starts = np.concatenate([[0], np.cumsum([2 * s.l + 1 for s in shells])])
        found = [
            (shell.spline, shell.l, int(start))
            for shell, start in zip(shells, starts, strict=False)
            if isinstance(shell, NumericalShell)
        ]
        if isinstance(atomic, NumericalAtomicDensity):
            found.insert(0, (atomic.spline, 0, -1))
        if not found:
            return None
        splines, l, own = zip(*found, strict=True)
        return cls(RadialSpline.joined(splines), np.array(l), np.array(own))

    @property
    def l_max(self) -> int:
        """Highest angular momentum."""
        return int(self.l.max())

    def weights(self, coefficients: np.ndarray, *, baseline: bool) -> np.ndarray:
        """Weights of the harmonics of each function in an atom: (n_functions, (l_max + 1)^2).

        Parameters
        ----------
        coefficients
            Of the atom: shape (size of the species,).
        baseline
            Whether to include the free atom.
        """
        weights = np.zeros((len(self.l), (self.l_max + 1) ** 2))
        for row, l, start in zip(weights, self.l.tolist(), self.starts.tolist(), strict=True):
            if start >= 0:
                row[l * l : (l + 1) ** 2] = coefficients[start : start + 2 * l + 1]
            elif baseline:
                row[0] = np.sqrt(4 * np.pi)  # S_00 is the constant sqrt(1 / 4 pi)
        return weights

    @cached_property
    def potentials(self) -> tuple[RadialSpline, np.ndarray]:
        """Coulomb potentials: see :meth:`RadialSpline.coulomb_potential`."""
        parts, moments = [], []
        for l in sorted(set(self.l.tolist())):
            spline, outside = self._of(l).coulomb_potential(l)
            parts.append(spline.coefficients)
            moments.append(outside)
        # of one l after another, as the functions themselves
        joined = RadialSpline(self.spline.knots, np.concatenate(parts, axis=2))
        return joined, np.concatenate(moments)

    def moments(self, power: int) -> np.ndarray:
        """The integral of R r^(power + 2) dr of each function: shape (n_functions,)."""
        levels = sorted(set(self.l.tolist()))
        return np.concatenate([self._of(l).integral(power + l + 2) for l in levels])

    def _of(self, l: int) -> RadialSpline:
        """The functions of one l."""
        return RadialSpline(self.spline.knots, self.spline.coefficients[:, :, self.l == l])
