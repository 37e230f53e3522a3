r"""Radial functions as piecewise polynomials, and their integrals. Atomic units.

All functions are factors g(r) of solid harmonics: g(r) S_lm(r), with S_lm = r^l Y_lm. Integrals
over r are exact, because Gauss-Legendre rules are for polynomials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, factorial

import numpy as np
from scipy.interpolate import PPoly, make_interp_spline

#: Of the polynomials. Quintic splines on the meshes of numerical atoms err by 1e-10 or less,
#: cubic ones by 1e-8, with second derivatives of 1e-4.
DEGREE = 5

#: Where a function stays within this part of its largest value, it counts as flat.
_FLAT = 1e-2


@dataclass(frozen=True, eq=False)
class RadialSpline:
    """Functions g_n(r) on common knots; they are zero beyond the last one.

    Attributes
    ----------
    knots
        Ascending, from zero: shape (n_intervals + 1,).
    coefficients
        Of the powers 0 .. 5 of r minus the lower knot: shape (n_intervals, 6, n_functions).
    """

    knots: np.ndarray
    coefficients: np.ndarray

    # construction ------------------------------------------------------------------

    @classmethod
    def through(cls, r: np.ndarray, values: np.ndarray) -> RadialSpline:
        """One function through values at radii, continuous to its fourth derivative.

        Below the first radius it continues as it starts, or as a parabola if the nucleus is
        many points away. Where a mesh is much denser than
        a function varies, as logarithmic ones are around the nucleus, points are left out:
        rounding would spoil the derivatives.
        """
        kept = _needed_points(r, values)
        r, values = r[kept], values[kept]
        pieces = PPoly.from_spline(make_interp_spline(r, values, k=DEGREE))
        real = np.flatnonzero(np.diff(pieces.x) > 0)
        knots = np.append(pieces.x[real], pieces.x[real[-1] + 1])
        coefficients = pieces.c[::-1, real].T
        if knots[0] > 0:
            powers = DEGREE + 1 if knots[0] < knots[1] - knots[0] else 3
            inner = np.zeros((1, DEGREE + 1))
            inner[0, :powers] = _moved(coefficients[0, :powers], -knots[0])
            knots = np.append(0.0, knots)
            coefficients = np.concatenate([inner, coefficients])
        return cls(knots, np.ascontiguousarray(coefficients[:, :, None]))

    @classmethod
    def hermite(
        cls, knots: np.ndarray, values: np.ndarray, slopes: np.ndarray, curvatures: np.ndarray
    ) -> RadialSpline:
        """Functions from values and two derivatives at the knots: shapes (n_knots, n)."""
        h = np.diff(knots)[:, None]
        low = np.stack([values[:-1], slopes[:-1] * h, curvatures[:-1] * h * h / 2], axis=1)
        # what the upper ends still lack of value, slope and curvature, over the width
        lacking = np.stack([values[1:], slopes[1:] * h, curvatures[1:] * h * h], axis=1)
        lacking = lacking - _UP @ low
        high = np.linalg.solve(_HIGH, lacking)
        powers = h[:, :, None] ** np.arange(DEGREE + 1)[None, :, None]
        return cls(knots, np.concatenate([low, high], axis=1) / powers)

    @classmethod
    def joined(cls, splines: Sequence[RadialSpline]) -> RadialSpline:
        """All functions of some splines, in their order, on the knots of all."""
        knots = np.unique(np.concatenate([spline.knots for spline in splines]))
        return cls(knots, np.concatenate([s._on(knots) for s in splines], axis=2))

    def _on(self, knots: np.ndarray) -> np.ndarray:
        """Coefficients on knots that contain the own ones."""
        start = knots[:-1]
        own = np.searchsorted(self.knots, start, side="right") - 1
        inside = own < len(self.coefficients)
        own = own[inside]
        result = np.zeros((len(start), *self.coefficients.shape[1:]))
        shift = (start[inside] - self.knots[own])[:, None]
        result[inside] = _moved(self.coefficients[own].swapaxes(0, 1), shift).swapaxes(0, 1)
        return result

    # values ------------------------------------------------------------------------

    @property
    def cutoff(self) -> float:
        """Where the functions end, bohr."""
        return float(self.knots[-1])

    def at(self, r: np.ndarray, order: int = 0) -> np.ndarray:
        """The functions, or a derivative, at radii (n,): shape (n, n_functions)."""
        inside = np.flatnonzero(r <= self.knots[-1])
        x = r[inside]
        interval = np.searchsorted(self.knots, x, side="right") - 1
        interval = np.minimum(interval, len(self.coefficients) - 1)
        step = (x - self.knots[interval])[:, None]
        total = np.zeros((len(x), self.coefficients.shape[2]))
        for power in range(DEGREE, order - 1, -1):
            factor = factorial(power) // factorial(power - order)
            total = total * step + factor * self.coefficients[interval, power]
        result = np.zeros((len(r), total.shape[1]))
        result[inside] = total
        return result

    def at_knots(self) -> np.ndarray:
        """The functions at the knots: shape (n_knots, n_functions)."""
        return self.at(self.knots)

    # integrals ---------------------------------------------------------------------

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """Radii and weights that integrate piecewise polynomials: shapes (n_intervals, m)."""
        nodes, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
        half = np.diff(self.knots)[:, None] / 2
        return self.knots[:-1, None] + half * (nodes + 1), half * weights

    def integral(self, power: int) -> np.ndarray:
        """The integral of g(r) r^power dr from zero to the cut-off: shape (n_functions,)."""
        return self._pieces(power).sum(axis=0)

    def _pieces(self, power: int) -> np.ndarray:
        """The integral of g(r) r^power dr in each interval: shape (n_intervals, n_functions)."""
        r, weights = self.quadrature(DEGREE + power)
        steps = (r - self.knots[:-1, None])[:, None] ** np.arange(DEGREE + 1)[:, None]
        moments = (steps * (weights * r**power)[:, None]).sum(axis=2)
        return np.einsum("kp,kpn->kn", moments, self.coefficients)

    def coulomb_potential(self, l: int) -> tuple[RadialSpline, np.ndarray]:
        r"""Factors v(r) of the potentials v S_lm of charges g S_lm, and the potentials outside.

        With the charge inside r, :math:`Q(r) = \int_0^r g s^{2l+2} ds`, the potential is

        .. math:: v(r) = \frac{4\pi}{2l+1} \left[\frac{Q(r)}{r^{2l+1}} +
                  \int_r^\infty g(s) s\, ds\right],\qquad v' = -\frac{4\pi Q}{r^{2l+2}}.

        Returns
        -------
        RadialSpline
            v between the knots, from its value and two derivatives there.
        numpy.ndarray
            M_n of the potentials M S_lm / r^(2l + 1) beyond the cut-off: shape (n_functions,).
        """
        zero = np.zeros((1, self.coefficients.shape[2]))
        inside = np.concatenate([zero, np.cumsum(self._pieces(2 * l + 2), axis=0)])
        outside = np.concatenate([np.cumsum(self._pieces(1)[::-1], axis=0)[::-1], zero])
        r, g = self.knots[1:, None], self.at_knots()
        mean = np.concatenate([g[:1] / (2 * l + 3), inside[1:] / r ** (2 * l + 3)])
        r = self.knots[:, None]
        values = 4 * np.pi / (2 * l + 1) * (mean * r * r + outside)
        slopes = -4 * np.pi * mean * r
        curvatures = -4 * np.pi * (g - (2 * l + 2) * mean)
        potential = self.hermite(self.knots, values, slopes, curvatures)
        return potential, 4 * np.pi / (2 * l + 1) * inside[-1]


#: Value, slope and curvature at 1 of the powers 0 .. 2, and of the powers 3 .. 5.
_UP = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0], [0.0, 0.0, 2.0]])
_HIGH = np.array([[1.0, 1.0, 1.0], [3.0, 4.0, 5.0], [6.0, 12.0, 20.0]])


def _moved(coefficients: np.ndarray, shift: float | np.ndarray) -> np.ndarray:
    """Polynomials, ascending powers along the first axis, about a point moved by ``shift``."""
    return np.stack(
        [
            sum(
                comb(high, low) * coefficients[high] * shift ** (high - low)
                for high in range(low, len(coefficients))
            )
            for low in range(len(coefficients))
        ]
    )


def _needed_points(r: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Indices of the points that a spline needs."""
    varied = np.abs(values - values[0]) > _FLAT * np.abs(values).max()
    first = int(np.argmax(varied))
    if first == 0:
        return np.arange(len(r))
    # no denser than where the function starts to vary
    step = 0.999 * (r[first] - r[first - 1])
    kept, last = [], first
    for k in range(first - 1, -1, -1):
        if r[last] - r[k] >= step:
            kept.append(k)
            last = k
    return np.concatenate([np.array(kept[::-1], dtype=int), np.arange(first, len(r))])
