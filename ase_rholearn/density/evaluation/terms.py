"""A density as radial functions times solid harmonics, sorted by how far they reach.

Atomic units. Around each atom

    rho_A(r) = sum_k exp(-a_k r^2) sum_lm p_k,lm S_lm(r),    S_lm = r^l Y_lm

holds both the atomic baseline (l = 0) and the expansion of the auxiliary basis. Terms
are put into classes of similar reach, so that tight ones are evaluated only close by. What is
tabulated is a sum of its own, see :mod:`~ase_rholearn.density.evaluation.tables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ...basis import AtomicDensity, Basis, Shell
from .tables import AtomTable

#: Largest ratio of the radii of the terms in one class.
_CLASS_RATIO = 1.5

#: Terms that are nowhere larger than the tolerance are dropped: they have radius 0.
_NOWHERE = 0.0


@dataclass(frozen=True)
class TermClass:
    """Terms of one atom with a common radius.

    Attributes
    ----------
    radius
        Beyond it (bohr) every term of the class is below its share of the tolerance.
    exponents
        a_k in bohr^-2: shape (n_terms,).
    weights
        p_k,lm: shape (n_terms, (l_max + 1)^2), l_max of this class.
    """

    radius: float
    exponents: torch.Tensor
    weights: torch.Tensor

    @property
    def l_max(self) -> int:
        """Highest angular momentum of the class."""
        return round(self.weights.shape[1] ** 0.5) - 1


@dataclass(frozen=True)
class AtomTerms:
    """Terms of one atom.

    Attributes
    ----------
    centre
        Position in bohr: shape (3,).
    classes
        From the longest to the shortest reach.
    table
        The tabulated functions, if there are any.
    """

    centre: np.ndarray
    classes: tuple[TermClass, ...]
    table: AtomTable | None = None

    @property
    def reach(self) -> float:
        """Radius beyond which nothing is left, bohr."""
        tabulated = self.table.reach if self.table else 0.0
        return max(tabulated, *(c.radius for c in self.classes), 0.0)

    @property
    def gaussians(self) -> AtomTerms:
        """The terms that are not tabulated."""
        return AtomTerms(self.centre, self.classes)

    def __neg__(self) -> AtomTerms:
        """The same with the opposite sign."""
        classes = tuple(replace(c, weights=-c.weights) for c in self.classes)
        table = self.table and replace(self.table, weights=-self.table.weights)
        return AtomTerms(self.centre, classes, table)


def density_terms(
    basis: Basis,
    numbers: np.ndarray,
    positions: np.ndarray,
    coefficients: np.ndarray,
    *,
    tolerance: float,
    baseline: bool = True,
    dtype: torch.dtype = torch.float64,
    smallest: float = 0.0,
) -> list[AtomTerms]:
    """Terms of every atom of a structure.

    Parameters
    ----------
    basis
        Auxiliary basis, with or without atomic densities.
    numbers, positions
        Atomic numbers, and positions in bohr.
    coefficients
        Flat vector in e/bohr^1.5.
    tolerance
        Bound for what any one term is worth beyond the radius of its class, e/bohr^3.
    baseline
        Whether to include the atomic densities.
    dtype
        Of the tensors.
    smallest
        Terms with radii below it, bohr, share one class: where points are no closer to
        each other, more classes gain nothing.
    """
    offsets = basis.offsets(numbers)
    terms: list[AtomTerms | None] = [None] * len(numbers)
    for z in set(numbers.tolist()):
        table = SpeciesTable.of(basis, int(z), baseline=baseline)
        atoms = np.flatnonzero(numbers == z)
        own_coefficients = coefficients[offsets[atoms][:, None] + np.arange(basis.sizes[z])]
        weights = table.weights(own_coefficients)
        radii = term_radii(table.exponents, weights, tolerance)
        tabulated = basis.tabulated[int(z)]
        for k, atom in enumerate(atoms.tolist()):
            classes = tuple(_classes(table.exponents, weights[k], radii[k], dtype, smallest))
            summed = None
            if tabulated is not None:
                summed = AtomTable.of(
                    tabulated, own_coefficients[k], tolerance=tolerance, baseline=baseline
                )
            terms[atom] = AtomTerms(positions[atom], classes, summed)
    return [one for one in terms if one is not None]


def gathered_terms(
    centre: np.ndarray,
    exponents: np.ndarray,
    weights: np.ndarray,
    *,
    tolerance: float,
    smallest: float = 0.0,
) -> AtomTerms:
    """Any Gaussians times solid harmonics about one centre, sorted into classes.

    Exponents have shape (n_terms,), weights (n_terms, (l_max + 1)^2); the rest is as for
    :func:`density_terms`.
    """
    radii = term_radii(exponents, weights, tolerance)
    return AtomTerms(centre, tuple(_classes(exponents, weights, radii, torch.float64, smallest)))


def term_radii(exponents: np.ndarray, weights: np.ndarray, tolerance: float) -> np.ndarray:
    """Radius beyond which each term stays below ``tolerance``, bohr.

    The bound of sum_m p_lm S_lm is |p_l| sqrt((2l + 1) / 4 pi) r^l. Where the largest
    value of a term is below the tolerance, its radius is zero.

    Parameters
    ----------
    exponents
        Shape (n_terms,).
    weights
        Shape (..., n_terms, (l_max + 1)^2); the result has shape (..., n_terms).
    tolerance
        e/bohr^3.
    """
    l_max = round(weights.shape[-1] ** 0.5) - 1
    radii = np.full(weights.shape[:-1], _NOWHERE)
    for l in range(l_max + 1):
        block = weights[..., l * l : (l + 1) * (l + 1)]
        bound = np.linalg.norm(block, axis=-1) * np.sqrt((2 * l + 1) / (4 * np.pi))
        # most terms have a few l only
        used = bound > 0
        exponent = np.broadcast_to(exponents, bound.shape)[used]
        reach = monomial_radii(exponent, bound[used], l, tolerance)
        radii[used] = np.maximum(radii[used], reach)
    return radii


def monomial_radii(a: np.ndarray, bound: np.ndarray, l: int, tolerance: float) -> np.ndarray:
    """Where bound r^l exp(-a r^2) falls below the tolerance for good, or zero.

    Exponents ``a`` and bounds have one shape, which is that of the result.
    """
    peak = np.sqrt(l / (2 * a))
    top = bound * peak**l * np.exp(-a * peak**2)
    needed = top > tolerance
    ratio = np.where(needed, bound, 1.0) / tolerance
    # Fixed point of a r^2 = log(ratio) + l log(r), from above: monotone convergence.
    r = peak + np.sqrt(np.maximum(np.log(np.maximum(ratio, 1.0)), 0.0) / a) + 1.0
    for _ in range(60):
        r = np.sqrt(np.maximum((np.log(ratio) + l * np.log(r)) / a, peak**2))
    return np.where(needed, r * (1 + 1e-9), _NOWHERE)


def _classes(
    exponents: np.ndarray,
    weights: np.ndarray,
    radii: np.ndarray,
    dtype: torch.dtype,
    smallest: float,
) -> Iterator[TermClass]:
    order = np.argsort(radii, kind="stable")
    order = order[radii[order] > 0]
    while len(order):
        # the class ends with the longest reach that is left, and goes down by the ratio
        reach = radii[order[-1]]
        low = 0.0 if reach < smallest else reach / _CLASS_RATIO
        first = int(np.searchsorted(radii[order], low))
        chosen, order = order[first:], order[:first]
        used = weights[chosen]
        l_max = _highest_l(used)
        yield TermClass(
            float(reach),
            torch.from_numpy(exponents[chosen]).to(dtype),
            torch.from_numpy(np.ascontiguousarray(used[:, : (l_max + 1) ** 2])).to(dtype),
        )


def _highest_l(weights: np.ndarray) -> int:
    used = np.flatnonzero(np.abs(weights).max(axis=0))
    return int(np.sqrt(used[-1])) if len(used) else 0


@dataclass(frozen=True)
class SpeciesTable:
    """What turns the coefficients of one atom of a species into weights p_k,lm.

    Attributes
    ----------
    exponents
        Distinct exponents of all primitives and of the baseline: shape (n_terms,).
    fixed
        Weights of the baseline: shape (n_terms, (l_max + 1)^2).
    rows, columns, sources, factors
        weights[rows, columns] += factors * coefficients[sources].
    """

    exponents: np.ndarray
    fixed: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    sources: np.ndarray
    factors: np.ndarray

    @classmethod
    def of(cls, basis: Basis, z: int, *, baseline: bool) -> SpeciesTable:
        """That of the Gaussian shells and, if wanted, the atomic density of a species."""
        atomic = basis.atomic_densities.get(z) if baseline else None
        shells = [shell for shell in basis.shells[z] if isinstance(shell, Shell)]
        primitives = [a for shell in shells for a in shell.exponents]
        if isinstance(atomic, AtomicDensity):
            primitives += atomic.exponents
        exponents = np.unique(np.array(primitives, dtype=float))
        l_max = max((shell.l for shell in shells), default=0)
        fixed = np.zeros((len(exponents), (l_max + 1) ** 2))
        if isinstance(atomic, AtomicDensity):
            at = np.searchsorted(exponents, atomic.exponents)
            # S_00 is the constant sqrt(1 / 4 pi)
            np.add.at(fixed[:, 0], at, np.array(atomic.amplitudes) * np.sqrt(4 * np.pi))
        entries: list[tuple[int, int, int, float]] = []
        start = 0
        for shell in basis.shells[z]:
            if isinstance(shell, Shell):
                rows = np.searchsorted(exponents, shell.exponents)
                for row, d in zip(rows.tolist(), shell.coefficients, strict=True):
                    entries += [
                        (row, shell.l**2 + k, start + k, float(d)) for k in range(2 * shell.l + 1)
                    ]
            start += 2 * shell.l + 1
        columns = _transpose(entries)
        return cls(exponents, fixed, *columns)

    def weights(self, coefficients: np.ndarray) -> np.ndarray:
        """p_k,lm of atoms: shape (natoms, n_terms, (l_max + 1)^2).

        The coefficients have shape (natoms, size of the species).
        """
        weights = np.repeat(self.fixed[None], len(coefficients), axis=0)
        atoms = np.arange(len(coefficients))[:, None]
        np.add.at(
            weights,
            (atoms, self.rows, self.columns),
            self.factors * coefficients[:, self.sources],
        )
        return weights

    def pull_back(self, weights: np.ndarray, size: int) -> np.ndarray:
        """Derivatives by the coefficients of one atom, (size,), from those by its weights."""
        terms = self.factors * weights[self.rows, self.columns]
        return np.bincount(self.sources, terms, minlength=size)


def _transpose(entries: Sequence[tuple[int, int, int, float]]) -> tuple[Any, Any, Any, Any]:
    if not entries:
        nothing = np.zeros(0, dtype=int)
        return nothing, nothing, nothing, np.zeros(0)
    rows, columns, sources, factors = zip(*entries, strict=True)
    return np.array(rows), np.array(columns), np.array(sources), np.array(factors)
