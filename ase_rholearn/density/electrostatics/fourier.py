r"""Potential of a smooth charge density, as a Fourier series. Atomic units.

The density is put on a grid by matrix products and transformed. In periodic directions the
series is that of the crystal, with the kernel :math:`4 \pi / G^2`. Open directions get a box
so long that a kernel cut off at a distance reaches from every source to every target, but not
to the next image: the result is that of the isolated system (C. A. Rozzi, D. Varsano,
A. Marini, E. K. U. Gross and A. Rubio, Phys. Rev. B 73, 205119 (2006)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from ..evaluation.grid_task import GridTask
from ..evaluation.points import completed_cell
from ..evaluation.terms import AtomTerms

#: Exponent x of exp(-x) below which a transform is taken for zero.
NEGLIGIBLE = 38.0

#: Numbers that one temporary array may hold (64 MB).
_TEMPORARY = 2**22

_ALL = np.full(3, True)


@dataclass(frozen=True)
class FourierSeries:
    """Sum over frequencies in half of a box.

    Attributes
    ----------
    integers
        Along each axis, the multiples of the reciprocal vector; only 0, 1, ... along the
        last, the rest being the complex conjugate.
    amplitudes
        Shape (n1, n2, n3), complex.
    origin
        Where all phases are zero, bohr.
    cell
        Rows are the periods, bohr: (3, 3).
    """

    integers: tuple[np.ndarray, np.ndarray, np.ndarray]
    amplitudes: np.ndarray
    origin: np.ndarray
    cell: np.ndarray

    def at(self, points: np.ndarray, *, field: bool = False) -> np.ndarray:
        """Sum at points (n, 3) in bohr: shape (n,), or minus the gradient: (n, 3)."""
        coordinates = (points - self.origin) @ np.linalg.inv(self.cell)
        result = np.empty((len(points), 3 if field else 1))
        reciprocal = 2 * np.pi * np.linalg.inv(self.cell).T
        n1, n2, _ = self.amplitudes.shape
        rows = max(1, _TEMPORARY // (n1 * n2))
        for start in range(0, len(points), rows):
            part = slice(start, start + rows)
            x, y, z = self._phases(coordinates[part].T)
            if not field:
                result[part, 0] = _contract(self.amplitudes, x, y, z)
                continue
            # minus the gradient: -i G, here by the parts along the reciprocal vectors
            factors = [x * self.integers[0], y * self.integers[1], z * self.integers[2]]
            along = [
                _contract(-1j * self.amplitudes, *tables)
                for tables in ((factors[0], y, z), (x, factors[1], z), (x, y, factors[2]))
            ]
            result[part] = np.stack(along, axis=1) @ reciprocal
        return result if field else result[:, 0]

    def on_axes(self, axes: Sequence[np.ndarray]) -> np.ndarray:
        """Sum at all combinations of fractional coordinates: shape (nx, ny, nz)."""
        x, y, z = self._phases(axes)
        # one product an axis, the shortest result first
        over_x = np.tensordot(x, self.amplitudes, 1)  # [x, n2, n3]
        over_y = np.matmul(y, over_x)  # [x, y, n3]
        real, imaginary = over_y.real @ z.real.T, over_y.imag @ z.imag.T
        values: np.ndarray = real - imaginary
        return values

    def _phases(self, coordinates: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [
            np.exp(2j * np.pi * np.outer(along, n))
            for along, n in zip(coordinates, self.integers, strict=True)
        ]


def smooth_potential(
    terms: Sequence[AtomTerms],
    cell: np.ndarray,
    pbc: np.ndarray,
    targets: np.ndarray,
    *,
    highest: float,
    tolerance: float,
) -> FourierSeries:
    """Potential of a charge density without tight terms.

    Parameters
    ----------
    terms
        The charge density, positive charge positive.
    cell, pbc
        Cell vectors in bohr, and which of them are periodic: all, two or none.
    targets
        Points (n, 3) in bohr; the potential is right in the box around them.
    highest
        Frequency (bohr^-1) beyond which the density has none.
    tolerance
        That of the terms, e/bohr^3.
    """
    origin, box, reach = _box(terms, cell, pbc, targets)
    last = np.floor(highest * np.linalg.norm(box, axis=1) / (2 * np.pi)).astype(int)
    shape = tuple(fft.next_fast_len(int(2 * n + 2), real=True) for n in last)
    density = GridTask(terms, origin, box, shape, box, pbc, tolerance=tolerance).values()
    transform = fft.rfftn(density) / density.size
    first, second, third = (np.arange(-last[0], last[0] + 1), np.arange(-last[1], last[1] + 1),
                            np.arange(last[2] + 1))  # fmt: skip
    amplitudes = transform[np.ix_(first, second, third)]
    reciprocal = 2 * np.pi * np.linalg.inv(box).T
    for row, index in zip(amplitudes, first, strict=True):
        plane = np.stack(np.meshgrid([index], second, third, indexing="ij"), axis=-1)[0]
        vectors = plane @ reciprocal
        row *= _kernel(vectors, pbc, box, reach)
        row[np.einsum("ijk,ijk->ij", vectors, vectors) >= highest**2] = 0
    # each frequency above zero stands for its opposite too
    amplitudes[:, :, 1:] *= 2
    return FourierSeries((first, second, third), amplitudes, origin, box)


def _box(
    terms: Sequence[AtomTerms], cell: np.ndarray, pbc: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Origin and periods of the series, and the distance where the kernel is cut off."""
    periods = completed_cell(cell, pbc)
    if pbc.all():
        return np.zeros(3), periods, 0.0
    inverse = np.linalg.inv(periods)
    centres = np.array([atom.centre for atom in terms]) @ inverse
    radii = np.array([max((c.radius for c in atom.classes), default=0.0) for atom in terms])
    seen = targets @ inverse
    low = np.minimum((centres - radii[:, None]).min(axis=0), seen.min(axis=0))[~pbc]
    high = np.maximum((centres + radii[:, None]).max(axis=0), seen.max(axis=0))[~pbc]
    reach = float(np.linalg.norm(high - low))
    origin, lengths = np.zeros(3), np.ones(3)
    origin[~pbc] = low
    lengths[~pbc] = high - low + reach
    return origin @ periods, periods * lengths[:, None], reach


def _kernel(vectors: np.ndarray, pbc: np.ndarray, box: np.ndarray, reach: float) -> np.ndarray:
    """Coulomb's, cut off in open directions, at frequencies (..., 3)."""
    g2 = np.einsum("...i,...i->...", vectors, vectors)
    zero = g2 == 0
    g2[zero] = 1.0
    if pbc.all():
        return np.where(zero, 0.0, 4 * np.pi / g2)
    if not pbc.any():
        # a sphere
        whole = 2 * np.pi * reach**2
        return np.where(zero, whole, 4 * np.pi * (1 - np.cos(np.sqrt(g2) * reach)) / g2)
    # a layer
    normal = box[~pbc][0] / np.linalg.norm(box[~pbc][0])
    up = np.abs(vectors @ normal)
    along = np.linalg.norm(vectors - (vectors @ normal)[..., None] * normal, axis=-1)
    flat = along < 1e-9
    ratio = up / np.where(flat, 1.0, along)
    decay = np.exp(-along * reach) * (ratio * np.sin(up * reach) - np.cos(up * reach))
    layer = 4 * np.pi / g2 * (1 + decay)
    # the plane average, -2 pi |z|
    even = 1 - np.cos(up * reach) - up * reach * np.sin(up * reach)
    layer = np.where(flat, 4 * np.pi / g2 * even, layer)
    return np.where(zero, -2 * np.pi * reach**2, layer)


def _contract(amplitudes: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Real part of the sum over frequencies, at each point: shape (n,)."""
    n1, n2, n3 = amplitudes.shape
    over_z = (z @ amplitudes.reshape(n1 * n2, n3).T).reshape(len(z), n1, n2)
    over_y = np.einsum("pab,pb->pa", over_z, y)
    return np.einsum("pa,pa->p", over_y, x).real
