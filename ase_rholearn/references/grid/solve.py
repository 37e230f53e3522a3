"""Least squares with a fixed charge, for metrics that may be singular."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

#: Eigenvalues of the metric of normalised functions below this fraction of the largest one
#: are rounding noise of sums over many points.
_DEPENDENCE = 1e-12


@dataclass(frozen=True)
class ChargedSolver:
    """Minimises c M c / 2 - b c at a fixed charge n c.

    Attributes
    ----------
    inverse_root
        W with W W^T = M^-1, without the directions in which M is singular:
        (size, n_kept).
    electrons
        n, electrons of each function: (size,).
    condition
        Ratio of the largest and the smallest eigenvalue of the metric of normalised functions.
    """

    inverse_root: np.ndarray
    electrons: np.ndarray
    condition: float

    @classmethod
    def of(cls, metric: np.ndarray, electrons: np.ndarray, *, unit_norms: bool) -> ChargedSolver:
        """Decompose a symmetric metric of shape (size, size).

        ``unit_norms``: the functions are normalised in this metric, apart from where points
        were left out. Then those that live only there are not blown up.
        """
        scale = np.ones(len(metric)) if unit_norms else 1.0 / np.sqrt(np.diag(metric))
        values, vectors = eigh(metric * scale[:, None] * scale[None, :])
        kept = values > _DEPENDENCE * values[-1]
        root = scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])
        condition = float(values[-1] / max(values[0], _DEPENDENCE * values[-1]))
        return cls(root, electrons, condition)

    @property
    def dependent(self) -> int:
        """Combinations of functions that were left out because they are nearly zero."""
        return int(np.subtract(*self.inverse_root.shape))

    def solve(self, projections: np.ndarray, charge: float) -> tuple[np.ndarray, float]:
        """Coefficients that hold ``charge`` electrons, and what the constraint added.

        Parameters
        ----------
        projections
            b: shape (size,).
        charge
            Electrons.
        """
        free = self.inverse_root @ (self.inverse_root.T @ projections)
        step = self.inverse_root @ (self.inverse_root.T @ self.electrons)
        shift = float(charge - self.electrons @ free)
        return free + shift / float(self.electrons @ step) * step, shift
