"""Values of the single functions of a basis at points. Atomic units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ...basis import Basis, NumericalShell, RadialFunction, Shell, solid_harmonics
from ...basis.radial_spline import RadialSpline
from .points import Images, compact_blocks, wrap
from .terms import monomial_radii

#: Largest ratio of the radii of the functions in one class.
_CLASS_RATIO = 1.3


@dataclass(frozen=True)
class FunctionBlock:
    """Values of the functions that reach some points.

    Attributes
    ----------
    points
        Indices of the points: shape (n,).
    functions
        Indices of the functions that are not zero at all of them, in any order: (m,).
    values
        bohr^-1.5: shape (n, m).
    """

    points: np.ndarray
    functions: np.ndarray
    values: np.ndarray


def function_blocks(
    basis: Basis,
    numbers: np.ndarray,
    positions: np.ndarray,
    points: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    *,
    tolerance: float = 1e-12,
) -> Iterator[FunctionBlock]:
    """Values of every function, its periodic images added up, at points.

    The points come in blocks that lie close together, each with the functions that reach
    it, so that neither the memory nor the work of a user grows with the square of the
    structure.

    Parameters
    ----------
    basis
        Its atomic densities play no part.
    numbers, positions
        Atomic numbers, and positions in bohr.
    points
        Shape (n, 3), bohr.
    cell, pbc
        Cell vectors in bohr, and which of them are periodic.
    tolerance
        Values below it are taken for zero, bohr^-1.5.
    """
    basis.check_known("evaluating functions")
    classes = {
        int(z): _species_classes(basis.shells[int(z)], tolerance) for z in set(numbers.tolist())
    }
    offsets = basis.offsets(numbers)
    # inside, the functions of a class stand together: whole rows are added, not single elements
    order = np.concatenate(
        [
            offset + shells.columns
            for offset, z in zip(offsets, numbers, strict=False)
            for shells in classes[int(z)]
        ]
    )
    reaches = [classes[int(z)][0].radius for z in numbers]
    points = wrap(points, cell, pbc)
    images = Images.near(positions, reaches, points, cell, pbc)
    for chosen in compact_blocks(points):
        near = points[chosen]
        values = np.zeros((len(near), offsets[-1]))
        reached = np.zeros(offsets[-1], dtype=bool)
        for atom, centre in images.touching(near):
            vectors = near - centre
            r2 = np.einsum("ij,ij->i", vectors, vectors)
            start = offsets[atom]
            for shells in classes[int(numbers[atom])]:
                rows = np.flatnonzero(r2 <= shells.radius**2)
                if len(rows) == 0:
                    break
                part = slice(start, start + len(shells.columns))
                start = part.stop
                reached[part] = True
                values[rows, part] += shells.values(vectors[rows], r2[rows])
        used = np.flatnonzero(reached)
        yield FunctionBlock(chosen, order[used], values[:, used])


@dataclass(frozen=True)
class _ShellClass:
    """Shells of one species and one kind that reach about equally far.

    Attributes
    ----------
    radius
        Beyond it (bohr) all of them are below the tolerance.
    shells
        In the order of the basis.
    starts
        Where the functions of each shell start among those of the species.
    """

    radius: float
    shells: tuple[RadialFunction, ...]
    starts: tuple[int, ...]

    @cached_property
    def columns(self) -> np.ndarray:
        """Places of the functions among those of the species."""
        return np.concatenate(
            [
                start + np.arange(2 * s.l + 1)
                for start, s in zip(self.starts, self.shells, strict=True)
            ]
        )

    @cached_property
    def _l_max(self) -> int:
        return max(shell.l for shell in self.shells)

    @cached_property
    def _harmonic(self) -> np.ndarray:
        """Column l^2 + l + m of the harmonics that each function takes."""
        return np.concatenate([np.arange(s.l**2, (s.l + 1) ** 2) for s in self.shells])

    @cached_property
    def _shell(self) -> np.ndarray:
        """Shell of each function."""
        return np.repeat(np.arange(len(self.shells)), [2 * s.l + 1 for s in self.shells])

    def values(self, vectors: np.ndarray, r2: np.ndarray) -> np.ndarray:
        """Every function at vectors from the nucleus: shape (n, n_functions)."""
        radial = self._radials(r2)
        harmonics = solid_harmonics(torch.from_numpy(vectors), self._l_max).numpy()
        return np.asarray(harmonics[:, self._harmonic] * radial[:, self._shell])

    def _radials(self, r2: np.ndarray) -> np.ndarray:
        """R / r^l of every shell at squared distances: shape (n, n_shells)."""
        raise NotImplementedError


class _GaussianClass(_ShellClass):
    """Contractions of Gaussians."""

    def _radials(self, r2: np.ndarray) -> np.ndarray:
        exponents, weights = self._contraction
        return np.asarray(np.exp(-r2[:, None] * exponents) @ weights)

    @cached_property
    def _contraction(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct exponents (n,), and their weights in each shell (n, n_shells)."""
        shells = [shell for shell in self.shells if isinstance(shell, Shell)]
        exponents = np.unique(np.concatenate([s.exponents for s in shells]))
        weights = np.zeros((len(exponents), len(shells)))
        for column, shell in enumerate(shells):
            np.add.at(
                weights[:, column], np.searchsorted(exponents, shell.exponents), shell.coefficients
            )
        return exponents, weights


class _TableClass(_ShellClass):
    """Numerical functions."""

    def _radials(self, r2: np.ndarray) -> np.ndarray:
        return self._spline.at(np.sqrt(r2))

    @cached_property
    def _spline(self) -> RadialSpline:
        tables = [shell for shell in self.shells if isinstance(shell, NumericalShell)]
        return RadialSpline.joined([table.spline for table in tables])


def _species_classes(
    shells: tuple[RadialFunction, ...], tolerance: float
) -> tuple[_ShellClass, ...]:
    """Classes of the shells of a species, from the longest to the shortest reach."""
    radii = np.array([_reach(shell, tolerance) for shell in shells])
    starts = np.concatenate([[0], np.cumsum([2 * shell.l + 1 for shell in shells])])
    classes: list[_ShellClass] = []
    for kind, one in ((_GaussianClass, Shell), (_TableClass, NumericalShell)):
        own = np.array([isinstance(shell, one) for shell in shells])
        for chosen in _similar(np.flatnonzero(own), radii):
            classes.append(
                kind(
                    float(radii[chosen].max()),
                    tuple(shells[k] for k in chosen),
                    tuple(int(starts[k]) for k in chosen),
                )
            )
    return tuple(sorted(classes, key=lambda one: -one.radius))


def _similar(indices: np.ndarray, radii: np.ndarray) -> Iterator[np.ndarray]:
    """Indices in groups whose radii differ by less than the ratio of a class."""
    left = indices[np.argsort(-radii[indices], kind="stable")]
    while len(left):
        count = int(np.sum(radii[left] >= radii[left[0]] / _CLASS_RATIO))
        yield np.sort(left[:count])
        left = left[count:]


def _reach(shell: RadialFunction, tolerance: float) -> float:
    """Where a function falls below the tolerance for good, bohr."""
    if isinstance(shell, NumericalShell):
        return shell.reach(tolerance)
    assert isinstance(shell, Shell)
    bound = np.abs(shell.coefficients) * np.sqrt((2 * shell.l + 1) / (4 * np.pi))
    radii = monomial_radii(np.array(shell.exponents), bound, shell.l, tolerance)
    return float(radii.max())
