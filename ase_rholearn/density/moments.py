r"""Multipole moments of a density and its nuclei, in closed form.

Conventions are those of A. D. Buckingham, Adv. Chem. Phys. 12, 107 (1967): with charges q at
positions r from the origin,

.. math:: \Theta_{ij} = \frac12 \sum q (3 r_i r_j - r^2 \delta_{ij}), \qquad
          \Omega_{ijk} = \frac12 \sum q \left[5 r_i r_j r_k - r^2 (r_i \delta_{jk} +
          r_j \delta_{ik} + r_k \delta_{ij})\right]

for ``traceless=True``, and the plain sums of q r_i r_j and q r_i r_j r_k otherwise.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from scipy.special import gamma

from ..basis import harmonic_polynomials
from .electrostatics.potential import AtomCharge, Multiplet, atom_charges

if TYPE_CHECKING:
    from .density import Density

#: One tensor for each order 0 .. 3, with that many axes of length 3.
_Moments = list[np.ndarray]


def quadrupole(rho: Density, *, traceless: bool, origin: Any) -> np.ndarray:
    """Second moments: shape (3, 3), e Angstrom^2."""
    second = _moments(rho, origin, 2)[2] * units.Bohr**2
    if not traceless:
        return second
    return 1.5 * second - 0.5 * np.trace(second) * np.eye(3)


def octupole(rho: Density, *, traceless: bool, origin: Any) -> np.ndarray:
    """Third moments: shape (3, 3, 3), e Angstrom^3."""
    third = _moments(rho, origin, 3)[3] * units.Bohr**3
    if not traceless:
        return third
    trace = np.einsum("ijj->i", third)
    parts = np.einsum("i,jk->ijk", trace, np.eye(3))
    return 2.5 * third - 0.5 * _symmetric_sum(parts)


def _moments(rho: Density, origin: Any, order: int) -> _Moments:
    """Moments up to an order about the origin, in e bohr^order."""
    atoms = rho.atoms
    if atoms.pbc.any():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: the multipole moments of a periodic structure "
            "are not defined; set pbc=False if this is a molecule in a box"
        )
    cores = rho.core_charges
    centre = cores @ atoms.positions / cores.sum() if origin is None else np.asarray(origin, float)
    if centre.shape != (3,) or not np.isfinite(centre).all():
        raise ValueError(f"origin is {origin}: give three finite coordinates in Angstrom")
    positions = (atoms.positions - centre) / units.Bohr
    charges = atom_charges(rho.basis, atoms.numbers, positions, rho.coefficients, cores)
    total = [np.zeros((3,) * k) for k in range(order + 1)]
    for charge in charges:
        for k, moved in enumerate(_translated(_atom_moments(charge, order), charge.centre)):
            total[k] += moved
    return total


def _atom_moments(charge: AtomCharge, order: int) -> _Moments:
    """Moments of one atom about its own centre."""
    total = [np.zeros((3,) * k) for k in range(order + 1)]
    total[0] += charge.point
    for multiplet in charge.multiplets:
        for k in range(multiplet.l, order + 1, 2):
            # r^k has the part r^(k - l) S_lm times an average over directions
            total[k] += np.tensordot(_radial_moments(multiplet, k), _directions(k, multiplet.l), 1)
    if charge.table is not None:
        for k in range(order + 1):
            radial = charge.table.radial_moments(k)
            for l in range(k % 2, min(k, charge.table.l_max) + 1, 2):
                total[k] += np.tensordot(radial[l * l : (l + 1) ** 2], _directions(k, l), 1)
    return total


def _radial_moments(multiplet: Multiplet, order: int) -> np.ndarray:
    """The integral over r of r^(order + l + 2) times the radial parts: shape (2 l + 1,)."""
    half = 0.5 * (order + multiplet.l + 3)
    return gamma(half) / (2 * multiplet.exponents**half) @ multiplet.weights


@cache
def _directions(order: int, l: int) -> np.ndarray:
    """Integrals over the unit sphere of Y_lm n_i n_j ...: shape (2 l + 1, 3, 3, ...)."""
    polynomials = harmonic_polynomials(l)
    powers = np.argwhere(np.abs(polynomials).sum(axis=0))
    weights = polynomials[:, powers[:, 0], powers[:, 1], powers[:, 2]]  # [m, monomial]
    columns = []
    for axes in product(range(3), repeat=order):
        extra = np.array([axes.count(axis) for axis in range(3)])
        columns.append(weights @ [_sphere(power + extra) for power in powers])
    return np.stack(columns, axis=1).reshape(-1, *([3] * order))


def _sphere(powers: np.ndarray) -> float:
    """The integral over the unit sphere of x^i y^j z^k."""
    if (powers % 2).any():
        return 0.0
    return float(2 * np.prod(gamma((powers + 1) / 2)) / gamma((powers.sum() + 3) / 2))


def _translated(moments: _Moments, shift: np.ndarray) -> _Moments:
    """Moments of a distribution that was moved by a vector."""
    charge, first = moments[0], moments[1]
    result = [charge, first + charge * shift]
    if len(moments) > 2:
        cross = np.multiply.outer(first, shift)
        result.append(moments[2] + cross + cross.T + charge * np.multiply.outer(shift, shift))
    if len(moments) > 3:
        square = np.multiply.outer(shift, shift)
        result.append(
            moments[3]
            + _symmetric_sum(np.multiply.outer(shift, moments[2]))
            + _symmetric_sum(np.multiply.outer(first, square))
            + charge * np.multiply.outer(square, shift)
        )
    return result


def _symmetric_sum(tensor: np.ndarray) -> np.ndarray:
    """T_ijk + T_jik + T_kij of a tensor that is symmetric in its last two axes."""
    return tensor + np.einsum("jik->ijk", tensor) + np.einsum("kij->ijk", tensor)
