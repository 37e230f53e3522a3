"""Spherical densities of free atoms, the baseline that learning starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erfc

from .shells import radial_moment


@dataclass(frozen=True)
class AtomicDensity:
    r"""A spherical density as a sum of s Gaussians, in atomic units.

    .. math:: \rho(r) = \sum_k a_k \exp(-\alpha_k r^2)

    Attributes
    ----------
    exponents
        alpha_k in bohr^-2.
    amplitudes
        a_k in electrons per bohr^3.
    """

    exponents: tuple[float, ...]
    amplitudes: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.exponents) != len(self.amplitudes):
            raise ValueError(
                f"an atomic density needs one amplitude an exponent: got {len(self.exponents)} "
                f"exponents and {len(self.amplitudes)} amplitudes"
            )
        if not all(np.isfinite(a) and a > 0 for a in self.exponents):
            raise ValueError(f"exponents are {self.exponents}: give positive numbers (bohr^-2)")
        if not np.isfinite(self.amplitudes).all():
            raise ValueError(f"amplitudes are {self.amplitudes}: give finite numbers (e/bohr^3)")

    @property
    def number_of_electrons(self) -> float:
        """The integral over space."""
        return float(np.sum(self.electrons_per_term))

    @property
    def electrons_per_term(self) -> np.ndarray:
        """Electrons of each Gaussian: shape (n_terms,)."""
        a = np.array(self.exponents)
        return 4 * np.pi * radial_moment(a, 2) * np.array(self.amplitudes)

    def moment(self, power: int) -> float:
        """The integral of the density times r^power over space, e bohr^power."""
        per_amplitude = 4 * np.pi * radial_moment(np.array(self.exponents), power + 2)
        return float(per_amplitude @ np.array(self.amplitudes))

    def value(self, r: np.ndarray) -> np.ndarray:
        """Density at radii in bohr, in electrons per bohr^3."""
        r = np.asarray(r, dtype=float)
        total = np.zeros_like(r)
        for a, amplitude in zip(self.exponents, self.amplitudes, strict=True):
            total += amplitude * np.exp(-a * r * r)
        return total

    def electrons_beyond(self, radius: float) -> float:
        """Electrons outside a sphere of the given radius in bohr."""
        a = np.array(self.exponents)
        x = np.sqrt(a) * radius
        fraction = erfc(x) + 2 / np.sqrt(np.pi) * x * np.exp(-x * x)
        return float(self.electrons_per_term @ fraction)

    def to_dict(self) -> dict[str, Any]:
        """Plain data (JSON); floats survive unchanged."""
        return {"exponents": list(self.exponents), "amplitudes": list(self.amplitudes)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AtomicDensity:
        """The inverse of :meth:`to_dict`."""
        return cls(tuple(data["exponents"]), tuple(data["amplitudes"]))

    @classmethod
    def fit(
        cls,
        r: np.ndarray,
        density: np.ndarray,
        number_of_electrons: float,
        exponents: Sequence[float],
    ) -> AtomicDensity:
        """Least-squares fit of a radial density with the given exponents.

        The weight is the electrons in each shell of the mesh, sqrt(4 pi r^2 dr), and the
        electron count is imposed exactly. Nearly dependent combinations of the Gaussians
        are left out (relative cut 1e-12), which keeps amplitudes moderate.

        Parameters
        ----------
        r, density
            A radial mesh in bohr, increasing and dense near the nucleus, and the density
            on it in electrons per bohr^3: shapes (n_points,).
        number_of_electrons
            What the fitted density integrates to.
        exponents
            Gaussians to use (bohr^-2).
        """
        a = np.array(sorted(exponents, reverse=True), dtype=float)
        weight = np.sqrt(4 * np.pi) * r * np.sqrt(np.gradient(r))
        per_electron = 4 * np.pi * radial_moment(a, 2)
        # columns of unit charge, so that the singular values mean something physical
        design = np.exp(-np.outer(r * r, a)) / per_electron * weight[:, None]
        electrons = _constrained_least_squares(design, density * weight, number_of_electrons)
        return cls(tuple(a.tolist()), tuple((electrons / per_electron).tolist()))


def _constrained_least_squares(design: np.ndarray, target: np.ndarray, total: float) -> np.ndarray:
    """Minimise |design x - target| subject to sum(x) = total."""
    n = design.shape[1]
    start = np.full(n, total / n)
    # an orthonormal basis of the vectors whose elements add up to zero
    directions = np.linalg.svd(np.ones((1, n)))[2][1:].T
    step, *_ = np.linalg.lstsq(design @ directions, target - design @ start, rcond=1e-12)
    return start + directions @ step
