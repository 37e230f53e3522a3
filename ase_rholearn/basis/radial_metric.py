"""Metrics of the radial functions of one centre, Gaussians and tables alike. Atomic units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .boys import boys
from .numerical import NumericalShell, RadialFunction
from .radial_spline import DEGREE, RadialSpline
from .shells import Shell, radial_coulomb, radial_overlap
from .unknown import UnknownShell, unknown_overlap


def radial_metric(functions: Sequence[RadialFunction], metric: str) -> np.ndarray:
    """Gram matrix of the functions of one centre, one l and equal m: shape (n, n).

    Pairs of Gaussians in closed form; others by exact integration over the intervals of the
    tables, where Gaussians are as good as polynomials.

    Parameters
    ----------
    functions
        Of one angular momentum.
    metric
        ``"overlap"``, or ``"coulomb"`` (Hartree).
    """
    if metric not in ("overlap", "coulomb"):
        raise ValueError(f'metric is {metric!r}: give "overlap" or "coulomb"')
    unknown = [f for f in functions if isinstance(f, UnknownShell)]
    if unknown:
        return _of_unknown(unknown, len(functions), metric)
    gaussians = [k for k, f in enumerate(functions) if isinstance(f, Shell)]
    shells = [f for f in functions if isinstance(f, Shell)]
    closed_form = radial_overlap if metric == "overlap" else radial_coulomb
    if len(shells) == len(functions):
        return closed_form(shells)
    matrix = _with_tables(functions, metric)
    if shells:
        matrix[np.ix_(gaussians, gaussians)] = closed_form(shells)
    return matrix


def _of_unknown(functions: Sequence[UnknownShell], count: int, metric: str) -> np.ndarray:
    """The metric of functions whose overlaps alone are known."""
    if metric != "overlap" or len(functions) < count:
        raise ValueError(
            f"radial functions of l = {functions[0].l} are not known, and their {metric} metric "
            "needs them: use the overlap metric, or recover the functions from FHI-aims first"
        )
    return unknown_overlap(functions)


def _with_tables(functions: Sequence[RadialFunction], metric: str) -> np.ndarray:
    """The metric, but for pairs of Gaussians."""
    l = functions[0].l
    if any(function.l != l for function in functions):
        raise ValueError("the integrals of one centre need functions of one angular momentum")
    tables = [k for k, f in enumerate(functions) if isinstance(f, NumericalShell)]
    spline = RadialSpline.joined([f.spline for f in functions if isinstance(f, NumericalShell)])
    nodes, weights = spline.quadrature(2 * DEGREE + 2 * l + 2)
    r = nodes.ravel()
    first = spline.at(r) * (weights.ravel() * r ** (2 * l + 2))[:, None]
    second = np.empty((len(r), len(functions)))
    second[:, tables] = (spline if metric == "overlap" else spline.coulomb_potential(l)[0]).at(r)
    for k, function in enumerate(functions):
        if isinstance(function, Shell):
            second[:, k] = _gaussians(function, r, metric)
    matrix = np.empty((len(functions), len(functions)))
    rows = first.T @ second
    matrix[tables] = rows
    matrix[:, tables] = rows.T
    own = matrix[np.ix_(tables, tables)]
    matrix[np.ix_(tables, tables)] = 0.5 * (own + own.T)
    return matrix


def _gaussians(shell: Shell, r: np.ndarray, metric: str) -> np.ndarray:
    """R / r^l of a contraction at radii, or that of its Coulomb potential: shape (n,)."""
    a, d = np.array(shell.exponents), np.array(shell.coefficients)
    x = np.outer(r * r, a)
    if metric == "overlap":
        return np.asarray(np.exp(-x) @ d)
    return np.asarray(boys(shell.l, torch.from_numpy(x)).numpy() @ (2 * np.pi / a * d))
