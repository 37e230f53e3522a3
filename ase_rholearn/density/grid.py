"""Uniform grids: where the points are, and the density on them by matrix products.

Atomic units, except :class:`Grid`, which is public and in ASE's units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from ..basis import harmonic_polynomials
from .points import evaluate_at_points
from .terms import AtomTerms, TermClass

#: Largest cosine between two axes that counts as a right angle.
_RIGHT_ANGLE = 1e-12

#: Numbers that one temporary matrix may hold (64 MB in double precision).
_TEMPORARY = 2**23


@dataclass(frozen=True)
class Grid:
    """Values on a uniform grid.

    Point (i, j, k) is at ``origin + i / nx * cell[0] + j / ny * cell[1] + k / nz * cell[2]``:
    voxel convention, the end of each axis is not repeated.

    Attributes
    ----------
    values
        Shape (nx, ny, nz); e/Angstrom^3 for densities.
    origin
        (3,) Angstrom.
    cell
        Rows are the edges of the whole grid: (3, 3) Angstrom.
    """

    values: np.ndarray
    origin: np.ndarray
    cell: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Points along each axis."""
        nx, ny, nz = self.values.shape
        return nx, ny, nz

    @property
    def voxel_volume(self) -> float:
        """Angstrom^3 a point."""
        return float(abs(np.linalg.det(self.cell)) / self.values.size)

    @property
    def integral(self) -> float:
        """Sum of the values times the voxel volume."""
        return float(self.values.sum() * self.voxel_volume)

    def points(self) -> np.ndarray:
        """Coordinates of all points, shape (nx, ny, nz, 3), in Angstrom."""
        return grid_points(self.origin, self.cell, self.shape)


def grid_points(origin: np.ndarray, cell: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Coordinates of the points of a grid in the voxel convention: shape (*shape, 3)."""
    axes = [np.arange(n)[:, None] / n * vector for n, vector in zip(shape, cell, strict=True)]
    points: np.ndarray = (
        origin + axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]
    )
    return points


def evaluate_on_grid(
    terms: Sequence[AtomTerms],
    origin: np.ndarray,
    cell: np.ndarray,
    shape: tuple[int, int, int],
    lattice: np.ndarray,
    pbc: np.ndarray,
) -> np.ndarray:
    """Sum the terms, and their periodic images, on a grid.

    Orthogonal grids along x, y, z are done by matrix products, others point by point.

    Parameters
    ----------
    terms
        See :func:`~ase_rholearn.density.terms.density_terms`.
    origin, cell, shape
        The grid in bohr, voxel convention.
    lattice, pbc
        The periods of the structure in bohr. Where the grid spans exactly one period
        along each periodic direction, images are folded into one-dimensional tables.

    Returns
    -------
    numpy.ndarray
        Shape ``shape``, e/bohr^3.
    """
    if _is_separable(cell, lattice, pbc):
        return _separable(terms, origin, np.diag(cell), shape, pbc)
    values = np.empty(shape)
    for start, stop in _slabs(shape):
        axis = np.arange(start, stop) / shape[0]
        slab = origin + axis[:, None, None, None] * cell[0]
        slab = slab + grid_points(np.zeros(3), np.array([0 * cell[0], *cell[1:]]), (1, *shape[1:]))
        flat = evaluate_at_points(terms, slab.reshape(-1, 3), lattice, pbc)
        values[start:stop] = flat.reshape(stop - start, *shape[1:])
    return values


def _is_separable(cell: np.ndarray, lattice: np.ndarray, pbc: np.ndarray) -> bool:
    """Whether the axes are x, y, z and each periodic one spans exactly one period."""
    lengths = np.linalg.norm(cell, axis=1)
    if np.abs(cell - np.diag(np.diag(cell))).max() > _RIGHT_ANGLE * lengths.max():
        return False
    if (np.diag(cell) <= 0).any():
        return False
    return bool(np.allclose(cell[pbc], lattice[pbc], rtol=0, atol=_RIGHT_ANGLE * lengths.max()))


def _slabs(shape: tuple[int, int, int]) -> Iterator[tuple[int, int]]:
    """Ranges along the first axis that hold at most ``_TEMPORARY`` coordinates."""
    rows = max(1, _TEMPORARY // (3 * shape[1] * shape[2]))
    for start in range(0, shape[0], rows):
        yield start, min(start + rows, shape[0])


# orthogonal grids ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Axis:
    """One axis of an orthogonal grid: points origin + step * i, i = 0 .. n - 1."""

    origin: float
    step: float
    n: int
    periodic: bool

    def window(self, centre: float, radius: float) -> range:
        """Indices of the points within a radius; beyond 0 .. n - 1 for periodic axes.

        A periodic window is never longer than the axis: images are folded into it.
        """
        first = int(np.ceil((centre - radius - self.origin) / self.step))
        last = int(np.floor((centre + radius - self.origin) / self.step))
        if self.periodic:
            return range(first, first + min(last + 1 - first, self.n))
        return range(max(first, 0), min(last + 1, self.n))

    def tables(
        self, window: range, centre: float, radius: float, exponents: torch.Tensor, degree: int
    ) -> torch.Tensor:
        """x^i exp(-a x^2), summed over images: shape (n_terms, degree + 1, n_points)."""
        x = self.origin + self.step * np.arange(window.start, window.stop) - centre
        images = x[None, :] + self._image_shifts(x, radius)[:, None]  # [image, point]
        moved = torch.from_numpy(images).to(exponents.device)
        powers = moved[None] ** torch.arange(degree + 1, device=moved.device)[:, None, None]
        gaussians = torch.exp(-exponents.double()[:, None, None] * (moved * moved))
        if len(images) == 1:
            table = gaussians * powers[:, 0]
        else:
            table = torch.einsum("tsx,isx->tix", gaussians, powers)
        return table.to(exponents.dtype)

    def _image_shifts(self, x: np.ndarray, radius: float) -> np.ndarray:
        if not self.periodic:
            return np.zeros(1)
        period = self.step * self.n
        first = np.ceil((-radius - x[-1]) / period)
        last = np.floor((radius - x[0]) / period)
        return np.asarray(np.arange(first, last + 1) * period)


def _separable(
    terms: Sequence[AtomTerms],
    origin: np.ndarray,
    lengths: np.ndarray,
    shape: tuple[int, int, int],
    pbc: np.ndarray,
) -> np.ndarray:
    """Gaussians are products of functions of x, y and z: one matrix product per class."""
    axes = [
        _Axis(float(o), float(length / n), n, bool(periodic))
        for o, length, n, periodic in zip(origin, lengths, shape, pbc, strict=True)
    ]
    values = torch.zeros(shape, dtype=torch.float64)
    for atom in terms:
        for term_class in atom.classes:
            _add_class(values, axes, atom.centre, term_class)
    return values.numpy()


def _add_class(
    values: torch.Tensor, axes: Sequence[_Axis], centre: np.ndarray, terms: TermClass
) -> None:
    windows = [axis.window(c, terms.radius) for axis, c in zip(axes, centre, strict=True)]
    if any(len(window) == 0 for window in windows):
        return
    x, y, z = (
        axis.tables(window, c, terms.radius, terms.exponents, terms.l_max)
        for axis, window, c in zip(axes, windows, centre, strict=True)
    )  # each [term, power, point]
    cartesian = _cartesian_weights(terms)  # [k, term, j, i]
    k, term = torch.nonzero(cartesian.abs().amax(dim=(2, 3)), as_tuple=True)
    right = z[term, k]  # [(k, term), z]
    along_x = torch.bmm(cartesian[k, term], x[term])  # [(k, term), j, x]
    along_y = y[term]  # [(k, term), j, y]
    rows = max(1, _TEMPORARY // (len(windows[1]) * len(right)))
    for start in range(0, len(windows[0]), rows):
        part = slice(start, start + rows)
        # [(k, term), x, y] = sum_j (sum_i C_ijk,term x^i) y^j
        left = torch.bmm(along_x[..., part].transpose(1, 2), along_y)
        _add_product(values, left, right, [windows[0][part], windows[1], windows[2]])


def _cartesian_weights(terms: TermClass) -> torch.Tensor:
    """Weights of monomials x^i y^j z^k: [k, term, j, i], shape (l_max + 1, n_terms, ...)."""
    matrix = _polynomials(terms.l_max).to(terms.weights)  # [lm, (k, j, i)]
    size = terms.l_max + 1
    return (terms.weights @ matrix).reshape(-1, size, size, size).transpose(0, 1)


@cache
def _polynomials(l_max: int) -> torch.Tensor:
    """Solid harmonics of l = 0..l_max as polynomials: [lm, (k, j, i)], i fastest."""
    size = l_max + 1
    total = np.zeros((size * size, size, size, size))
    for l in range(size):
        block = harmonic_polynomials(l).transpose(0, 3, 2, 1)
        total[l * l : (l + 1) ** 2, : l + 1, : l + 1, : l + 1] = block
    return torch.from_numpy(total.reshape(size * size, -1))


def _add_product(
    values: torch.Tensor, left: torch.Tensor, right: torch.Tensor, windows: Sequence[range]
) -> None:
    """Add sum_t left[t, x, y] right[t, z] to the grid; windows of periodic axes wrap around."""
    pieces = [_wrapped(window, n) for window, n in zip(windows, values.shape, strict=True)]
    for tx, sx in pieces[0]:
        for ty, sy in pieces[1]:
            for tz, sz in pieces[2]:
                matrices = left[:, sx, sy].permute(1, 2, 0)
                factor = right[:, sz].expand(len(matrices), -1, -1)
                # in place: nothing of the size of the box is stored on the way
                values[tx, ty, tz].baddbmm_(matrices, factor)


def _wrapped(window: range, n: int) -> list[tuple[slice, slice]]:
    """(target, source) slices of a window of at most n indices on an axis of n points."""
    pieces, start = [], window.start
    while start < window.stop:
        first = start % n
        count = min(n - first, window.stop - start)
        offset = start - window.start
        pieces.append((slice(first, first + count), slice(offset, offset + count)))
        start += count
    return pieces
