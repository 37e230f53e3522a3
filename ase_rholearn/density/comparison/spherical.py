r"""Averages of Gaussians over spheres about another point, and their integrals. Atomic units.

Let d be the vector from the point to the centre of a solid-harmonic Gaussian. Translating the
harmonic to the point and expanding the Gaussian in modified spherical Bessel functions i gives
its average over the sphere of radius r,

.. math:: Y_{lm}(d) \sum_{\lambda=0}^l \binom{l}{\lambda} (-d)^{l-\lambda} r^\lambda
          e^{-a(r-d)^2} \tilde i_\lambda(2ard), \qquad \tilde i_\lambda(z) = e^{-z} i_\lambda(z),

and, because the function is a divergence, its integral over the ball for l > 0,

.. math:: -\frac{2\pi r}{a} Y_{lm}(d) \sum_{\lambda=1}^l \binom{l-1}{\lambda-1}
          (-d)^{l-\lambda} r^\lambda e^{-a(r-d)^2} \tilde i_\lambda(2ard);

for l = 0 it is the same term with :math:`\lambda = 0`, and the error function:
:math:`Y_{00} (\pi/a)^{3/2} [\mathrm{erf} \sqrt a (r-d) + \mathrm{erf} \sqrt a (r+d)] / 2`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import comb, erf, ive

from ...basis import solid_harmonics
from ..electrostatics.potential import AtomCharge, Multiplet
from ..evaluation.points import Images

#: Exponent x of exp(-x) below which a Gaussian is taken for zero.
_NEGLIGIBLE = 40.0


def spherical_integrals(
    atoms: Sequence[AtomCharge],
    point: np.ndarray,
    radii: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Average over spheres, and integral over balls, about a point.

    Parameters
    ----------
    atoms
        What is averaged; the points in it are left out.
    point
        Centre of the spheres in bohr: shape (3,).
    radii
        Shape (n,), bohr.
    cell, pbc
        Periods in bohr.

    Returns
    -------
    average, inside
        Shapes (n,): e/bohr^3 and e.
    """
    average, inside = np.zeros(len(radii)), np.zeros(len(radii))
    reaches = [radii.max(initial=0.0) + _reach(atom) for atom in atoms]
    centres = np.array([atom.centre for atom in atoms])
    images = Images.near(centres, reaches, point[None], cell, pbc)
    for atom, centre in images.touching(point[None]):
        vector = centre - point
        for multiplet in atoms[atom].multiplets:
            values = _multiplet_integrals(multiplet, vector, radii)
            average += values[0]
            inside += values[1]
    return average, inside


def _reach(atom: AtomCharge) -> float:
    smallest = min((m.exponents.min() for m in atom.multiplets), default=np.inf)
    return float(np.sqrt(_NEGLIGIBLE / smallest))


def _multiplet_integrals(
    multiplet: Multiplet, vector: np.ndarray, radii: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both for one l of one atom."""
    l, a = multiplet.l, multiplet.exponents
    d = float(np.linalg.norm(vector))
    # all Y_lm of no direction but Y_00 are zero
    direction = vector / d if d > 0 else np.zeros(3)
    harmonics = solid_harmonics(torch.from_numpy(direction[None]), l)[0, l * l :].numpy()
    weights = multiplet.weights @ harmonics
    average, inside = np.zeros(len(radii)), np.zeros(len(radii))
    rows, columns = np.nonzero(a * (radii[:, None] - d) ** 2 < _NEGLIGIBLE)
    if len(rows):
        a_near, r = a[columns], radii[rows]
        gaussian = weights[columns] * np.exp(-a_near * (r - d) ** 2)
        mean, ball = np.zeros(len(r)), np.zeros(len(r))
        for k in range(l + 1):
            term = (-d) ** (l - k) * r**k * _bessel(k, 2 * a_near * r * d)
            mean += comb(l, k) * term
            if k > 0 or l == 0:
                ball += comb(max(l - 1, 0), max(k - 1, 0)) * term
        average += np.bincount(rows, gaussian * mean, minlength=len(radii))
        ball *= -2 * np.pi * r / a_near
        inside += np.bincount(rows, gaussian * ball, minlength=len(radii))
    if l == 0:
        root = np.sqrt(a)
        share = 0.5 * (erf(root * (radii[:, None] - d)) + erf(root * (radii[:, None] + d)))
        inside += share @ (weights * (np.pi / a) ** 1.5)
    return average, inside


def _bessel(k: int, z: np.ndarray) -> np.ndarray:
    """exp(-z) i_k(z)."""
    z = np.maximum(z, 1e-100)
    return np.sqrt(np.pi / (2 * z)) * ive(k + 0.5, z)
