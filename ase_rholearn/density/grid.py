"""Uniform grids: where the points are, and the density on them by matrix products.

Atomic units, except :class:`Grid`, which is public and in ASE's units.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms

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

    def write(self, path: str | os.PathLike[str], atoms: Atoms) -> None:
        """Write to a file, see :func:`~ase_rholearn.density.write_grid`."""
        from .files import write_grid

        write_grid(path, atoms, self)


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
        """x^i exp(-a x^2), summed over images: shape (degree + 1, n_terms, n_points)."""
        x = self.origin + self.step * np.arange(window.start, window.stop) - centre
        total = torch.zeros((degree + 1, len(exponents), len(x)), dtype=exponents.dtype)
        for shift in self._image_shifts(x, radius):
            moved = torch.from_numpy(x + shift).to(exponents.dtype)
            gaussian = torch.exp(-exponents[:, None] * moved * moved)
            for power in range(degree + 1):
                total[power] += gaussian
                gaussian = gaussian * moved
        return total

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
    degree = terms.l_max
    x, y, z = (
        axis.tables(window, c, terms.radius, terms.exponents, degree)
        for axis, window, c in zip(axes, windows, centre, strict=True)
    )  # each [power, term, point]
    cartesian = _cartesian_weights(terms)  # [i, j, k, term]
    columns = [(k, _columns(cartesian[:, :, k])) for k in range(degree + 1)]
    # [(k, term), z] of the terms that have power k
    right = torch.cat([z[k][used] for k, used in columns])
    rows = max(1, _TEMPORARY // (len(windows[1]) * (len(right) + len(windows[2]))))
    for start in range(0, len(windows[0]), rows):
        part = slice(start, start + rows)
        left = torch.cat(
            [
                # [x, y, term] = sum_ij C_ijk,term x^i y^j
                torch.einsum(
                    "ijt,itx,jty->xyt", cartesian[:, :, k][..., used], x[:, used, part], y[:, used]
                )
                for k, used in columns
            ],
            dim=2,
        )
        box = (left.reshape(-1, left.shape[2]) @ right).reshape(*left.shape[:2], -1)
        _add_box(values, box, [windows[0][part], windows[1], windows[2]])


def _columns(weights: torch.Tensor) -> torch.Tensor:
    """Indices of the terms that have any weight: weights [i, j, term] -> [n_used]."""
    return torch.nonzero(weights.abs().amax(dim=(0, 1))).squeeze(1)


def _cartesian_weights(terms: TermClass) -> torch.Tensor:
    """Weights of monomials x^i y^j z^k: shape (l_max + 1,) * 3 + (n_terms,)."""
    size = terms.l_max + 1
    total = torch.zeros((size, size, size, len(terms.exponents)), dtype=terms.weights.dtype)
    for l in range(size):
        polynomials = _polynomials(l).to(terms.weights.dtype)
        block = terms.weights[:, l * l : (l + 1) ** 2]
        total[: l + 1, : l + 1, : l + 1] += torch.einsum("tm,mijk->ijkt", block, polynomials)
    return total


def _polynomials(l: int) -> torch.Tensor:
    if l not in _POLYNOMIALS:
        _POLYNOMIALS[l] = torch.from_numpy(harmonic_polynomials(l))
    return _POLYNOMIALS[l]


_POLYNOMIALS: dict[int, torch.Tensor] = {}


def _add_box(values: torch.Tensor, box: torch.Tensor, windows: Sequence[range]) -> None:
    """Add a box to the grid; windows of periodic axes wrap around."""
    pieces = [_wrapped(window, n) for window, n in zip(windows, values.shape, strict=True)]
    for tx, sx in pieces[0]:
        for ty, sy in pieces[1]:
            for tz, sz in pieces[2]:
                values[tx, ty, tz] += box[sx, sy, sz]


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
