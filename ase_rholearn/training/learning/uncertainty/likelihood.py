r"""Non-negative linear models of positive numbers, by maximum likelihood.

For observations y >= 0 with expectations :math:`m = X \theta`, X and theta not negative, the
negative logarithm of the likelihood is

.. math:: \sum_i w_i (\log m_i + y_i / m_i)

both for squares of normal variables of variance m and for exponential variables of mean m. Each
step multiplies theta by a positive factor and never makes it worse (C. Fevotte and J. Idier,
Neural Comput. 23, 2421 (2011), with beta = 0).
"""

from __future__ import annotations

import numpy as np

#: Held-out atoms that other species (or training atoms) count for in the fits of one species.
BORROWED = 10.0

#: Expectations are never taken for smaller than this; its square is still a number.
_LEAST = 1e-100


def fit_expectations(
    design: np.ndarray,
    observed: np.ndarray,
    weights: np.ndarray,
    start: np.ndarray,
    *,
    steps: int = 1000,
    tolerance: float = 1e-10,
) -> np.ndarray:
    """Coefficients theta >= 0 of the expectations: shape (n_terms,).

    Parameters
    ----------
    design
        X, not negative: (n, n_terms).
    observed, weights
        y and w, not negative: (n,) each.
    start
        First theta, positive; terms that are zero stay zero, and those that no observation
        sees stay as they are.
    steps, tolerance
        Most steps, and the relative decrease of the negative likelihood at which they end.

    Examples
    --------
    >>> design = np.array([[1.0, 0.0], [1.0, 1.0]])
    >>> fit_expectations(design, np.array([2.0, 5.0]), np.ones(2), np.ones(2)).round(3)
    array([2., 3.])
    """
    theta = np.array(start, dtype=float)
    seen = (weights @ design) > 0
    before = np.inf
    for _ in range(steps):
        expected = np.maximum(design @ theta, _LEAST)
        now = float(weights @ (np.log(expected) + observed / expected))
        if before - now < tolerance * max(1.0, abs(now)):
            break
        before = now
        rise = (weights * observed / expected**2) @ design
        fall = (weights / expected) @ design
        theta[seen] *= np.sqrt(rise[seen] / fall[seen])
    return theta
