r"""The Boys function, fast and to double precision, in torch.

.. math:: F_l(x) = \int_0^1 t^{2l} e^{-x t^2} dt
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.special import factorial, gamma, gammainc, gammainccinv

#: Spacing of the table, and the terms of the Taylor series about its points: the first term
#: that is left out is below 2e-15.
_STEP = 1 / 32
_TERMS = 6

#: Relative difference from the point multipole that is neglected beyond :func:`boys_far`.
_NEGLIGIBLE = 1e-15


@cache
def boys_far(l: int) -> float:
    r"""Argument from which F_l is that of a point multipole, :math:`\propto x^{-l-1/2}`."""
    return float(gammainccinv(l + 0.5, _NEGLIGIBLE))


def boys(l: int, x: torch.Tensor) -> torch.Tensor:
    """F_l of every element of ``x`` (0 or larger), in float64.

    >>> round(float(boys(0, torch.tensor([1.0], dtype=torch.float64))), 12)  # erf(1) sqrt(pi)/2
    0.746824132812
    """
    table = _table(l)
    index = torch.clamp(x * (1 / _STEP) + 0.5, max=table.shape[1] - 1).to(torch.int64)
    offset = index * _STEP - x
    result = table[_TERMS - 1][index]
    for term in range(_TERMS - 2, -1, -1):
        result.mul_(offset).add_(table[term][index])
    far = x > boys_far(l)
    if far.any():
        result[far] = 0.5 * gamma(l + 0.5) * x[far] ** (-l - 0.5)
    return result


@cache
def _table(l: int) -> torch.Tensor:
    """Taylor coefficients F_(l+j)(x_i) / j! in powers of x_i - x: shape (_TERMS, n)."""
    x = _STEP * np.arange(int(boys_far(l) / _STEP) + 2)
    rows = []
    for order in range(l, l + _TERMS):
        half = order + 0.5
        values = np.full_like(x, 1 / (2 * order + 1))
        values[1:] = gamma(half) * gammainc(half, x[1:]) / (2 * x[1:] ** half)
        rows.append(values / factorial(order - l))
    return torch.from_numpy(np.array(rows))
