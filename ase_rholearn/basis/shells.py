"""Radial functions: contractions of Gaussians, and the integrals of one centre.

Atomic units throughout: exponents in bohr^-2, lengths in bohr.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import numpy as np
from scipy.special import gamma

#: Relative deviation from norm 1 that a shell read from a file may have.
_NORM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Shell:
    r"""One radial function R(r) of one angular momentum, with unit norm.

    .. math:: R(r) = r^l \sum_k d_k \exp(-a_k r^2), \qquad
              \int_0^\infty R(r)^2 r^2 dr = 1

    Attributes
    ----------
    l
        Angular momentum.
    exponents
        a_k in bohr^-2, all positive.
    coefficients
        d_k of the formula above (bare Gaussians, not normalised primitives).
        :meth:`normalized` computes them from any set of relative weights.
    """

    l: int
    exponents: tuple[float, ...]
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.l < 0:
            raise ValueError(f"l is {self.l}: an angular momentum is 0 or larger")
        if len(self.exponents) == 0 or len(self.exponents) != len(self.coefficients):
            raise ValueError(
                f"a shell needs as many coefficients as exponents, at least one: got "
                f"{len(self.exponents)} exponents and {len(self.coefficients)} coefficients"
            )
        if not all(np.isfinite(a) and a > 0 for a in self.exponents):
            raise ValueError(f"exponents are {self.exponents}: give positive numbers (bohr^-2)")
        norm = radial_overlap([self])[0, 0]
        if not abs(norm - 1.0) < _NORM_TOLERANCE:
            raise ValueError(
                f"the radial function with exponents {self.exponents} has norm {norm:g} "
                "instead of 1: build it with Shell.normalized"
            )

    @classmethod
    def normalized(
        cls,
        l: int,
        exponents: Sequence[float],
        weights: Sequence[float] | None = None,
    ) -> Shell:
        """Shell from the weights of *normalised* primitives, as basis-set files give them.

        >>> Shell.normalized(0, [1.0]).coefficients[0] ** 2  # 4 sqrt(2 / pi) * 2 ** 0.5 ...
        6.383076486422924
        """
        a = np.asarray(exponents, dtype=float)
        w = np.ones_like(a) if weights is None else np.asarray(weights, dtype=float)
        if a.ndim != 1 or a.shape != w.shape or len(a) == 0:
            raise ValueError(
                f"exponents {list(exponents)} and weights {weights}: give two lists of one length"
            )
        if not (np.isfinite(a).all() and (a > 0).all()):
            raise ValueError(f"exponents are {a.tolist()}: give positive numbers (bohr^-2)")
        d = w / np.sqrt(radial_moment(2 * a, 2 * l + 2))
        norm = d @ radial_moment(a[:, None] + a[None, :], 2 * l + 2) @ d
        if not norm > 0:
            raise ValueError(f"the contraction with weights {w.tolist()} has no norm")
        d = d / sqrt(norm)
        return cls(int(l), tuple(a.tolist()), tuple(d.tolist()))

    def radial(self, r: np.ndarray) -> np.ndarray:
        """R(r) at radii in bohr, in bohr^-1.5; the shape of the result is that of ``r``."""
        r = np.asarray(r, dtype=float)
        total = np.zeros_like(r)
        for a, d in zip(self.exponents, self.coefficients, strict=True):
            total += d * np.exp(-a * r * r)
        return r**self.l * total

    def moment(self, power: int) -> float:
        """The integral of R(r) r^power dr from 0 to infinity."""
        a, d = np.array(self.exponents), np.array(self.coefficients)
        return float(d @ radial_moment(a, self.l + power))

    def to_dict(self) -> dict[str, Any]:
        """Plain data (JSON); floats survive unchanged."""
        return {
            "l": self.l,
            "exponents": list(self.exponents),
            "coefficients": list(self.coefficients),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Shell:
        """The inverse of :meth:`to_dict`."""
        return cls(int(data["l"]), tuple(data["exponents"]), tuple(data["coefficients"]))


def radial_moment(exponent: np.ndarray | float, power: int) -> Any:
    """The integral of r^power exp(-a r^2) dr from 0 to infinity, for every exponent a.

    >>> float(radial_moment(1.0, 2)) == sqrt(pi) / 4
    True
    """
    half = 0.5 * (power + 1)
    return gamma(half) / (2.0 * np.asarray(exponent) ** half)


def radial_overlap(shells: Sequence[Shell]) -> np.ndarray:
    """Overlap of the radial functions of one centre and one l: shape (n, n).

    Element (a, b) is the integral of R_a R_b r^2 dr, which is also the overlap of the
    full functions with equal m.
    """
    return _contract(shells, lambda a, b, l: radial_moment(a + b, 2 * l + 2))


def radial_coulomb(shells: Sequence[Shell]) -> np.ndarray:
    """Coulomb interaction of the functions of one centre, one l and equal m: shape (n, n).

    In reciprocal space the two solid-harmonic Gaussians become Gaussians again, and the
    interaction is one radial integral over k. In Hartree for unit coefficients.
    """

    def primitive(a: np.ndarray, b: np.ndarray, l: int) -> np.ndarray:
        s = (a + b) / (4 * a * b)
        k_integral = gamma(l + 0.5) / (2 * s ** (l + 0.5))
        return pi / 2 * (a * b) ** -1.5 * (4 * a * b) ** -float(l) * k_integral

    return _contract(shells, primitive)


def _contract(shells: Sequence[Shell], primitive: Any) -> np.ndarray:
    """Sum ``primitive(a, b, l)`` over the primitives of every pair of shells."""
    l = shells[0].l
    if any(shell.l != l for shell in shells):
        raise ValueError("the integrals of one centre need shells of one angular momentum")
    a = np.concatenate([shell.exponents for shell in shells])
    matrix = primitive(a[:, None], a[None, :], l)
    contraction = np.zeros((len(shells), len(a)))
    start = 0
    for row, shell in enumerate(shells):
        stop = start + len(shell.exponents)
        contraction[row, start:stop] = shell.coefficients
        start = stop
    return contraction @ matrix @ contraction.T
