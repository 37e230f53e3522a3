"""Gaussians on grids with skew axes, by matrix products. Atomic units.

One axis w of the grid becomes the third axis of a frame, in which an atom's terms are sums
of products of a function of the plane normal to w and a function of w. Where w is normal to
the other two axes u and v, that is all. Where it is not, the points of a row along w are
shifted by an amount that depends on u and v; w is periodic then, or is made so with a period
that no term reaches across, and the sum over its images is a Fourier series in which a shift
is a phase. Rows are added up as series, which one Fourier transform at the end turns into
values.

Where u and v are periodic, smooth terms are added up on fewer points of the plane, as many as
their wavelengths need, and interpolated by trigonometric polynomials, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from .axes import CartesianFrame
from .separable import RIGHT_ANGLE, Axis, Pieces, clipped, monomials, wrapped
from .terms import TermClass, monomial_radii

#: Numbers that one temporary matrix may hold.
_TEMPORARY = 2**21

#: What is neglected of a Fourier series, in units of the tolerance of a term.
_SERIES = 0.01

#: Fourier components fall as exp(-g^2 / 4 a): this many times 2 sqrt(a) they are 1e-26.
_LAST_COMPONENT = 7.7

#: Points along an axis of the coarser planes: few sizes, so that many terms share a plane.
_SIZES = tuple(k * 2**power for power in range(2, 12) for k in (2, 3))


@dataclass(frozen=True)
class ObliqueGrid:
    """A grid in a frame of its own.

    Attributes
    ----------
    order
        Which axes of the grid are u, v and w.
    frame
        Its third axis is along w.
    origin, steps
        First point (3,) and steps along u, v, w (3, 3) in the frame.
    shape
        Points along u, v and w. Where w is skew but not folded, more than the grid has: its
        period is so long that no term reaches the grid's own points twice.
    own_w
        Points along w that the grid itself has.
    folded
        Whether both ends of u, v and w are the same.
    """

    order: tuple[int, int, int]
    frame: CartesianFrame
    origin: np.ndarray
    steps: np.ndarray
    shape: tuple[int, int, int]
    own_w: int
    folded: tuple[bool, bool, bool]

    @classmethod
    def of(
        cls,
        origin: np.ndarray,
        cell: np.ndarray,
        shape: tuple[int, int, int],
        folded: np.ndarray,
        reach: float,
    ) -> ObliqueGrid:
        """The grid for terms that reach so far, in bohr."""
        w = _third_axis(cell, folded)
        u, v = (k for k in range(3) if k != w)
        order = (u, v, w)
        # columns of the QR factor: w, then what u and v have besides
        axes = np.linalg.qr(cell[[w, u, v]].T)[0]
        axes[:, 0] *= np.sign(axes[:, 0] @ cell[w])
        frame = CartesianFrame(axes[:, [1, 2, 0]].T)
        steps = frame.components(cell[list(order)] / np.array(shape)[list(order), None])
        grid = cls(
            order,
            frame,
            frame.components(origin),
            steps,
            (shape[u], shape[v], shape[w]),
            shape[w],
            (bool(folded[u]), bool(folded[v]), bool(folded[w])),
        )
        if grid.folded[2] or not grid.has_shifts:
            return grid
        padding = int(np.ceil(2 * reach / steps[2, 2])) + 1
        return replace(grid, shape=(*grid.shape[:2], grid.shape[2] + padding))

    @property
    def has_shifts(self) -> bool:
        """Whether w is not normal to the plane of u and v."""
        return bool(np.abs(self.steps[:2, 2]).max() > RIGHT_ANGLE * np.abs(self.steps).max())

    def coarser(self, shortest: float) -> ObliqueGrid:
        """The grid with no more points along folded u and v than a wave vector, bohr^-1, needs."""
        n_u, n_v, n_w = self.shape
        edges = self.steps * np.array(self.shape)[:, None]
        # a component that has m periods along an edge has a wave vector of at least
        # 2 pi m / edge; n points tell m = -(n - 1) / 2 .. (n - 1) / 2 apart
        needed = 2 * np.floor(shortest * np.linalg.norm(edges, axis=1) / (2 * np.pi)) + 1
        sizes = [
            min([n, *(size for size in _SIZES if size >= least)]) if periodic else n
            for n, least, periodic in zip((n_u, n_v), needed, self.folded, strict=False)
        ]
        shape = (sizes[0], sizes[1], n_w)
        return replace(self, shape=shape, steps=edges / np.array(shape)[:, None])

    def plane_points(
        self, centre: np.ndarray, radius: float, rows: range
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows along w, those of images included, that pass the centre within the radius.

        Returns
        -------
        torch.Tensor
            Index u * n_v + v of the row, u counted from the start of ``rows``: shape (n,).
        torch.Tensor
            First point of the row relative to the centre, in the frame: shape (n, 3).
        """
        start = self.origin - centre
        inverse = np.linalg.inv(self.steps[:2, :2])
        middle = -start[:2] @ inverse
        reach = radius * np.linalg.norm(inverse, axis=0)
        indices = []
        for k, wanted in enumerate((rows, range(self.shape[1]))):
            index = np.arange(np.ceil(middle[k] - reach[k]), np.floor(middle[k] + reach[k]) + 1)
            inside = index % self.shape[k] if self.folded[k] else index
            used = (inside >= wanted.start) & (inside < wanted.stop)
            indices.append((index[used], inside[used].astype(int) - wanted.start))
        (u, target_u), (v, target_v) = indices
        points = start + u[:, None, None] * self.steps[0] + v[None, :, None] * self.steps[1]
        near = (points[..., :2] ** 2).sum(axis=2) <= radius**2
        if self.has_shifts and not self.folded[2]:
            # rows out of reach along w must not feel the term one period on
            length = self.steps[2, 2] * self.shape[2] - 2 * radius
            near &= (points[..., 2] <= radius) & (points[..., 2] >= -radius - length)
        target = target_u[:, None] * self.shape[1] + target_v[None, :]
        return torch.from_numpy(target[near]), torch.from_numpy(points[near])


def _third_axis(cell: np.ndarray, folded: np.ndarray) -> int:
    """The axis that is taken for w: normal to the others, or folded, or long."""
    directions = cell / np.linalg.norm(cell, axis=1)[:, None]
    cosines = np.abs(directions @ directions.T) - np.eye(3)
    normal = np.flatnonzero(cosines.max(axis=1) <= RIGHT_ANGLE)
    candidates = normal if len(normal) else np.flatnonzero(folded)
    if len(candidates):
        return int(candidates[-1])
    # not the first one, along which slabs are cut
    return 1 + int(np.argmax(np.linalg.norm(cell[1:], axis=1)))


@dataclass
class ObliqueSum:
    """The sum of terms in some planes of a grid.

    Attributes
    ----------
    grid
        Where.
    rows
        Planes along the grid's own first axis.
    dtype, device
        Of the values and of the matrix products.
    tolerance
        Of the terms, e/bohr^3.
    """

    grid: ObliqueGrid
    rows: range
    dtype: torch.dtype
    device: torch.device
    tolerance: float
    _planes: dict[tuple[int, int, int], _Planes] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        every = range(self.grid.shape[0]), range(self.grid.own_w)
        first = self.grid.order[0] == 0
        self._u, self._w = (self.rows, every[1]) if first else (every[0], self.rows)

    def add_class(self, centres: np.ndarray, terms: TermClass) -> None:
        """Add the terms of one class around some centres: (n, 3) bohr."""
        frame = self.grid.frame
        rotated = frame.terms(terms)
        grid = self.grid
        if any(grid.folded[:2]):
            grid = grid.coarser(self._shortest(rotated))
        if grid.shape not in self._planes:
            # fewer points are interpolated from all of their planes
            u = self._u if grid.shape[0] == self.grid.shape[0] else range(grid.shape[0])
            self._planes[grid.shape] = _Planes(
                grid, u, self._w, self.dtype, self.device, self.tolerance
            )
        self._planes[grid.shape].add_class(frame.components(centres), rotated)

    def values(self) -> np.ndarray:
        """In the order of the axes of the grid: shape (len(rows), ny, nz)."""
        n_u, n_v, n_w = self.grid.shape
        width = n_w // 2 + 1 if self.grid.has_shifts else len(self._w)
        dtype = self.dtype.to_complex() if self.grid.has_shifts else self.dtype
        summed = torch.zeros((len(self._u), n_v, width), dtype=dtype, device=self.device)
        while self._planes:
            shape, planes = self._planes.popitem()
            part = planes.summed.reshape(len(planes.u), shape[1], width)
            if shape[1] < n_v:
                part = _interpolation(shape[1], range(n_v), n_v).to(summed) @ part
            if shape[0] < n_u:
                matrix = _interpolation(shape[0], self._u, n_u).to(summed)
                summed.view(len(matrix), -1).addmm_(matrix, part.reshape(shape[0], -1))
            else:
                summed += part
        if self.grid.has_shifts:
            # irfft adds the conjugates, except that of the first and of the middle component
            summed[..., 1 : (n_w + 1) // 2] /= 2
            summed = torch.fft.irfft(summed, n=n_w, norm="forward")
            summed = summed[..., self._w.start : self._w.stop]
        back = np.argsort(self.grid.order).tolist()
        return summed.permute(*back).contiguous().cpu().numpy()

    def _shortest(self, terms: TermClass) -> float:
        """Length of wave vectors beyond which the terms have nothing, bohr^-1.

        The Fourier transform of S_lm(r) exp(-a r^2) is, but for a phase,
        (pi / a)^1.5 S_lm(g) exp(-g^2 / 4 a) / (2 a)^l.
        """
        edges = self.grid.steps * np.array(self.grid.shape)[:, None]
        a = terms.exponents.numpy()
        # per volume of the term or of the cell, the smaller one
        scale = np.pi**1.5 * np.maximum(1.0, 1.0 / (a**1.5 * abs(np.linalg.det(edges))))
        longest = 0.0
        for l in range(terms.l_max + 1):
            block = terms.weights[:, l * l : (l + 1) ** 2].norm(dim=1).numpy()
            bound = block * np.sqrt((2 * l + 1) / (4 * np.pi)) * scale / (2 * a) ** l
            reach = monomial_radii(1 / (4 * a), bound, l, _SERIES * self.tolerance)
            longest = max(longest, float(reach.max()))
        return longest


@dataclass
class _Planes:
    """Rows along w above some points of the plane: values, or Fourier series along w.

    Attributes
    ----------
    grid
        With as many points along u and v as there are here.
    u, w
        Indices of the points along these axes.
    summed
        Shape (len(u) * n_v, len(w) or n_w // 2 + 1).
    """

    grid: ObliqueGrid
    u: range
    w: range
    dtype: torch.dtype
    device: torch.device
    tolerance: float
    summed: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        width = self.grid.shape[2] // 2 + 1 if self.grid.has_shifts else len(self.w)
        dtype = self.dtype.to_complex() if self.grid.has_shifts else self.dtype
        rows = len(self.u) * self.grid.shape[1]
        self.summed = torch.zeros((rows, width), dtype=dtype, device=self.device)

    def add_class(self, centres: np.ndarray, terms: TermClass) -> None:
        """Add terms around centres, both in the frame."""
        found = [self.grid.plane_points(centre, terms.radius, self.u) for centre in centres]
        used = [n for n, (target, _) in enumerate(found) if len(target)]
        if not used:
            return
        weights, k, term = monomials(terms)
        factors = _Plane(weights, terms.exponents, k, term)
        if self.grid.has_shifts:
            # rows of all centres look the same
            target, points = (torch.cat([found[n][part] for n in used]) for part in (0, 1))
            self._add_series(target.to(self.device), points.to(self.device), factors, terms.radius)
            return
        factors = factors.to(self.device)
        for n in used:
            target, points = (one.to(self.device) for one in found[n])
            self._add_rows(target, points, factors, float(centres[n, 2]), terms.radius)

    # w normal to u and v -----------------------------------------------------------

    def _add_rows(
        self,
        target: torch.Tensor,
        points: torch.Tensor,
        factors: _Plane,
        centre: float,
        radius: float,
    ) -> None:
        grid = self.grid
        axis = Axis(float(grid.origin[2]), float(grid.steps[2, 2]), grid.shape[2], grid.folded[2])
        window = axis.window(centre, radius)
        pieces: Pieces = clipped(wrapped(window, axis.n), self.w)
        if not pieces:
            return
        tables = axis.tables(window, centre, radius, factors.exponents, factors.degree)
        right = tables[factors.term, factors.k].to(self.dtype)  # [(k, term), w]
        # many images of small cells share a row: they are added before the product
        folds = len(target) > len(self.summed)
        folded = right.new_zeros((len(self.summed) if folds else 0, len(right)))
        step = max(1, _TEMPORARY // (len(right) + len(window)))
        for start in range(0, len(target), step):
            chosen = slice(start, start + step)
            left = factors.values(points[chosen]).to(self.dtype)
            if folds:
                folded.index_add_(0, target[chosen], left)
                continue
            for tw, sw in pieces:
                self.summed[:, tw].index_add_(0, target[chosen], left @ right[:, sw])
        for tw, sw in pieces if folds else ():
            self.summed[:, tw].addmm_(folded, right[:, sw])

    # any direction of w --------------------------------------------------------------

    def _add_series(
        self, target: torch.Tensor, points: torch.Tensor, factors: _Plane, radius: float
    ) -> None:
        n = self.grid.shape[2]
        period = float(self.grid.steps[2, 2]) * n
        even, odd, real, imaginary = self._series(factors, radius, period)
        factors = factors.to(self.device)
        count = real.shape[1]
        step = max(1, _TEMPORARY // max(1, len(factors.k) + 3 * count))
        for start in range(0, len(target), step):
            chosen = slice(start, start + step)
            left = factors.values(points[chosen])
            rows = torch.complex(left[:, even] @ real, left[:, odd] @ imaginary)
            rows *= _phases(points[chosen, 2] * (2 * np.pi / period), count)
            self._fold(target[chosen], rows.to(self.summed.dtype))

    def _series(
        self, factors: _Plane, radius: float, period: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Functions of even and of odd k, and their series along w, as far as they matter.

        Those of even k are real: [function, q], the others the imaginary parts of such. The
        lengths are found on the processor.
        """
        k = factors.k
        largest = float(factors.exponents.max())
        last = int(_LAST_COMPONENT * 2 * np.sqrt(largest) * period / (2 * np.pi)) + 1
        series = _gaussian_series(factors.exponents, factors.degree, period, last)
        right = series[factors.term, k]  # [(k, term), q], times (-i)^k
        size = factors.bounds(radius) @ right.abs()
        needed = torch.nonzero(size > _SERIES * self.tolerance)
        count = int(needed.max()) + 1 if len(needed) else 0
        signs = torch.where(k // 2 % 2 == 0, 1.0, -1.0)[:, None]  # of (-i)^k = +-1 or -+i
        right = signs * right[:, :count]
        even, odd = (torch.nonzero(k % 2 == parity).squeeze(1) for parity in (0, 1))
        tensors = even, odd, right[even], -right[odd]
        first, second, third, fourth = (one.to(self.device) for one in tensors)
        return first, second, third, fourth

    def _fold(self, target: torch.Tensor, rows: torch.Tensor) -> None:
        """Add components q >= 0, of which those beyond the grid's own count as lower ones."""
        n, half = self.grid.shape[2], self.summed.shape[1]
        for start in range(0, rows.shape[1], n):
            part = rows[:, start : start + n]
            self.summed[:, : part.shape[1]].index_add_(0, target, part[:, :half])
            # q and q - n are one function on the grid, and that one the conjugate of n - q
            upper = part[:, half:].conj().resolve_conj().flip(1)
            low = n - part.shape[1] + 1
            if upper.shape[1]:
                self.summed[:, low : low + upper.shape[1]].index_add_(0, target, upper)


@dataclass(frozen=True)
class _Plane:
    """Functions of the plane: sum_ij C_ij x^i y^j exp(-a (x^2 + y^2)).

    Attributes
    ----------
    weights
        C[function, j, i].
    exponents
        Of the terms.
    k, term
        Power of z that belongs to each function, and its term.
    """

    weights: torch.Tensor
    exponents: torch.Tensor
    k: torch.Tensor
    term: torch.Tensor

    @property
    def degree(self) -> int:
        """Highest power of a coordinate."""
        return self.weights.shape[1] - 1

    def to(self, device: torch.device) -> _Plane:
        """The same functions on another device."""
        tensors = (self.weights, self.exponents, self.k, self.term)
        return _Plane(*(one.to(device) for one in tensors))

    def values(self, points: torch.Tensor) -> torch.Tensor:
        """Shape (n_points, n_functions), the points fastest in memory."""
        size = self.weights.shape[1]
        x, y = (_powers(points[:, axis], size) for axis in (0, 1))
        monomials = (y[:, None, :] * x[None, :, :]).reshape(size * size, -1)
        minus_r2 = -(points[:, 0] ** 2 + points[:, 1] ** 2)
        gaussians = torch.exp(self.exponents[:, None] * minus_r2)
        values = self.weights.reshape(len(self.weights), -1) @ monomials
        values *= gaussians[self.term]
        return values.T

    def bounds(self, radius: float) -> torch.Tensor:
        """What no function exceeds within a radius of the centre: shape (n_functions,)."""
        r = torch.linspace(0, radius, 100, dtype=torch.float64)[:, None]
        size = self.weights.shape[1]
        degree = torch.arange(size)[:, None] + torch.arange(size)
        monomials = r ** degree.reshape(-1)
        values = monomials @ self.weights.abs().reshape(len(self.weights), -1).T
        return (values * torch.exp(-r * r * self.exponents)[:, self.term]).amax(dim=0)


def _gaussian_series(a: torch.Tensor, degree: int, period: float, last: int) -> torch.Tensor:
    """Fourier components of the periodic sum of z^k exp(-a z^2), but for (-i)^k.

    Returns
    -------
    torch.Tensor
        [term, k, q], q = 0 .. last. Components but the first are doubled: they stand for
        their conjugates too.
    """
    g = 2 * np.pi / period * torch.arange(last + 1, dtype=torch.float64)
    a = a[:, None]
    tables = [torch.sqrt(np.pi / a) * torch.exp(-g * g / (4 * a)) / period]
    tables[0][:, 1:] *= 2
    for k in range(degree):
        # by parts: 2 a F_(k+1) = k F_(k-1) - i g F_k
        below = k * tables[k - 1] if k else 0.0
        tables.append((g * tables[k] - below) / (2 * a))
    return torch.stack(tables, dim=1)


def _powers(x: torch.Tensor, size: int) -> torch.Tensor:
    """x^i, i = 0 .. size - 1: shape (size, len(x))."""
    powers = x.new_ones((size, len(x)))
    for i in range(1, size):
        torch.mul(powers[i - 1], x, out=powers[i])
    return powers


def _interpolation(n: int, wanted: range, of: int) -> torch.Tensor:
    """Values at j / of, j in ``wanted``, of the trigonometric polynomial through n points.

    Shape (len(wanted), n). Even n: the component of n / 2 periods is left out; no function
    that is interpolated has it.
    """
    m = np.arange(-((n - 1) // 2), (n - 1) // 2 + 1)
    there = np.exp(2j * np.pi * np.array(wanted)[:, None] / of * m)
    here = np.exp(-2j * np.pi * np.arange(n)[:, None] / n * m)
    return torch.from_numpy((there @ here.T).real / n)


def _phases(angles: torch.Tensor, count: int) -> torch.Tensor:
    """exp(i q angle), q = 0 .. count - 1: shape (n, count); most of them are products."""
    inner = max(1, int(np.sqrt(count)))
    outer = -(-count // inner)
    one = angles.new_ones(1)
    few = torch.polar(one, angles[:, None] * torch.arange(inner, device=angles.device))
    many = torch.polar(one, angles[:, None] * (inner * torch.arange(outer, device=angles.device)))
    return (many[:, :, None] * few[:, None, :]).reshape(len(angles), -1)[:, :count]
