"""Whether two bases are the same but for the rounding of the machines that made them.

Exponents of a family and fits of atomic densities come from numerical work, whose last digits
depend on the processor. A job that goes on elsewhere must still know its own basis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.integrate import trapezoid

from .basis import Basis
from .numerical import FreeAtom

#: Relative difference of numbers that rounding explains.
_ROUNDING = 1e-9

#: Electrons, integral of |difference|; amplitudes of a fit are less certain than its density.
_ELECTRONS = 1e-6

#: Where densities of atoms are compared, bohr.
_RADII = np.geomspace(1e-5, 40.0, 4000)


def agree(first: Basis, second: Basis) -> bool:
    """Whether bases have the same functions and atomic densities up to rounding.

    >>> basis = Basis.from_shells({"H": [(0, [1.0, 0.3])]})
    >>> agree(basis, Basis.from_shells({"H": [(0, [1.0, 0.3 + 1e-15])]}))
    True
    >>> agree(basis, Basis.from_shells({"H": [(0, [1.0, 0.31])]}))
    False
    """
    if set(first.atomic_densities) != set(second.atomic_densities):
        return False
    one, other = first.to_dict(), second.to_dict()
    del one["atomic_densities"], other["atomic_densities"]
    return _close(one, other) and all(
        _electrons_apart(density, second.atomic_densities[z]) < _ELECTRONS
        for z, density in first.atomic_densities.items()
    )


def _close(one: Any, other: Any) -> bool:
    """Whether plain data differ by the rounding of numbers only."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_close(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.isclose(one, other, rtol=_ROUNDING, atol=0))
    return bool(one == other)


def _electrons_apart(one: FreeAtom, other: FreeAtom) -> float:
    """Integral of the absolute difference of two spherical densities."""
    difference = np.abs(one.value(_RADII) - other.value(_RADII))
    return float(trapezoid(4 * np.pi * _RADII**2 * difference, _RADII))
