"""The limit of what is known: few held-out structures have an atom beyond it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....model.uncertainty.uncertainty import UNKNOWN, Uncertainty
from .prepared import Prepared


def find_limit(uncertainty: Uncertainty, judged: Sequence[Prepared], false_alarms: float) -> float:
    """Distance that at most this share of structures like the held-out ones goes beyond."""
    largest = []
    for one in judged:
        distances, _ = uncertainty.distances(*one.found, one.rows)
        # species that the training set has not are unknown at any limit
        seen = [float(x) for x in distances if x < UNKNOWN / 2]
        if seen:
            largest.append(max(seen))
    return conformal_limit(largest, false_alarms) if largest else 1.0


def conformal_limit(values: Sequence[float], share: float) -> float:
    """Number that a further value exceeds with at most this probability.

    If there are too few values for that, their largest.

    >>> conformal_limit([float(k) for k in range(1, 40)], 0.05)
    38.0
    """
    ordered = sorted(values)
    rank = int(np.ceil((len(ordered) + 1) * (1 - share)))
    return ordered[min(rank, len(ordered)) - 1]
