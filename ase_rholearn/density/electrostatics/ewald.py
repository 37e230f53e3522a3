r"""Electrostatic potential and field of a crystal at points. Atomic units.

Everything tighter than a Gaussian of exponent eta, the nuclei included, is paired with a
Gaussian of that exponent and the opposite multipole: the pairs are summed in real space,
where their potential ends. What the pairs leave behind is smooth, and is summed over the
frequencies G with

.. math:: V(G) = \frac{4 \pi}{G^2} \rho(G), \qquad G \ne 0.

The average of the whole potential over the cell is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gamma

from ...basis import solid_harmonics
from ..evaluation.points import fractional, wrap
from .potential import AtomCharge, Multiplet, short_range_potential

#: Exponent x of exp(-x) below which a transform is taken for zero.
_NEGLIGIBLE = 38.0

#: Largest and smallest exponent of the split, bohr^-2.
_SPLIT_RANGE = (0.05, 6.0)

#: Cost of one Gaussian at one point in units of one frequency at one point.
GAUSSIAN_COST = 60.0

_PERIODIC = np.full(3, True)

#: Numbers that one temporary array may hold (64 MB).
_TEMPORARY = 2**22


class PeriodicPotential:
    """Potential of a neutral crystal, set up once for many points.

    Parameters
    ----------
    charges
        See :func:`~ase_rholearn.density.electrostatics.potential.atom_charges`; neutral together.
    cell
        Rows are the periods, bohr.
    split
        Exponent eta, bohr^-2. Results do not depend on it.
    """

    def __init__(
        self, charges: Sequence[AtomCharge], cell: np.ndarray, *, split: float | None = None
    ) -> None:
        eta = split or split_exponent(charges, cell)
        divided = [_divide(charge, eta) for charge in charges]
        self._tight = [tight for tight, _ in divided]
        self._frequencies = _Frequencies.of([smooth for _, smooth in divided], cell, eta)
        self._cell = cell
        volume = abs(np.linalg.det(cell))
        self._average = sum(_integral(tight) for tight in self._tight) / volume

    def at(self, points: np.ndarray, *, field: bool = False) -> np.ndarray:
        """Potential, or electric field, at points (n, 3) in bohr.

        Shape (n,) in Hartree/e, infinite at a nucleus; or (n, 3) in Hartree/(e bohr).
        """
        coordinates = fractional(points, self._cell, _PERIODIC)
        smooth = self._frequencies.at(coordinates, field=field)
        return smooth + self._short_range(points, field=field)

    def on_grid(self, origin: np.ndarray, scale: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Potential on a grid with axes along the periods: shape ``shape``, Hartree/e.

        Parameters
        ----------
        origin
            First point, bohr.
        scale
            Length of each axis in periods.
        shape
            Points along each axis, the end not repeated.
        """
        first = fractional(origin[None], self._cell, _PERIODIC)[0]
        axes = [
            start + length * np.arange(n) / n
            for start, length, n in zip(first, scale, shape, strict=True)
        ]
        values = self._frequencies.on_axes(axes)
        for index, along in enumerate(axes[0]):
            plane = np.stack(np.meshgrid([along], *axes[1:], indexing="ij"), axis=-1)
            points = plane.reshape(-1, 3) @ self._cell
            values[index] += self._short_range(points).reshape(shape[1:])
        return values

    def _short_range(self, points: np.ndarray, *, field: bool = False) -> np.ndarray:
        points = wrap(points, self._cell, _PERIODIC)
        values = short_range_potential(self._tight, points, self._cell, _PERIODIC, field=field)
        return values if field else values - self._average


def split_exponent(
    charges: Sequence[AtomCharge], cell: np.ndarray, *, gaussian_cost: float = GAUSSIAN_COST
) -> float:
    """Exponent for which both sums cost about the same.

    ``gaussian_cost`` is that of one Gaussian at one point, in frequencies at one point.
    """
    volume = abs(np.linalg.det(cell))
    # Gaussians within reach of a point fall with eta^1.5, frequencies grow with it
    n_gaussians = sum(len(m.exponents) for c in charges for m in c.multiplets)
    # a table costs about as much as one Gaussian for each of its l
    n_gaussians += sum(c.table.l_max + 1 for c in charges if c.table is not None)
    spheres = 4 * np.pi / 3 * _NEGLIGIBLE**1.5 * n_gaussians / volume * gaussian_cost
    boxes = 0.5 * volume * (2 * np.sqrt(_NEGLIGIBLE) / np.pi) ** 3
    return float(np.clip((spheres / boxes) ** (1 / 3), *_SPLIT_RANGE))


def _divide(charge: AtomCharge, eta: float) -> tuple[AtomCharge, AtomCharge]:
    """What is tighter than eta or tabulated, without multipoles, and the smooth rest."""
    tight, smooth = [], []
    multiplets = {m.l: m for m in charge.multiplets}
    for l in range(charge.table.l_max + 1 if charge.table else 1):
        multiplets.setdefault(l, Multiplet(l, np.zeros(0), np.zeros((0, 2 * l + 1))))
    for l in sorted(multiplets):
        a, q = multiplets[l].exponents, multiplets[l].weights
        inner = a > eta
        # the Gaussian with the same multipole
        moved = (q[inner] * ((eta / a[inner]) ** (l + 1.5))[:, None]).sum(axis=0, keepdims=True)
        if l == 0:
            moved = moved + charge.point * (eta / np.pi) ** 1.5 * np.sqrt(4 * np.pi)
        if charge.table is not None and l <= charge.table.l_max:
            multipoles = charge.table.moments[l * l : (l + 1) ** 2]
            moved = moved + multipoles * eta ** (l + 1.5) / (np.pi * gamma(l + 0.5))
        ends = np.append(a[inner], eta)
        tight.append(Multiplet(l, ends, np.concatenate([q[inner], -moved])))
        starts = np.append(eta, a[~inner])
        smooth.append(Multiplet(l, starts, np.concatenate([moved, q[~inner]])))
    return (
        AtomCharge(charge.centre, charge.point, tuple(tight), charge.table),
        AtomCharge(charge.centre, 0.0, tuple(smooth)),
    )


def _integral(charge: AtomCharge) -> float:
    """Integral of the potential of an atom without multipoles over all space."""
    # by Poisson's equation, -2 pi / 3 times the second moment of the charge
    s = charge.multiplets[0]
    per_weight = np.sqrt(4 * np.pi) * gamma(2.5) / (2 * s.exponents**2.5)
    second = per_weight @ s.weights[:, 0]
    if charge.table is not None:
        second += np.sqrt(4 * np.pi) * charge.table.radial_moments(2)[0]
    return float(-2 * np.pi / 3 * second)


@dataclass(frozen=True)
class _Frequencies:
    """Amplitudes of the smooth potential in half of a box of frequencies.

    Attributes
    ----------
    integers
        Along each axis, the multiples of the reciprocal vector.
    amplitudes
        Shape (n1, n2, n3), complex; only 0, 1, ... along the last axis, the rest being
        the complex conjugate.
    reciprocal
        Rows are the reciprocal vectors, bohr^-1.
    """

    integers: tuple[np.ndarray, np.ndarray, np.ndarray]
    amplitudes: np.ndarray
    reciprocal: np.ndarray

    @classmethod
    def of(cls, charges: Sequence[AtomCharge], cell: np.ndarray, eta: float) -> _Frequencies:
        reciprocal = 2 * np.pi * np.linalg.inv(cell).T
        longest = 2 * np.sqrt(_NEGLIGIBLE * eta)
        last = np.floor(longest * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
        integers = tuple(
            np.arange(0 if axis == 2 else -last[axis], last[axis] + 1) for axis in range(3)
        )
        box = np.stack(np.meshgrid(*integers, indexing="ij"), axis=-1).reshape(-1, 3)
        vectors = box @ reciprocal
        g2 = np.einsum("ij,ij->i", vectors, vectors)
        used = np.flatnonzero((g2 < longest**2) & (g2 > 0))
        amplitudes = np.zeros(len(box), dtype=complex)
        # each frequency above zero stands for its opposite too
        counts = np.where(box[used, 2] > 0, 2.0, 1.0)
        rows = max(1, _TEMPORARY // 100)
        for start in range(0, len(used), rows):
            chosen = used[start : start + rows]
            amplitudes[chosen] = _transform(charges, vectors[chosen], g2[chosen])
        amplitudes[used] *= counts * 4 * np.pi / g2[used] / abs(np.linalg.det(cell))
        shape = tuple(len(n) for n in integers)
        return cls(integers, amplitudes.reshape(shape), reciprocal)  # type: ignore[arg-type]

    def at(self, coordinates: np.ndarray, *, field: bool) -> np.ndarray:
        """Sum at fractional coordinates (n, 3): shape (n,), or (n, 3) for the field."""
        result = np.empty((len(coordinates), 3 if field else 1))
        n1, n2, _ = self.amplitudes.shape
        rows = max(1, _TEMPORARY // (n1 * n2))
        for start in range(0, len(coordinates), rows):
            part = slice(start, start + rows)
            x, y, z = (
                np.exp(2j * np.pi * np.outer(coordinates[part, axis], self.integers[axis]))
                for axis in range(3)
            )
            if not field:
                result[part, 0] = _contract(self.amplitudes, x, y, z)
                continue
            # minus the gradient: -i G, here by the parts along the reciprocal vectors
            factors = [x * self.integers[0], y * self.integers[1], z * self.integers[2]]
            along = [
                _contract(-1j * self.amplitudes, *tables)
                for tables in ((factors[0], y, z), (x, factors[1], z), (x, y, factors[2]))
            ]
            result[part] = np.stack(along, axis=1) @ self.reciprocal
        return result if field else result[:, 0]

    def on_axes(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Sum at all combinations of fractional coordinates: shape (nx, ny, nz)."""
        x, y, z = (
            np.exp(2j * np.pi * np.outer(along, n))
            for along, n in zip(axes, self.integers, strict=True)
        )
        # one product an axis, the shortest result first
        over_x = np.tensordot(x, self.amplitudes, 1)  # [x, n2, n3]
        over_y = np.einsum("xbc,yb->xyc", over_x, y, optimize=True)
        values: np.ndarray = np.tensordot(over_y, z, axes=(2, 1)).real.copy()
        return values


def _contract(amplitudes: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Real part of the sum over frequencies, at each point: shape (n,)."""
    n1, n2, n3 = amplitudes.shape
    over_z = (z @ amplitudes.reshape(n1 * n2, n3).T).reshape(len(z), n1, n2)
    over_y = np.einsum("pab,pb->pa", over_z, y)
    return np.einsum("pa,pa->p", over_y, x).real


def _transform(charges: Sequence[AtomCharge], vectors: np.ndarray, g2: np.ndarray) -> np.ndarray:
    """Fourier transform of the charge density at frequencies (n, 3): shape (n,), complex."""
    l_max = max(m.l for charge in charges for m in charge.multiplets)
    harmonics = solid_harmonics(torch.from_numpy(np.ascontiguousarray(vectors)), l_max).numpy()
    gaussians: dict[float, np.ndarray] = {}
    total = np.zeros(len(vectors), dtype=complex)
    for charge in charges:
        real, imaginary = np.zeros(len(vectors)), np.zeros(len(vectors))
        for multiplet in charge.multiplets:
            l = multiplet.l
            for a in multiplet.exponents.tolist():
                if a not in gaussians:
                    gaussians[a] = np.exp(-g2 / (4 * a))
            table = np.stack([gaussians[a] for a in multiplet.exponents.tolist()], axis=1)
            scale = (np.pi / multiplet.exponents) ** 1.5 / (2 * multiplet.exponents) ** l
            radial = table @ (multiplet.weights * scale[:, None])
            value = (radial * harmonics[:, l * l : (l + 1) ** 2]).sum(axis=1)
            # (-i)^l
            if l % 2 == 0:
                real += (-1) ** (l // 2) * value
            else:
                imaginary += (-1) ** ((l + 1) // 2) * value
        total += (real + 1j * imaginary) * np.exp(-1j * (vectors @ charge.centre))
    return total
