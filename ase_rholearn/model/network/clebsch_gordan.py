"""Clebsch-Gordan coefficients of real spherical harmonics, for even l1 + l2 + lambda."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.integrate import lebedev_rule

from ...basis import solid_harmonics

#: Degrees for which scipy has a Lebedev rule.
_LEBEDEV_DEGREES = (*range(3, 32, 2), 35, 41, 47, 53, 59)


def coupled_pairs(l_max: int, o3_lambda: int) -> list[tuple[int, int]]:
    """(l1, l2), l1 <= l2 <= l_max, whose product contains a proper tensor of order lambda.

    >>> coupled_pairs(2, 1)
    [(0, 1), (1, 2)]
    """
    return [
        (l1, l2)
        for l1 in range(l_max + 1)
        for l2 in range(l1, l_max + 1)
        if l2 - l1 <= o3_lambda <= l1 + l2 and (l1 + l2 + o3_lambda) % 2 == 0
    ]


@cache
def clebsch_gordan(l1: int, l2: int, o3_lambda: int) -> torch.Tensor:
    """Coupling of (l1, m1) and (l2, m2) to (lambda, mu), as a real orthogonal matrix.

    Returns
    -------
    torch.Tensor
        Shape (2 lambda + 1, 2 l1 + 1, 2 l2 + 1), double precision; the sum of the squares
        over m1 and m2 is 1 for each mu.

    Notes
    -----
    For even l1 + l2 + lambda the coefficients are Gaunt integrals (of three harmonics over
    the sphere) up to a factor, so that a quadrature rule of degree l1 + l2 + lambda gives
    them to machine precision. The sign is that of Condon and Shortley.
    """
    degree = l1 + l2 + o3_lambda
    if degree % 2 or not abs(l1 - l2) <= o3_lambda <= l1 + l2:
        raise ValueError(f"({l1}, {l2}) does not couple to a proper tensor of order {o3_lambda}")
    directions, weights = lebedev_rule(next(d for d in _LEBEDEV_DEGREES if d >= degree))
    harmonics = solid_harmonics(torch.from_numpy(directions.T.copy()), max(l1, l2, o3_lambda))
    values = harmonics.numpy()
    y1, y2, y3 = (values[:, l * l : (l + 1) ** 2] for l in (l1, l2, o3_lambda))
    gaunt = np.einsum("p,pa,pb,pc->cab", weights, y1, y2, y3, optimize=True)
    gaunt[np.abs(gaunt) < 1e-14] = 0.0
    norm = np.sqrt((gaunt[0] ** 2).sum())
    sign = (-1) ** (degree // 2 + l1 - l2)  # of the coefficient with m1 = m2 = mu = 0
    return torch.from_numpy(sign * gaunt / norm)
