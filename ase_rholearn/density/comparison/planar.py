r"""Integrals of Gaussians over planes, and their repeated integrals. Atomic units.

A solid-harmonic Gaussian is a derivative of a Gaussian,
:math:`S_{lm} e^{-a r^2} = S_{lm}(-\nabla / 2a) e^{-a r^2}`. Over a plane with the unit normal n
at the height u above the centre only the derivatives along n are left:

.. math:: \int S_{lm} e^{-a r^2} dA = \frac{\pi}{a} Y_{lm}(n) \left(-\frac{1}{2a}\right)^l
          \frac{d^l}{du^l} e^{-a u^2}.

Poisson's equation in one dimension, and averages over windows, want repeated integrals of
this. Those of :math:`I_0 = e^{-a u^2}` follow from the error function and

.. math:: (n - 1) I_n = u I_{n-1} + I_{n-2} / 2a .

Each is a part that ends with the Gaussian, and what a point at u = 0 would give: the repeated
integrals :math:`P_n` of :math:`\delta(u)`, for which periods can be summed,

.. math:: I_n \to \sqrt{\frac{\pi}{a}} \sum_j \frac{P_{n-2j}}{j! (4a)^j}, \qquad
          P_n = \frac{\mathrm{sgn}(u) u^{n-1}}{2 (n-1)!} \quad \text{or} \quad
          -\frac{H^{n-1}}{n!} B_n(u/H) \text{ for the period } H,

with Bernoulli's polynomials. The periodic ones have the average zero, a point being
:math:`P_0 = \delta(u) - 1/H`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import factorial

import numpy as np
import torch
from scipy.special import bernoulli, comb, erfc, eval_hermite

from ...basis import solid_harmonics
from ..electrostatics.potential import AtomCharge

#: Exponent x of exp(-x) below which a Gaussian is taken for zero.
_NEGLIGIBLE = 40.0


@dataclass(frozen=True)
class Line:
    """Where planes lie.

    Attributes
    ----------
    normal
        Unit vector: shape (3,).
    period
        Distance (bohr) after which everything repeats, or None.
    """

    normal: np.ndarray
    period: float | None

    def __post_init__(self) -> None:
        if self.period is not None and not self.period > 0:
            raise ValueError(f"period is {self.period}: give a positive length in bohr, or None")


def repeated_integral(
    atoms: Sequence[AtomCharge],
    line: Line,
    heights: np.ndarray,
    order: int,
    windows: Sequence[float] = (),
) -> np.ndarray:
    """Integral over planes, integrated ``order`` times over the height: shape (n,).

    Order 0 are the planar integrals themselves, 1 what lies below (and above, with the
    opposite sign, halved), 2 the solution of f'' = planar integral. With a period it is the
    solution whose average is zero, and the average of the planar integral is left out.

    Parameters
    ----------
    atoms
        What is integrated; of points, which have no planar integral, orders above 0.
    line
        Direction of the heights.
    heights
        Shape (n,), bohr.
    order
        0 or larger.
    windows
        The result is averaged over windows of these lengths (bohr), one after the other.
    """
    # an average over a window is the difference of one more integral at its ends
    total = np.zeros(len(heights))
    for signs in product((-1.0, 1.0), repeat=len(windows)):
        shift = sum(0.5 * sign * length for sign, length in zip(signs, windows, strict=True))
        weight = np.prod(signs) / np.prod(windows)
        total += weight * _integrals(atoms, line, heights + shift, order + len(windows))
    return total


def _integrals(
    atoms: Sequence[AtomCharge], line: Line, heights: np.ndarray, order: int
) -> np.ndarray:
    l_max = max((m.l for atom in atoms for m in atom.multiplets), default=0)
    harmonics = solid_harmonics(torch.from_numpy(line.normal[None]), l_max)[0].numpy()
    total = np.zeros(len(heights))
    for atom in atoms:
        u = heights - line.normal @ atom.centre
        if line.period is not None:
            # once for all, so that a height at a jump is at it for every part
            u = u - line.period * np.floor(u / line.period)
        points = np.zeros(order + 1)  # amplitude of every P_n
        points[order] = atom.point
        for multiplet in atom.multiplets:
            l, a = multiplet.l, multiplet.exponents
            on_normal = multiplet.weights @ harmonics[l * l : (l + 1) ** 2]
            amplitudes = on_normal * (np.pi / a) * (-1 / (2 * a)) ** l
            total += _gaussian_part(a, amplitudes, u, order - l, line.period)
            for j in range((order - l) // 2 + 1):
                spread = np.sqrt(np.pi / a) / (factorial(j) * (4 * a) ** j)
                points[order - l - 2 * j] += amplitudes @ spread
        total += _point_part(points, u, line.period)
    return total


def _gaussian_part(
    a: np.ndarray, amplitudes: np.ndarray, u: np.ndarray, n: int, period: float | None
) -> np.ndarray:
    """Sum over exponents and periods of what ends with the Gaussian: shape (heights,)."""
    result = np.zeros(len(u))
    for exponent, amplitude in zip(a.tolist(), amplitudes.tolist(), strict=True):
        reach = np.sqrt(_NEGLIGIBLE / exponent)
        for shifted in _images(u, reach, period):
            near = np.flatnonzero(np.abs(shifted) < reach)
            if len(near):
                result[near] += amplitude * _short_integral(exponent, shifted[near], n)
    return result


def _images(u: np.ndarray, reach: float, period: float | None) -> list[np.ndarray]:
    """Distances from all images that may reach some of the heights."""
    if period is None or len(u) == 0:
        return [u]
    first, last = np.ceil((u.min() - reach) / period), np.floor((u.max() + reach) / period)
    return [u - k * period for k in range(int(first), int(last) + 1)]


def _short_integral(a: float, u: np.ndarray, n: int) -> np.ndarray:
    """I_n without what a point gives, or for n < 0 the derivative of the Gaussian."""
    gaussian = np.exp(-a * u * u)
    if n <= 0:
        return (-np.sqrt(a)) ** -n * eval_hermite(-n, np.sqrt(a) * u) * gaussian
    below = gaussian
    current = -0.5 * np.sqrt(np.pi / a) * np.sign(u) * erfc(np.sqrt(a) * np.abs(u))
    for k in range(2, n + 1):
        below, current = current, (u * current + below / (2 * a)) / (k - 1)
    return current


def _point_part(amplitudes: np.ndarray, u: np.ndarray, period: float | None) -> np.ndarray:
    """Sum over n of amplitude times P_n; P_0 is zero but for its average."""
    result = np.zeros(len(u))
    if period is not None:
        result -= amplitudes[0] / period
    for n in range(1, len(amplitudes)):
        if period is None:
            power = np.sign(u) * u ** (n - 1) / (2 * factorial(n - 1))
        else:
            power = -(period ** (n - 1)) / factorial(n) * _bernoulli(n, u / period)
        result += amplitudes[n] * power
    return result


def _bernoulli(n: int, x: np.ndarray) -> np.ndarray:
    """Bernoulli's polynomial of degree n for 0 <= x <= 1; that of degree 1 is 0 where it jumps."""
    numbers = bernoulli(n)
    powers = [comb(n, k) * numbers[k] * x ** (n - k) for k in range(n + 1)]
    value = np.sum(powers, axis=0)
    return np.where((x == 0) | (x == 1), 0.0, value) if n == 1 else value
