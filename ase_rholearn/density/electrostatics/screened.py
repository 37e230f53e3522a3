r"""What tight charges add to the potential of the smooth rest, as Gaussians. Atomic units.

A solid-harmonic Gaussian with exponent a, less the one with exponent eta and the same
multipole moment, has the potential

.. math:: 2 \pi a^{-l-3/2} S_{lm}(r) \int_{\sqrt\eta}^{\sqrt a} s^{2l} e^{-s^2 r^2} ds,

and a point charge :math:`\frac{2}{\sqrt\pi} \int_{\sqrt\eta}^\infty e^{-s^2 r^2} ds`. Gauss's
rule between each two exponents turns them into Gaussians, for which there are fast grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import erfc

from ..evaluation.grid_task import GridTask
from ..evaluation.terms import AtomTerms, gathered_terms
from .potential import AT_NUCLEUS, AtomCharge

#: Largest ratio of the ends of an interval of s.
_WIDEST = 1.5

#: s r beyond which erfc is zero.
_POINT = 6.0


def screened_on_grid(
    charges: Sequence[AtomCharge],
    eta: float,
    task: GridTask,
) -> np.ndarray:
    """Potential of the tight charges less that of their smooth partners.

    Parameters
    ----------
    charges
        Nuclei and electrons.
    eta
        Exponent of the partners, bohr^-2.
    task
        The grid; its terms are ignored.
    """
    steps = task.cell / np.array(task.shape)[:, None]
    voxel = float(np.linalg.norm(steps, axis=1).min())
    # so far that beyond a small part of a voxel no point is left to be treated alone
    end = max(4 * _POINT / voxel, 10 * np.sqrt(eta))
    terms = [screened_terms(charge, eta, end, task.tolerance, 4 * voxel) for charge in charges]
    values = GridTask(
        terms, task.origin, task.cell, task.shape, task.lattice, task.pbc, tolerance=task.tolerance
    ).values()
    _add_points(values, charges, task, steps, end)
    return values


def screened_terms(
    charge: AtomCharge, eta: float, end: float, tolerance: float, smallest: float = 0.0
) -> AtomTerms:
    """Gaussians of one atom; its nucleus up to s = ``end``."""
    l_max = max((m.l for m in charge.multiplets), default=0)
    exponents, weights = [], []
    for l in range(l_max + 1):
        own = next((m for m in charge.multiplets if m.l == l), None)
        a = tuple(own.exponents.tolist()) if own else ()
        rule = _rule(l, a, l == 0 and charge.point != 0, eta, end)
        block = np.zeros((len(rule.squares), (l_max + 1) ** 2))
        if own:
            block[:, l * l : (l + 1) ** 2] = rule.of_gaussians @ own.weights
        if l == 0:
            block[:, 0] += rule.of_point * charge.point
        exponents.append(rule.squares)
        weights.append(block)
    return gathered_terms(
        charge.centre,
        np.concatenate(exponents),
        np.concatenate(weights),
        tolerance=tolerance,
        smallest=smallest,
    )


@dataclass(frozen=True)
class _Rule:
    """Gaussians exp(-s^2 r^2) S_lm that make up a screened potential.

    Attributes
    ----------
    squares
        s^2 in bohr^-2: shape (n,).
    of_gaussians
        Weights for each Gaussian charge: shape (n, n_exponents).
    of_point
        Weights for a point charge: shape (n,).
    """

    squares: np.ndarray
    of_gaussians: np.ndarray
    of_point: np.ndarray


@lru_cache(maxsize=256)
def _rule(l: int, exponents: tuple[float, ...], point: bool, eta: float, end: float) -> _Rule:
    a = np.array(exponents)
    ends = np.concatenate([[np.sqrt(eta)], np.sqrt(a[a > eta]), [end] if point else []])
    nodes, weights = [np.zeros(0)], [np.zeros(0)]
    for low, high in _intervals(np.unique(ends)):
        # errors of the rule are then below 1e-11
        x, dx = leggauss(3 + max(0, int(np.ceil(np.log(high / low / 1.1) / 0.115))))
        nodes.append(0.5 * (low + high) + 0.5 * (high - low) * x)
        weights.append(0.5 * (high - low) * dx)
    s = np.concatenate(nodes)
    ds = np.concatenate(weights) * s ** (2 * l)
    # each integral ends at its own exponent
    below = s[:, None] ** 2 < a
    # S_00 is the constant sqrt(1 / 4 pi)
    return _Rule(
        s * s,
        np.where(below, ds[:, None] * (2 * np.pi * a ** (-l - 1.5)), 0.0),
        4 * ds * (s < end),
    )


def _intervals(ends: np.ndarray) -> list[tuple[float, float]]:
    """Pairs of neighbours, wide ones divided."""
    pairs = []
    for low, high in pairwise(ends):
        parts = int(np.ceil(np.log(high / low) / np.log(_WIDEST)))
        pairs += list(pairwise(np.geomspace(low, high, parts + 1).tolist()))
    return pairs


def _add_points(
    values: np.ndarray, charges: Sequence[AtomCharge], task: GridTask, steps: np.ndarray, end: float
) -> None:
    """What is left of the nuclei beyond s = ``end``, at the grid points next to them."""
    inverse, shape = np.linalg.inv(steps), np.array(task.shape)
    for charge in charges:
        if not charge.point:
            continue
        place = (charge.centre - task.origin) @ inverse
        nearest = np.round(place)
        distance = float(np.linalg.norm((place - nearest) @ steps))
        index = np.where(task.pbc, nearest % shape, nearest).astype(int)
        if end * distance > _POINT or (index < 0).any() or (index >= shape).any():
            continue
        if distance < AT_NUCLEUS:
            values[tuple(index)] = np.inf
        else:
            values[tuple(index)] += charge.point * erfc(end * distance) / distance
