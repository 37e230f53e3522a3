"""The difference of two densities, and how far apart they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms, units

from .density import TOLERANCE, Density
from .evaluation.quadrature import molecular_quadrature
from .frame import grid_frame
from .grid import Grid
from .pictures.plane import Drawable


class DensityDifference(Drawable):
    """``first - second``; it can be evaluated like a density.

    The structures may differ, but not their periods.

    Parameters
    ----------
    first, second
        Two densities.

    Attributes
    ----------
    first, second : Density
    atoms : ase.Atoms
        The structure of ``first``.
    """

    _signed = True

    def __init__(self, first: Density, second: Density) -> None:
        _check_same_periods(first.atoms, second.atoms)
        self.atoms = first.atoms
        self.first = first
        self.second = second

    @property
    def number_of_electrons(self) -> float:
        """Electrons that ``first`` has more than ``second``."""
        return self.first.number_of_electrons - self.second.number_of_electrons

    def dipole(self) -> np.ndarray:
        """Difference of the dipole moments: (3,) e Angstrom."""
        return self.first.dipole() - self.second.dipole()

    def evaluate(self, points: Any, *, tolerance: float = TOLERANCE) -> np.ndarray:
        """Value at points (n, 3) in Angstrom: shape (n,), e/Angstrom^3."""
        first = self.first.evaluate(points, tolerance=tolerance)
        return first - self.second.evaluate(points, tolerance=tolerance)

    def gradient(self, points: Any, *, tolerance: float = TOLERANCE) -> np.ndarray:
        """Gradient at points (n, 3) in Angstrom: shape (n, 3), e/Angstrom^4."""
        first = self.first.gradient(points, tolerance=tolerance)
        return first - self.second.gradient(points, tolerance=tolerance)

    def on_grid(
        self,
        spacing: float = 0.1,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
        tolerance: float = TOLERANCE,
    ) -> Grid:
        """Values on a grid that holds both structures, see :meth:`Density.on_grid`."""
        frame = grid_frame(self.first.atoms + self.second.atoms, spacing, margin, shape)
        first = self.first.on_frame(frame, tolerance=tolerance)
        second = self.second.on_frame(frame, tolerance=tolerance)
        return Grid(first.values - second.values, frame.origin, frame.cell)


def nmae(
    density: Density,
    reference: Density | Callable[[np.ndarray], np.ndarray],
    *,
    level: int = 3,
    spacing: float = 0.1,
) -> float:
    r"""Normalised mean absolute error in percent.

    .. math:: 100 \int |\rho - \rho_{ref}| / \int \rho_{ref}

    Parameters
    ----------
    density
        The density to judge. Its structure and periods define the quadrature.
    reference
        Another density, or a function of points (n, 3) in Angstrom that gives
        e/Angstrom^3.
    level
        Quality of the atom-centred quadrature of molecules, 0 to 5.
    spacing
        Of the uniform grid that is used for periodic structures, Angstrom.
    """
    values = reference.evaluate if isinstance(reference, Density) else reference
    if isinstance(reference, Density):
        _check_same_periods(density.atoms, reference.atoms)
    error = norm = 0.0
    if density.atoms.pbc.any():
        grid = density.on_grid(spacing)
        expected = (
            reference.on_frame(grid).values
            if isinstance(reference, Density)
            else values(grid.points().reshape(-1, 3)).reshape(grid.shape)
        )
        return float(100 * np.abs(grid.values - expected).sum() / expected.sum())
    numbers, positions = density.atoms.numbers, density.atoms.positions / units.Bohr
    for points, weights in molecular_quadrature(numbers, positions, level):
        angstrom = points * units.Bohr
        expected = values(angstrom)
        error += float(weights @ np.abs(density.evaluate(angstrom) - expected))
        norm += float(weights @ expected)
    return 100 * error / norm


def _check_same_periods(first: Atoms, second: Atoms) -> None:
    same = (first.pbc == second.pbc).all() and np.allclose(
        first.cell.array[first.pbc], second.cell.array[second.pbc]
    )
    if not same:
        raise ValueError(
            f"the densities have different periods: pbc {first.pbc.tolist()} and "
            f"{second.pbc.tolist()}, cells {first.cell.array.tolist()} and "
            f"{second.cell.array.tolist()}; give both the same pbc and cell"
        )
