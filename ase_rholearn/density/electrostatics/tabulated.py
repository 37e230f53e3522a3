"""Potentials of tabulated charges: tables again inside, multipoles outside. Atomic units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...basis.harmonics import harmonic_derivatives, harmonic_rows
from ...basis.tabulated import TabulatedFunctions
from ..evaluation.tables import AtomTable


@dataclass(frozen=True, eq=False)
class ChargeTable:
    """The tabulated part of an atom's charge.

    Attributes
    ----------
    functions
        Those of the species.
    weights
        Of the solid harmonics for each of them, positive charge: (n_functions, (l_max + 1)^2).
    """

    functions: TabulatedFunctions
    weights: np.ndarray

    @property
    def reach(self) -> float:
        """Beyond it (bohr) the charge acts like a point multipole."""
        return self.functions.spline.cutoff

    @property
    def l_max(self) -> int:
        """Highest angular momentum."""
        return self.functions.l_max

    @property
    def total(self) -> float:
        """The charge."""
        return float(self.moments[0] / np.sqrt(4 * np.pi))

    @cached_property
    def moments(self) -> np.ndarray:
        """M_lm of the potential M S_lm / r^(2l + 1) beyond the reach: shape ((l_max + 1)^2,)."""
        return np.asarray(self.functions.potentials[1] @ self.weights)

    def radial_moments(self, order: int) -> np.ndarray:
        """The integral of r^(order + l + 2) g_lm dr: shape ((l_max + 1)^2,)."""
        return np.asarray(self.functions.moments(order) @ self.weights)

    def potential(self, vectors: np.ndarray, *, field: bool) -> np.ndarray:
        """Potential (n, 1), or electric field (n, 3), at vectors from the nucleus in bohr."""
        inner = AtomTable(
            self.functions.potentials[0], self.weights, np.full(self.l_max + 1, self.reach)
        )
        values = inner.values(vectors, "gradient" if field else "value")
        r2 = np.einsum("ij,ij->i", vectors, vectors)
        far = np.flatnonzero(r2 > self.reach**2)
        values[far] = self._outside(vectors[far], field=field)
        return -values if field else values

    def _outside(self, vectors: np.ndarray, *, field: bool) -> np.ndarray:
        """Sum of M S / r^(2l + 1), or its gradient."""
        l = np.repeat(np.arange(self.l_max + 1), 2 * np.arange(self.l_max + 1) + 1)
        r = np.linalg.norm(vectors, axis=1)[:, None]
        harmonics = harmonic_rows(vectors, self.l_max).T
        powers = self.moments * r ** (-2.0 * l - 1)
        if not field:
            return np.sum(harmonics * powers, axis=1, keepdims=True)
        slopes = harmonic_derivatives(self.l_max).numpy()
        turning = np.stack([np.sum(powers * (harmonics @ d.T), axis=1) for d in slopes], axis=1)
        along = np.sum(harmonics * powers * (2.0 * l + 1), axis=1, keepdims=True) / (r * r)
        return turning - vectors * along
