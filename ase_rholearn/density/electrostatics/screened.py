r"""What tight charges add to the potential of the smooth rest, as Gaussians. Atomic units.

A solid-harmonic Gaussian with exponent a, less the one with exponent eta and the same
multipole moment, has the potential

.. math:: 2 \pi a^{-l-3/2} S_{lm}(r) \int_{\sqrt\eta}^{\sqrt a} s^{2l} e^{-s^2 r^2} ds,

and a point charge :math:`\frac{2}{\sqrt\pi} \int_{\sqrt\eta}^\infty e^{-s^2 r^2} ds`. Gauss's
rule between each two exponents turns them into Gaussians, for which there are fast grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.polynomial.legendre import leggauss
from scipy.special import erfc

from ..evaluation.grid_task import GridTask
from ..evaluation.terms import AtomTerms, gathered_terms
from .potential import AT_NUCLEUS, AtomCharge, Multiplet

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
        own = [m for m in charge.multiplets if m.l == l]
        multiplet = own[0] if own else Multiplet(l, np.zeros(0), np.zeros((0, 2 * l + 1)))
        point = charge.point if l == 0 else 0.0
        s, values = _nodes(multiplet, point, eta, end)
        block = np.zeros((len(s), (l_max + 1) ** 2))
        block[:, l * l : (l + 1) ** 2] = values
        exponents.append(s * s)
        weights.append(block)
    return gathered_terms(
        charge.centre,
        np.concatenate(exponents),
        np.concatenate(weights),
        tolerance=tolerance,
        smallest=smallest,
    )


def _nodes(
    multiplet: Multiplet, point: float, eta: float, end: float
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes s (n,), and weights of exp(-s^2 r^2) S_lm: (n, 2 l + 1)."""
    l, tight = multiplet.l, multiplet.exponents > eta
    a, q = multiplet.exponents[tight], multiplet.weights[tight]
    ends = np.unique(np.concatenate([[np.sqrt(eta)], np.sqrt(a), [end] if point else []]))
    nodes, weights = [np.zeros(0)], [np.zeros((0, 2 * l + 1))]
    for low, high in _intervals(ends):
        count = 3 + max(0, int(np.ceil(np.log(high / low / 1.1) / 0.115)))
        x, dx = leggauss(count)
        s = 0.5 * (low + high) + 0.5 * (high - low) * x
        reaching = a > 0.25 * (low + high) ** 2
        level = 2 * np.pi * (q[reaching] * a[reaching, None] ** (-l - 1.5)).sum(axis=0)
        if point:
            # S_00 is the constant sqrt(1 / 4 pi)
            level = level + point * 4 * (high <= end)
        nodes.append(s)
        weights.append((0.5 * (high - low) * dx * s ** (2 * l))[:, None] * level)
    return np.concatenate(nodes), np.concatenate(weights)


def _intervals(ends: np.ndarray) -> list[tuple[float, float]]:
    """Pairs of neighbours, wide ones divided."""
    pairs = []
    for low, high in pairwise(ends):
        parts = int(np.ceil(np.log(high / low) / np.log(_WIDEST)))
        inner = np.geomspace(low, high, parts + 1)
        pairs += list(zip(inner[:-1].tolist(), inner[1:].tolist(), strict=True))
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
