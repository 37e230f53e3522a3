"""The functions of one species, gathered by angular momentum. Atomic units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .numerical import FreeAtom, RadialFunction, gaussian_density, gaussian_shells


@dataclass(frozen=True)
class RadialTable:
    r"""Functions :math:`S_{lm}(r) \sum_k d_{kn} \exp(-a_k r^2)` of one l, with S = r^l Y.

    Attributes
    ----------
    l
        Angular momentum.
    exponents
        Distinct a_k in bohr^-2, descending: shape (n_exponents,).
    contraction
        d_kn: shape (n_exponents, n_functions).
    """

    l: int
    exponents: np.ndarray
    contraction: np.ndarray

    @classmethod
    def of(cls, l: int, radials: Iterable[tuple[np.ndarray, np.ndarray]]) -> RadialTable:
        """From the exponents and weights of each function."""
        pairs = list(radials)
        ascending = np.unique(np.concatenate([a for a, _ in pairs]))
        contraction = np.zeros((len(ascending), len(pairs)))
        for column, (a, d) in enumerate(pairs):
            np.add.at(contraction[:, column], np.searchsorted(ascending, a), d)
        return cls(l, ascending[::-1].copy(), contraction[::-1].copy())

    @property
    def size(self) -> int:
        """Functions, all m counted."""
        return self.contraction.shape[1] * (2 * self.l + 1)


def radial_tables(
    shells: Iterable[RadialFunction], atomic: FreeAtom | None = None, *, purpose: str
) -> tuple[RadialTable, ...]:
    """Tables of one species by ascending l; their functions in the order of the flat vector.

    An atomic density becomes one more s function, before all others. Numerical functions have
    no exponents: a ValueError names the ``purpose`` that needs them.
    """
    radials: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    if atomic is not None:
        gaussians = gaussian_density(atomic, purpose)
        # S_00 is the constant sqrt(1 / 4 pi)
        amplitudes = np.sqrt(4 * np.pi) * np.array(gaussians.amplitudes)
        radials[0] = [(np.array(gaussians.exponents), amplitudes)]
    for shell in gaussian_shells(shells, purpose):
        pair = np.array(shell.exponents), np.array(shell.coefficients)
        radials.setdefault(shell.l, []).append(pair)
    return tuple(RadialTable.of(l, radials[l]) for l in sorted(radials))
