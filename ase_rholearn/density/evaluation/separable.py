"""Gaussians on orthogonal grids: products of functions of x, y and z. Atomic units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch

from ...basis import harmonic_polynomials
from .axes import CartesianFrame
from .terms import TermClass
from .voxels import TIGHT

#: Numbers that one temporary matrix may hold (64 MB in double precision).
_TEMPORARY = 2**23

#: Points of a box (y, z) below which whole boxes are multiplied: for small ones the calls
#: of one product per plane cost more than the sum of two boxes.
_SMALL_PLANE = 1024

#: Largest cosine between two axes that counts as a right angle.
RIGHT_ANGLE = 1e-12


#: (target, source) slices of a window on an axis.
Pieces = list[tuple[slice, slice]]


@dataclass(frozen=True)
class Axis:
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
        self,
        window: range,
        centre: float,
        radius: float,
        exponents: torch.Tensor,
        degree: int,
        averaged: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """x^i exp(-a x^2), summed over images: shape (n_exponents, degree + 1, n_points).

        Those with the indices ``averaged`` are averaged over x - step / 2 .. x + step / 2.
        """
        x = self.origin + self.step * np.arange(window.start, window.stop) - centre
        images = x[None, :] + self._image_shifts(x, radius)[:, None]  # [image, point]
        moved = torch.from_numpy(images).to(exponents.device)
        powers = moved[None] ** torch.arange(degree + 1, device=moved.device)[:, None, None]
        gaussians = torch.exp(-exponents[:, None, None] * (moved * moved))
        if len(images) == 1:
            table = gaussians * powers[:, 0]
        else:
            table = torch.einsum("tsx,isx->tix", gaussians, powers)
        if averaged is not None and len(averaged):
            means = _interval_means(moved, exponents[averaged], self.step, degree)
            table[averaged] = means.sum(dim=2)
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


@dataclass(frozen=True)
class OrthogonalGrid:
    """A grid whose axes are normal to each other, in a frame along them.

    Attributes
    ----------
    frame
        Along the axes.
    axes
        In the frame.
    """

    frame: CartesianFrame
    axes: tuple[Axis, Axis, Axis]

    @classmethod
    def of(
        cls, origin: np.ndarray, cell: np.ndarray, shape: Sequence[int], folded: np.ndarray
    ) -> OrthogonalGrid | None:
        """The grid, or None if some axes are skew."""
        lengths = np.linalg.norm(cell, axis=1)
        directions = cell / lengths[:, None]
        if np.abs(directions @ directions.T - np.eye(3)).max() > RIGHT_ANGLE:
            return None
        # along x, y and z exactly: terms need not be turned then
        straight = np.round(directions)
        if np.abs(directions - straight).max() <= RIGHT_ANGLE:
            directions = straight
        frame = CartesianFrame(directions)
        x, y, z = (
            Axis(float(o), float(length / n), int(n), bool(periodic))
            for o, length, n, periodic in zip(
                frame.components(origin), lengths, shape, folded, strict=True
            )
        )
        return cls(frame, (x, y, z))


@dataclass
class SeparableSum:
    """The sum of terms in some planes of an orthogonal grid.

    Attributes
    ----------
    grid
        Where.
    rows
        Planes along the first axis.
    dtype, device
        Of the values and of the matrix products.
    average
        Average tight terms over voxels.
    """

    grid: OrthogonalGrid
    rows: range
    dtype: torch.dtype
    device: torch.device
    average: bool
    _values: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        shape = (len(self.rows), *(axis.n for axis in self.grid.axes[1:]))
        self._values = torch.zeros(shape, dtype=self.dtype, device=self.device)

    def values(self) -> np.ndarray:
        """What has been added up: shape (len(rows), ny, nz)."""
        return self._values.cpu().numpy()

    def add_class(self, centres: np.ndarray, terms: TermClass) -> None:
        """Add the terms of one class around some centres: (n, 3) bohr."""
        radius, tight = terms.radius, None
        if self.average:
            step = max(axis.step for axis in self.grid.axes)
            tight = torch.nonzero(terms.exponents * step**2 > TIGHT).squeeze(1)
            # the nearest voxel may hold a tight term that its point does not feel
            radius += step / 2 if len(tight) else 0.0
        factors: _Factors | None = None
        for centre in self.grid.frame.components(centres):
            windows = [
                axis.window(c, radius) for axis, c in zip(self.grid.axes, centre, strict=True)
            ]
            pieces = [wrapped(w, axis.n) for w, axis in zip(windows, self.grid.axes, strict=True)]
            pieces[0] = clipped(pieces[0], self.rows)
            if all(pieces):
                factors = factors or _Factors.of(self.grid.frame.terms(terms), tight, self.device)
                self._add(factors, centre, radius, windows, pieces)

    def _add(
        self,
        factors: _Factors,
        centre: np.ndarray,
        radius: float,
        windows: list[range],
        pieces: list[Pieces],
    ) -> None:
        weights, k, term = factors.weights, factors.k, factors.term
        x, y, z = (
            axis.tables(window, c, radius, factors.exponents, factors.degree, factors.averaged)
            for axis, window, c in zip(self.grid.axes, windows, centre.tolist(), strict=True)
        )  # each [term, power, point]
        right = z[term, k].to(self.dtype)  # [(k, term), z]
        along_x = torch.bmm(weights, x[term]).to(self.dtype)  # [(k, term), j, x]
        along_y = y[term].to(self.dtype)  # [(k, term), j, y]
        planes = max(1, _TEMPORARY // (len(windows[1]) * (len(right) + len(windows[2]))))
        for target, source in split(pieces[0], planes):
            # [(k, term), x, y] = sum_j (sum_i C_ijk,term x^i) y^j
            left = torch.bmm(along_x[..., source].transpose(1, 2), along_y)
            _add_product(self._values[target], left, right, pieces[1:])


@dataclass(frozen=True)
class _Factors:
    """A class of terms as products of functions of x, y and z, on a device.

    Attributes
    ----------
    weights, k, term
        See :func:`monomials`.
    exponents
        Of the terms.
    averaged
        Indices of terms that are averaged over voxels, if any.
    """

    weights: torch.Tensor
    k: torch.Tensor
    term: torch.Tensor
    exponents: torch.Tensor
    averaged: torch.Tensor | None

    @classmethod
    def of(cls, terms: TermClass, tight: torch.Tensor | None, device: torch.device) -> _Factors:
        weights, k, term = (one.to(device) for one in monomials(terms))
        averaged = None if tight is None else tight.to(device)
        return cls(weights, k, term, terms.exponents.to(device), averaged)

    @property
    def degree(self) -> int:
        """Highest power of a coordinate."""
        return self.weights.shape[1] - 1


def monomials(terms: TermClass) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Functions z^k exp(-a z^2) of a class of terms, and what each of them is multiplied by.

    They are selected on the processor, so that an accelerator need not be waited for.

    Returns
    -------
    torch.Tensor
        Weights [function, j, i] of x^i y^j.
    torch.Tensor, torch.Tensor
        Power k and index of the term of each function: (n_functions,) each.
    """
    matrix = _polynomials(terms.l_max)  # [lm, (k, j, i)]
    size = terms.l_max + 1
    cartesian = (terms.weights @ matrix).reshape(-1, size, size, size)  # [term, k, j, i]
    k, term = torch.nonzero(cartesian.abs().amax(dim=(2, 3)).T, as_tuple=True)
    return cartesian[term, k], k, term


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
    values: torch.Tensor, left: torch.Tensor, right: torch.Tensor, pieces: Sequence[Pieces]
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


def wrapped(window: range, n: int) -> Pieces:
    """(target, source) slices of a window of at most n indices on an axis of n points."""
    pieces, start = [], window.start
    while start < window.stop:
        first = start % n
        count = min(n - first, window.stop - start)
        offset = start - window.start
        pieces.append((slice(first, first + count), slice(offset, offset + count)))
        start += count
    return pieces


def clipped(pieces: Pieces, rows: range) -> Pieces:
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


def split(pieces: Pieces, size: int) -> Pieces:
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
