"""Sums of tabulated functions around one atom. Atomic units.

Around an atom, rho(r) = sum_lm g_lm(r) S_lm(r) with piecewise polynomials g_lm on common knots.
With points sorted by their distance, all points of an interval share its coefficients: one
matrix product sums over l and m, and a polynomial in r is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import factorial

import numpy as np

from ...basis.harmonics import harmonic_derivatives, harmonic_rows
from ...basis.radial_spline import DEGREE, RadialSpline
from ...basis.tabulated import TabulatedFunctions

#: Points that are evaluated at once, so that their harmonics stay in the processor's cache.
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class AtomTable:
    """The sum of an atom's tabulated functions.

    Attributes
    ----------
    spline
        Radial factors g_n of all functions of the species.
    weights
        Of the solid harmonics for each of them: shape (n_functions, (l_max + 1)^2).
    reaches
        Radius (bohr) beyond which the parts of l and of all higher ones are left out: shape
        (l_max + 1,), descending.
    """

    spline: RadialSpline
    weights: np.ndarray
    reaches: np.ndarray

    @classmethod
    def of(
        cls,
        functions: TabulatedFunctions,
        coefficients: np.ndarray,
        *,
        tolerance: float,
        baseline: bool,
    ) -> AtomTable:
        """The density of an atom.

        Parameters
        ----------
        functions
            Those of the species.
        coefficients
            Of the atom, in e/bohr^1.5.
        tolerance
            Bound of what the part of any l is worth where it is left out, e/bohr^3. At the
            cut-off of the tables every part ends.
        baseline
            Whether to include the free atom.
        """
        weights = functions.weights(coefficients, baseline=baseline)
        return cls(functions.spline, weights, _reaches(functions.spline, weights, tolerance))

    @property
    def reach(self) -> float:
        """Radius beyond which the sum is zero, bohr."""
        return float(self.reaches[0])

    def values(self, vectors: np.ndarray, derivative: str = "value") -> np.ndarray:
        """The sum at vectors (n, 3) from the nucleus.

        Parameters
        ----------
        vectors
            bohr.
        derivative
            ``"value"``, ``"gradient"`` or ``"laplacian"``. At the nucleus itself, the latter
            two are those of the function without its cusp.

        Returns
        -------
        numpy.ndarray
            Shape (n, 1), or (n, 3) for the gradient.
        """
        result = np.zeros((len(vectors), 3 if derivative == "gradient" else 1))
        r = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        order = np.argsort(r)
        r = r.take(order)
        inside = int(np.searchsorted(r, self.reach, side="right"))
        order, r = order[:inside], r[:inside]
        vectors = vectors.take(order, axis=0)
        ends = [*range(0, inside, _BLOCK), inside]
        parts = [slice(start, stop) for start, stop in pairwise(ends)]
        blocks = [self._block(vectors[part], r[part], derivative) for part in parts]
        if blocks:
            result[order] = np.concatenate(blocks)
        return result

    def _block(self, vectors: np.ndarray, r: np.ndarray, derivative: str) -> np.ndarray:
        """As :meth:`values`, for vectors sorted by their length r."""
        size = int(np.sum(self.reaches >= r[0])) ** 2
        weights = _weights_of(self.weights[:, :size], derivative)
        harmonics = harmonic_rows(vectors, round(size**0.5) - 1)
        knots = self.spline.knots
        intervals = np.minimum(np.searchsorted(knots, r, side="right") - 1, len(knots) - 2)
        # ascending, as r is
        starts = np.flatnonzero(np.diff(intervals, prepend=-1))
        coefficients = self.spline.coefficients[intervals[starts]]  # [interval, power, function]
        matrices = np.concatenate([coefficients @ one for one in weights], axis=1)
        sums = np.empty((matrices.shape[1], len(r)))  # [(part, power), point]
        for matrix, start, stop in zip(matrices, starts, [*starts[1:], len(r)], strict=True):
            np.matmul(matrix, harmonics[:, start:stop], out=sums[:, start:stop])
        steps = r - knots[intervals]
        parts = sums.reshape(len(weights), DEGREE + 1, len(r))
        return _combined(parts, steps, vectors, r, derivative)


def _weights_of(weights: np.ndarray, derivative: str) -> list[np.ndarray]:
    """What multiplies the harmonics in each part of a derivative of sum g_n W_n,lm S_lm."""
    l_max = round(weights.shape[1] ** 0.5) - 1
    if derivative == "gradient":
        return [weights, *(weights @ slope for slope in harmonic_derivatives(l_max).numpy())]
    if derivative == "laplacian":
        l = np.repeat(np.arange(l_max + 1), 2 * np.arange(l_max + 1) + 1)
        return [weights, weights * (2.0 * l + 2.0)]
    return [weights]


def _combined(
    parts: np.ndarray, steps: np.ndarray, vectors: np.ndarray, r: np.ndarray, derivative: str
) -> np.ndarray:
    """A derivative from polynomials [part, power, point] in the steps beyond a knot."""
    if derivative == "value":
        return _polynomial(parts[0], steps, 0)[:, None]
    inverse = np.divide(1.0, r, out=np.zeros_like(r), where=r > 0)
    if derivative == "gradient":
        # g' r / |r| S + g grad S
        along = _polynomial(parts[0], steps, 1) * inverse
        turning = np.stack([_polynomial(part, steps, 0) for part in parts[1:]], axis=1)
        return vectors * along[:, None] + turning
    # harmonics solve Laplace's equation: (g'' + (2 l + 2) g' / r) S
    slope = np.where(r > 0, _polynomial(parts[1], steps, 1) * inverse, 0.0)
    at_nucleus = np.where(r > 0, 0.0, _polynomial(parts[1], steps, 2))
    return (_polynomial(parts[0], steps, 2) + slope + at_nucleus)[:, None]


def _polynomial(coefficients: np.ndarray, x: np.ndarray, order: int) -> np.ndarray:
    """A derivative of polynomials with ascending coefficients [power, point] at x: (n,)."""
    total = np.zeros_like(x)
    for power in range(len(coefficients) - 1, order - 1, -1):
        total *= x
        total += factorial(power) // factorial(power - order) * coefficients[power]
    return total


def _reaches(spline: RadialSpline, weights: np.ndarray, tolerance: float) -> np.ndarray:
    """Where the part of each l, and those of all higher ones, stay below the tolerance."""
    r, g = spline.knots, spline.at_knots()
    l_max = round(weights.shape[1] ** 0.5) - 1
    reaches = np.zeros(l_max + 1)
    for l in range(l_max + 1):
        # |sum_m p_lm S_lm| is at most |p_l| sqrt((2 l + 1) / 4 pi) r^l
        norm = np.linalg.norm(g @ weights[:, l * l : (l + 1) ** 2], axis=1)
        above = np.flatnonzero(norm * r**l * np.sqrt((2 * l + 1) / (4 * np.pi)) > tolerance)
        if len(above):
            reaches[l] = r[min(above[-1] + 1, len(r) - 1)]
    return np.maximum.accumulate(reaches[::-1])[::-1]
