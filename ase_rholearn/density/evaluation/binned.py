"""Density, gradient and what goes back through them, at many points. Atomic units.

Around each atom the density is sum_lm g_lm(r^2) S_lm(r) with radial functions that are long sums
of Gaussians. Here the points are sorted by their distance from the atom into bins, in each of which
every g_lm and its derivatives by r^2 are polynomials of r^2: instead of some eighty exponentials a
point, a matrix product with thirteen powers. They are right to some 1e-11 of each Gaussian.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from ...basis import Basis, harmonic_rows
from ...basis.harmonics import harmonic_derivatives
from .terms import SpeciesTable, term_radii

#: Ratio of the ends of a bin, squared distances, and the end of the first bin (bohr^2).
_RATIO, _FIRST = 1.5, 1e-7

#: Degree of the polynomials.
_DEGREE = 12

#: Points of a bin that are worked on at once: arrays of some 200 rows stay in the cache.
_CHUNK = 4096

#: Bound for what a term is worth where it is left out, e/bohr^3.
_TOLERANCE = 1e-11


@dataclass(frozen=True)
class LinearForm:
    """Derivatives of a sum over points, sum_g u_g rho(r_g) + v_g . grad rho(r_g).

    Attributes
    ----------
    points
        By the positions of the points: (n, 3).
    atoms
        By the positions of the atoms, whose functions move along: (natoms, 3).
    coefficients
        By the coefficients: (size,).
    """

    points: np.ndarray
    atoms: np.ndarray
    coefficients: np.ndarray


@dataclass(frozen=True)
class BinnedDensity:
    """A density of Gaussians at points, for molecules.

    Attributes
    ----------
    basis
        With or without atomic densities.
    numbers, positions
        Atomic numbers, and positions in bohr.
    coefficients
        Flat vector in e/bohr^1.5.
    """

    basis: Basis
    numbers: np.ndarray
    positions: np.ndarray
    coefficients: np.ndarray

    def values(self, points: np.ndarray, *, gradient: bool) -> np.ndarray:
        """Rows rho, d rho/dx, d rho/dy, d rho/dz at points (n, 3), or rho alone: (4 or 1, n)."""
        rows = np.zeros((4 if gradient else 1, len(points)))
        for centre, atom in zip(self.positions, self._atoms, strict=True):
            for chosen, vectors, bin_ in atom.binned(points - centre):
                rows[:, chosen] += bin_.values(vectors, gradient)
        return rows

    def derivatives(self, points: np.ndarray, fields: np.ndarray) -> LinearForm:
        """Of the sum over points of fields times rows, u alone or u and v: (1 or 4, n)."""
        by_point = np.zeros((3, len(points)))
        by_atom = np.zeros((len(self.numbers), 3))
        by_coefficient = np.zeros_like(self.coefficients)
        offsets = self.basis.offsets(self.numbers)
        for index, atom in enumerate(self._atoms):
            moments: dict[int, np.ndarray] = {}
            for chosen, vectors, bin_ in atom.binned(points - self.positions[index]):
                slopes, found = bin_.derivatives(vectors, fields[:, chosen])
                by_point[:, chosen] += slopes
                by_atom[index] -= slopes.sum(axis=1)
                moments[bin_.index] = moments.get(bin_.index, 0.0) + found
            z = int(self.numbers[index])
            size = self.basis.sizes[z]
            found = self._tables[z].pull_back(atom.by_weight(moments), size)
            by_coefficient[offsets[index] : offsets[index] + size] = found
        return LinearForm(by_point.T, by_atom, by_coefficient)

    @cached_property
    def _tables(self) -> dict[int, SpeciesTable]:
        return {
            int(z): SpeciesTable.of(self.basis, int(z), baseline=True) for z in set(self.numbers)
        }

    @cached_property
    def _atoms(self) -> list[_Atom]:
        offsets = self.basis.offsets(self.numbers)
        atoms = []
        for index, z in enumerate(self.numbers.tolist()):
            table = self._tables[z]
            own = self.coefficients[offsets[index] : offsets[index] + self.basis.sizes[z]]
            weights = table.weights(np.stack([own, np.ones_like(own)]))
            atoms.append(_Atom(table.exponents, weights[0], np.abs(weights).max(axis=0)))
        return atoms


@dataclass(frozen=True)
class _Atom:
    """exp(-a_k r^2) sum_lm p_k,lm S_lm(r), summed over k, with polynomials in bins of r^2.

    Attributes
    ----------
    exponents
        a_k: (n_terms,).
    weights
        p_k,lm: (n_terms, (l_max + 1)^2).
    bounds
        What decides how far a term reaches, of the same shape: at least the weights of
        coefficients of one, for derivatives by coefficients that are zero.
    """

    exponents: np.ndarray
    weights: np.ndarray
    bounds: np.ndarray

    def binned(self, vectors: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, _Bin]]:
        """Chunks of the points within reach: their indices, vectors from the atom, and bin."""
        r2 = np.einsum("nx,nx->n", vectors, vectors)
        near = np.flatnonzero(r2 < self._ends[-1])
        index = np.searchsorted(self._ends, r2[near], side="right").astype(np.int16)
        near = near[np.argsort(index, kind="stable")]
        counts = np.bincount(index, minlength=len(self._ends))
        stop = 0
        for one in np.flatnonzero(counts):
            start, stop = stop, stop + counts[one]
            for first in range(start, stop, _CHUNK):
                chosen = near[first : min(first + _CHUNK, stop)]
                yield chosen, vectors[chosen], self._bin(int(one))

    @cached_property
    def _radii(self) -> np.ndarray:
        """Beyond which the terms of each l are left out: (l_max + 1,)."""
        l_max = round(self.weights.shape[1] ** 0.5) - 1
        radii = []
        for l in range(l_max + 1):
            only = np.zeros_like(self.bounds)
            only[:, l * l : (l + 1) ** 2] = self.bounds[:, l * l : (l + 1) ** 2]
            radii.append(term_radii(self.exponents, only, _TOLERANCE).max())
        return np.array(radii)

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where bins end: (n_bins,), bohr^2."""
        farthest = max(self._radii.max() ** 2, _FIRST)
        n = int(np.ceil(np.log(farthest / _FIRST) / np.log(_RATIO)))
        return np.asarray(_FIRST * _RATIO ** np.arange(n + 1))

    @cached_property
    def _bins(self) -> dict[int, _Bin]:
        return {}

    def _bin(self, index: int) -> _Bin:
        if index not in self._bins:
            low = self._ends[index - 1] if index else 0.0
            reaching = np.flatnonzero(self._radii**2 > low)
            # none reaches where the outermost bin begins only if there is a single bin
            l_max = int(reaching[-1]) if len(reaching) else 0
            self._bins[index] = _Bin.of(self, index, low, self._ends[index], l_max)
        return self._bins[index]

    def by_weight(self, moments: dict[int, np.ndarray]) -> np.ndarray:
        """Derivatives by all weights, from the moments of each bin."""
        total = np.zeros_like(self.weights)
        for index, found in moments.items():
            bin_ = self._bin(index)
            total[bin_.kept, : (bin_.l_max + 1) ** 2] += bin_.by_weight(found)
        return total


@dataclass(frozen=True)
class _Bin:
    """One bin of one atom.

    Attributes
    ----------
    index
        Its place among the bins.
    low, high
        Ends, bohr^2.
    exponents
        a_k of those Gaussians that are not zero here: (k,).
    kept
        Which of the atom's they are: (n_terms,).
    weights
        p_k,lm: (k, (l_max + 1)^2), up to the l that reaches here.
    gaussians
        Polynomials of each of them: (degree + 1, k).
    """

    index: int
    low: float
    high: float
    exponents: np.ndarray
    kept: np.ndarray
    weights: np.ndarray
    gaussians: np.ndarray

    @classmethod
    def of(cls, atom: _Atom, index: int, low: float, high: float, l_max: int) -> _Bin:
        kept = atom.exponents * low < 60.0
        a = atom.exponents[kept]
        nodes, inverse = _interpolation()
        x = 0.5 * (low + high) + 0.5 * (high - low) * nodes
        gaussians = inverse @ np.exp(-np.outer(x, a))
        return cls(index, low, high, a, kept, atom.weights[kept, : (l_max + 1) ** 2], gaussians)

    @property
    def l_max(self) -> int:
        return round(self.weights.shape[1] ** 0.5) - 1

    @cached_property
    def _steep(self) -> np.ndarray:
        """Weights of the derivative by r^2."""
        return np.asarray(-self.exponents[:, None] * self.weights)

    @cached_property
    def _first(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Polynomials of g, g' and of g slopes: (degree + 1, rows), (..., rows), (..., 3 rows')."""
        slopes = _slopes(self.l_max)
        g, steep = self.gaussians @ self.weights, self.gaussians @ self._steep
        return g, steep, np.concatenate([g @ slope for slope in slopes], axis=1)

    @cached_property
    def _value_columns(self) -> np.ndarray:
        """g, then g' and g slopes: (rows, degree + 1)."""
        return np.ascontiguousarray(np.concatenate(self._first, axis=1).T)

    @cached_property
    def _slope_columns(self) -> np.ndarray:
        """g', g slopes, g'', g' slopes, g second slopes."""
        _, steep, along = self._first
        slopes, below = _slopes(self.l_max), _slopes(max(self.l_max - 1, 0))
        steeper = self.gaussians @ (-self.exponents[:, None] * self._steep)
        steep_along = np.concatenate([steep @ slope for slope in slopes], axis=1)
        width = along.shape[1] // 3
        parts = [along[:, x * width : (x + 1) * width] for x in range(3)]
        second = [parts[x] @ below[y] for x, y in _PAIRS] if self.l_max > 1 else []
        return np.ascontiguousarray(
            np.concatenate([steep, along, steeper, steep_along, *second], axis=1).T
        )

    def _powers(self, r2: np.ndarray) -> np.ndarray:
        """Of the place in the bin, -1 to 1: (degree + 1, n)."""
        powers = np.empty((_DEGREE + 1, len(r2)))
        powers[0] = 1.0
        np.subtract(r2, 0.5 * (self.low + self.high), out=powers[1])
        powers[1] *= 2 / (self.high - self.low)
        for k in range(2, _DEGREE + 1):
            np.multiply(powers[k - 1], powers[1], out=powers[k])
        return powers

    def values(self, vectors: np.ndarray, gradient: bool) -> np.ndarray:
        """Rows rho, and its gradient, of this atom: (4 or 1, n)."""
        harmonics = harmonic_rows(vectors, self.l_max)
        powers = self._powers(np.einsum("nx,nx->n", vectors, vectors))
        rows, lower = len(harmonics), self.l_max**2
        if not gradient:
            radial = self._value_columns[:rows] @ powers
            return np.asarray(np.einsum("ln,ln->n", radial, harmonics)[None])
        radial = self._value_columns @ powers
        result = np.empty((4, len(vectors)))
        np.einsum("ln,ln->n", radial[:rows], harmonics, out=result[0])
        steep = 2 * np.einsum("ln,ln->n", radial[rows : 2 * rows], harmonics)
        for x in range(3):
            np.multiply(steep, vectors[:, x], out=result[1 + x])
            if lower:
                part = radial[2 * rows + x * lower :][:lower]
                result[1 + x] += np.einsum("ln,ln->n", part, harmonics[:lower])
        return result

    def derivatives(self, vectors: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """u grad rho + (grad grad rho) v of this atom at each point, (3, n), and moments.

        Those are the sums over points of u, the components of v, and v . r, times harmonics and
        powers: (1 or 5, degree + 1, rows). :meth:`by_weight` makes derivatives of them.
        """
        harmonics = harmonic_rows(vectors, self.l_max)
        powers = self._powers(np.einsum("nx,nx->n", vectors, vectors))
        r = np.ascontiguousarray(vectors.T)
        if len(fields) > 1:
            fields = np.concatenate([fields, np.einsum("xn,xn->n", r, fields[1:])[None]])
        slopes = self._contracted_slopes(harmonics, self._slope_columns @ powers, r, fields)
        weighted = (fields[:, None] * powers).reshape(-1, len(vectors))
        moments = (weighted @ harmonics.T).reshape(len(fields), _DEGREE + 1, -1)
        return slopes, moments

    def _contracted_slopes(
        self, harmonics: np.ndarray, radial: np.ndarray, r: np.ndarray, fields: np.ndarray
    ) -> np.ndarray:
        """u grad rho + (grad grad rho) v: (3, n)."""
        rows, lower, lowest = len(harmonics), self.l_max**2, max(self.l_max - 1, 0) ** 2

        def summed(start: int, width: int, count: int = 1) -> np.ndarray:
            part = radial[start : start + count * width].reshape(count, width, r.shape[1])
            return np.asarray(np.einsum("cln,ln->cn", part, harmonics[:width]))

        steep = summed(0, rows)[0]  # sum g' S
        along = summed(rows, lower, 3)  # sum g grad S
        result = fields[0] * (2 * steep * r + along)
        if len(fields) == 1:
            return np.asarray(result)
        v, rv = fields[1:4], fields[4]
        start = rows + 3 * lower
        steeper = summed(start, rows)[0]  # sum g'' S
        steep_along = summed(start + rows, lower, 3)  # sum g' grad S
        inward = 4 * rv * steeper + 2 * np.einsum("xn,xn->n", v, steep_along)
        result += 2 * v * steep + inward * r + 2 * rv * steep_along
        second = summed(start + rows + 3 * lower, lowest, len(_PAIRS))  # sum g grad grad S
        for (x, y), values in zip(_PAIRS, second, strict=True):
            result[x] += values * v[y]
            if x != y:
                result[y] += values * v[x]
        return np.asarray(result)

    def by_weight(self, moments: np.ndarray) -> np.ndarray:
        """Derivatives by the weights of the Gaussians kept, from :meth:`derivatives`: (k, rows)."""
        found = np.einsum("jk,fjl->fkl", self.gaussians, moments, optimize=True)
        result = found[0]
        if len(found) > 1:
            for slope, along in zip(_slopes(self.l_max), found[1:4], strict=True):
                result += along[:, : slope.shape[1]] @ slope.T
            result -= 2 * self.exponents[:, None] * found[4]
        return np.asarray(result)


@cache
def _slopes(l_max: int) -> tuple[np.ndarray, ...]:
    """Matrices of d S_lm / dx_i in terms of lower harmonics: three of (rows, l_max^2)."""
    return tuple(matrix[:, : l_max**2] for matrix in harmonic_derivatives(l_max).numpy())


@cache
def _interpolation() -> tuple[np.ndarray, np.ndarray]:
    """Nodes in (-1, 1), and the matrix from values there to coefficients of powers."""
    nodes = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    return nodes, np.linalg.inv(np.vander(nodes, increasing=True))


#: Elements of a symmetric matrix.
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
