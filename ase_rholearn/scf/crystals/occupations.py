"""Occupations of bands at k-points, and the Fermi level. Any unit of energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr, expit

#: States closer to the Fermi level than this (Hartree or eV) share its electrons.
_DEGENERATE = 1e-7

#: Electrons that count as none.
_NONE = 1e-9


@dataclass(frozen=True)
class Occupations:
    """How electrons fill bands, the same for both spins.

    Attributes
    ----------
    values
        Electrons in each band, 0 to 2: (nk, nbands).
    fermi_level
        In the middle of the gap if there is one at these k-points and no smearing.
    entropy
        Of the electrons in units of Boltzmann's constant; 0 without smearing.
    """

    values: np.ndarray
    fermi_level: float
    entropy: float


def occupy(
    energies: np.ndarray, weights: np.ndarray, electrons: float, width: float
) -> Occupations:
    """Fill bands with electrons.

    Parameters
    ----------
    energies
        (nk, nbands), ascending in each row.
    weights
        Of the k-points, with the sum 1: (nk,).
    electrons
        In the cell.
    width
        Of the Fermi-Dirac distribution, in the unit of the energies. At 0 the lowest states of
        all k-points are filled; those at the Fermi level share what is left.

    Raises
    ------
    ValueError
        More electrons than the bands hold.
    """
    if electrons > 2 * energies.shape[1] + _NONE:
        raise ValueError(
            f"{electrons:g} electrons do not fit into {energies.shape[1]} bands: give a larger "
            "orbital basis"
        )
    if width == 0:
        return _lowest(energies, weights, electrons)
    low, high = energies.min() - 40 * width, energies.max() + 40 * width

    def excess(level: float) -> float:
        return float(weights @ (2 * expit((level - energies) / width)).sum(axis=1) - electrons)

    level = float(brentq(excess, low, high, xtol=1e-13))
    filled = expit((level - energies) / width)
    entropy = 2 * weights @ (entr(filled) + entr(1 - filled)).sum(axis=1)
    return Occupations(2 * filled, level, float(entropy))


def _lowest(energies: np.ndarray, weights: np.ndarray, electrons: float) -> Occupations:
    order = np.argsort(energies, axis=None)
    room = np.broadcast_to(2 * weights[:, None], energies.shape).ravel()[order]
    last = int(np.searchsorted(np.cumsum(room), electrons - _NONE))
    flat = energies.ravel()[order]
    level = flat[last]
    below, above = energies < level - _DEGENERATE, energies > level + _DEGENERATE
    at = ~(below | above)
    left = electrons - 2 * float(weights @ below.sum(axis=1))
    share = min(2.0, left / float(weights @ at.sum(axis=1)))
    values = np.where(below, 2.0, np.where(at, share, 0.0))
    if share > 2.0 - _NONE and above.any():
        level = 0.5 * (energies[~above].max() + energies[above].min())
    return Occupations(values, float(level), 0.0)


def band_gap(energies: np.ndarray, electrons: float) -> float:
    """Lowest empty less highest occupied band energy: 0 for metals, nan without empty bands."""
    filled = round(electrons / 2)
    if abs(filled - electrons / 2) > _NONE:
        return 0.0
    if filled == energies.shape[1]:
        return float("nan")
    return max(0.0, float(energies[:, filled].min() - energies[:, filled - 1].max()))
