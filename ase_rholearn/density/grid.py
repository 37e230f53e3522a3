"""Uniform grids: where the points are, and the density on them by matrix products.

Atomic units, except :class:`Grid`, which is public and in ASE's units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from ..basis import harmonic_polynomials
from .points import evaluate_at_points
from .terms import AtomTerms, TermClass

#: Largest cosine between two axes that counts as a right angle.
_RIGHT_ANGLE = 1e-12

#: Numbers that one temporary matrix may hold (64 MB in double precision).
_TEMPORARY = 2**23

#: Points of a box (y, z) below which whole boxes are multiplied: for small ones the calls
#: of one product per plane cost more than the sum of two boxes.
_SMALL_PLANE = 1024

#: Terms with a h^2 above it are averaged over voxels where that is asked for: point values
#: of smoother ones add up to their integral within exp(-pi^2 / 0.15) = 1e-28.
_TIGHT = 0.15

#: Seconds before a progress bar appears.
_PATIENCE = 3.0


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


@dataclass(frozen=True)
class GridTask:
    """What is to be evaluated where, in atomic units.

    Attributes
    ----------
    terms
        In double precision, see :func:`~ase_rholearn.density.terms.density_terms`.
    origin, cell, shape
        The grid, voxel convention.
    lattice, pbc
        The periods of the structure. Where the grid spans exactly one period along each
        periodic direction, images are folded into one-dimensional tables.
    average
        Average tight terms over each voxel instead of taking their values at the points.
    dtype
        Of the values, and of the matrix products of orthogonal grids.
    """

    terms: Sequence[AtomTerms]
    origin: np.ndarray
    cell: np.ndarray
    shape: tuple[int, int, int]
    lattice: np.ndarray
    pbc: np.ndarray
    average: bool = False
    dtype: torch.dtype = torch.float64

    def __post_init__(self) -> None:
        if self.average and not self._is_separable:
            raise ValueError(
                'core is "voxel-average" but the grid is not along x, y and z with one period '
                'in each periodic direction: give core="point", or an orthogonal cell'
            )

    def values(self, rows: range | None = None, *, progress: bool = False) -> np.ndarray:
        """Values in some planes along the first axis: shape (len(rows), ny, nz), e/bohr^3.

        Orthogonal grids along x, y, z are done by matrix products, others point by point.

        Parameters
        ----------
        rows
            Planes, all by default.
        progress
            Show a bar on a terminal if it takes long.
        """
        rows = range(self.shape[0]) if rows is None else rows
        values = torch.zeros((len(rows), *self.shape[1:]), dtype=self.dtype)
        if self._is_separable:
            self._add_products(values, rows, progress)
        else:
            self._add_points(values, rows, progress)
        return values.numpy()

    def iterate(
        self, memory: float, *, scale: float = 1.0, progress: bool = False
    ) -> Iterator[tuple[range, np.ndarray]]:
        """Planes and ``scale`` times their values, in slabs of at most ``memory`` bytes."""
        plane = self.shape[1] * self.shape[2] * self.dtype.itemsize
        planes = max(1, int(memory // plane))
        slabs = [
            range(start, min(start + planes, self.shape[0]))
            for start in range(0, self.shape[0], planes)
        ]
        for rows in _bar(slabs, "slab", progress):
            values = self.values(rows)
            values *= scale
            yield rows, values

    @property
    def _is_separable(self) -> bool:
        return _is_separable(self.cell, self.lattice, self.pbc)

    def _add_products(self, values: torch.Tensor, rows: range, progress: bool) -> None:
        """Gaussians are products of functions of x, y and z: one matrix product per class."""
        axes = [
            _Axis(float(o), float(length / n), n, bool(periodic))
            for o, length, n, periodic in zip(
                self.origin, np.diag(self.cell), self.shape, self.pbc, strict=True
            )
        ]
        for atom in _bar(self.terms, "atom", progress):
            for term_class in atom.classes:
                _add_class(values, rows, axes, atom.centre, term_class, average=self.average)

    def _add_points(self, values: torch.Tensor, rows: range, progress: bool) -> None:
        ny, nz = self.shape[1:]
        plane = grid_points(np.zeros(3), np.array([0 * self.cell[0], *self.cell[1:]]), (1, ny, nz))
        step = max(1, _TEMPORARY // (3 * ny * nz))
        for start in _bar(range(0, len(rows), step), "slab", progress):
            axis = np.array(rows[start : start + step]) / self.shape[0]
            points = self.origin + axis[:, None, None, None] * self.cell[0] + plane
            flat = evaluate_at_points(self.terms, points.reshape(-1, 3), self.lattice, self.pbc)
            values[start : start + step] = torch.from_numpy(flat).reshape(-1, ny, nz)


_T = TypeVar("_T")


def _bar(items: Sequence[_T], unit: str, progress: bool) -> Iterable[_T]:
    """The items, with a bar on a terminal after a while."""
    if not progress:
        return items
    bar: Iterable[_T] = tqdm(items, unit=unit, disable=None, delay=_PATIENCE, leave=False)
    return bar


def _is_separable(cell: np.ndarray, lattice: np.ndarray, pbc: np.ndarray) -> bool:
    """Whether the axes are x, y, z and each periodic one spans exactly one period."""
    lengths = np.linalg.norm(cell, axis=1)
    if np.abs(cell - np.diag(np.diag(cell))).max() > _RIGHT_ANGLE * lengths.max():
        return False
    if (np.diag(cell) <= 0).any():
        return False
    return bool(np.allclose(cell[pbc], lattice[pbc], rtol=0, atol=_RIGHT_ANGLE * lengths.max()))


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
        self, window: range, centre: float, radius: float, terms: TermClass, average: torch.Tensor
    ) -> torch.Tensor:
        """x^i exp(-a x^2), summed over images: shape (n_terms, l_max + 1, n_points).

        The terms of the mask ``average`` are averaged over x - step / 2 .. x + step / 2.
        """
        x = self.origin + self.step * np.arange(window.start, window.stop) - centre
        images = x[None, :] + self._image_shifts(x, radius)[:, None]  # [image, point]
        moved = torch.from_numpy(images)
        exponents = terms.exponents.double()
        powers = moved[None] ** torch.arange(terms.l_max + 1)[:, None, None]
        gaussians = torch.exp(-exponents[:, None, None] * (moved * moved))
        if len(images) == 1:
            table = gaussians * powers[:, 0]
        else:
            table = torch.einsum("tsx,isx->tix", gaussians, powers)
        if average.any():
            means = _interval_means(moved, exponents[average], self.step, terms.l_max)
            table[average] = means.sum(dim=2)
        return table

    def _image_shifts(self, x: np.ndarray, radius: float) -> np.ndarray:
        if not self.periodic:
            return np.zeros(1)
        period = self.step * self.n
        first = np.ceil((-radius - x[-1]) / period)
        last = np.floor((radius - x[0]) / period)
        return np.asarray(np.arange(first, last + 1) * period)


def _interval_means(x: torch.Tensor, a: torch.Tensor, step: float, degree: int) -> torch.Tensor:
    """Means of x^i exp(-a x^2) from x - step / 2 to x + step / 2: shape (n_a, degree + 1, *x).

    By parts: 2 a I_i = (i - 1) I_(i-2) - [x^(i-1) exp(-a x^2)] between the ends.
    """
    a = a.reshape(-1, *(1,) * x.ndim)
    ends = x - step / 2, x + step / 2
    low, high = (torch.exp(-a * end * end) for end in ends)
    root = torch.sqrt(a)
    integrals = [(torch.erf(root * ends[1]) - torch.erf(root * ends[0])) * math.sqrt(math.pi) / 2]
    integrals[0] = integrals[0] / root
    for i in range(1, degree + 1):
        boundary = high * ends[1] ** (i - 1) - low * ends[0] ** (i - 1)
        before = (i - 1) * integrals[i - 2] if i > 1 else 0.0
        integrals.append((before - boundary) / (2 * a))
    return torch.stack(integrals, dim=1) / step


def _add_class(
    values: torch.Tensor,
    rows: range,
    axes: Sequence[_Axis],
    centre: np.ndarray,
    terms: TermClass,
    *,
    average: bool,
) -> None:
    """Add a class of terms of one atom to the planes ``rows``."""
    step = max(axis.step for axis in axes)
    tight = terms.exponents * step**2 > (_TIGHT if average else math.inf)
    # the nearest voxel may hold a tight term that its point does not feel
    radius = terms.radius + (step / 2 if tight.any() else 0.0)
    windows = [axis.window(c, radius) for axis, c in zip(axes, centre, strict=True)]
    pieces = [_wrapped(window, axis.n) for window, axis in zip(windows, axes, strict=True)]
    pieces[0] = _clipped(pieces[0], rows)
    if not all(pieces):
        return
    x, y, z = (
        axis.tables(window, c, radius, terms, tight)
        for axis, window, c in zip(axes, windows, centre, strict=True)
    )  # each [term, power, point]
    cartesian = _cartesian_weights(terms)  # [k, term, j, i]
    k, term = torch.nonzero(cartesian.abs().amax(dim=(2, 3)), as_tuple=True)
    right = z[term, k].to(values.dtype)  # [(k, term), z]
    along_x = torch.bmm(cartesian[k, term], x[term]).to(values.dtype)  # [(k, term), j, x]
    along_y = y[term].to(values.dtype)  # [(k, term), j, y]
    planes = max(1, _TEMPORARY // (len(windows[1]) * (len(right) + len(windows[2]))))
    for target, source in _split(pieces[0], planes):
        # [(k, term), x, y] = sum_j (sum_i C_ijk,term x^i) y^j
        left = torch.bmm(along_x[..., source].transpose(1, 2), along_y)
        _add_product(values[target], left, right, pieces[1:])


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


_Pieces = list[tuple[slice, slice]]


def _add_product(
    values: torch.Tensor, left: torch.Tensor, right: torch.Tensor, pieces: Sequence[_Pieces]
) -> None:
    """Add sum_t left[t, x, y] right[t, z] to planes; windows of y and z come in pieces."""
    if left.shape[2] * right.shape[1] < _SMALL_PLANE:
        flat = left.reshape(len(left), -1).T @ right
        box = flat.reshape(*left.shape[1:], -1)
        for ty, sy in pieces[0]:
            for tz, sz in pieces[1]:
                values[:, ty, tz] += box[:, sy, sz]
        return
    for ty, sy in pieces[0]:
        for tz, sz in pieces[1]:
            matrices = left[:, :, sy].permute(1, 2, 0)
            factor = right[:, sz].expand(len(matrices), -1, -1)
            # in place: nothing of the size of the box is stored on the way
            values[:, ty, tz].baddbmm_(matrices, factor)


def _wrapped(window: range, n: int) -> _Pieces:
    """(target, source) slices of a window of at most n indices on an axis of n points."""
    pieces, start = [], window.start
    while start < window.stop:
        first = start % n
        count = min(n - first, window.stop - start)
        offset = start - window.start
        pieces.append((slice(first, first + count), slice(offset, offset + count)))
        start += count
    return pieces


def _clipped(pieces: _Pieces, rows: range) -> _Pieces:
    """The parts of the pieces whose targets are in ``rows``, counted from its start."""
    clipped = []
    for target, source in pieces:
        start, stop = max(target.start, rows.start), min(target.stop, rows.stop)
        if start < stop:
            offset = source.start - target.start
            clipped.append(
                (slice(start - rows.start, stop - rows.start), slice(start + offset, stop + offset))
            )
    return clipped


def _split(pieces: _Pieces, size: int) -> _Pieces:
    """The same in pieces of at most ``size``."""
    return [
        (slice(t, min(t + size, target.stop)), slice(s, min(s + size, source.stop)))
        for target, source in pieces
        for t, s in zip(
            range(target.start, target.stop, size),
            range(source.start, source.stop, size),
            strict=True,
        )
    ]
