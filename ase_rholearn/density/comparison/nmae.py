"""Normalised mean absolute error of densities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import units

from ..density import Density
from ..evaluation.points import completed_cell
from ..evaluation.quadrature import molecular_quadrature
from .expansion import share_functions

Values = Callable[[np.ndarray], np.ndarray]

#: Cosine of an angle that counts as right.
_RIGHT = 1e-8


def nmae(
    density: Density,
    reference: Density | Values,
    *,
    level: int = 3,
    spacing: float = 0.1,
    core: str | None = None,
) -> float:
    r"""Normalised mean absolute error in percent.

    .. math:: 100 \int |\rho - \rho_{ref}| / \int \rho_{ref}

    Of densities on the same structure and basis only the difference of the coefficients is
    evaluated, and the norm is the number of electrons in closed form.

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
    core
        Of that grid, see :meth:`Density.on_grid`. Left out: ``"voxel-average"``, with which the
        electrons of the cores count whole, where it is possible, which is for two densities in a
        cell with right angles; ``"point"`` otherwise.

    Raises
    ------
    ValueError
        The densities have different periods, or an option is bad.
    """
    if isinstance(reference, Density):
        _ = density - reference  # different periods are refused
        if share_functions(density, reference):
            change = _change(density, reference)
            error = _absolute_error(change, None, level, spacing, core)[0]
            return 100 * error / reference.number_of_electrons
    error, norm = _absolute_error(density, reference, level, spacing, core)
    return 100 * error / norm


def _change(density: Density, reference: Density) -> Density:
    """``density - reference`` as one expansion, without the atomic densities."""
    basis = density.basis.with_atomic_densities({})
    coefficients = density.coefficients - reference.coefficients
    return Density(density.atoms, basis, coefficients, normalize=False)


def _absolute_error(
    density: Density,
    reference: Density | Values | None,
    level: int,
    spacing: float,
    core: str | None,
) -> tuple[float, float]:
    """Integrals of |density - reference| and of the reference, which is zero for None."""
    if density.atoms.pbc.any():
        return _on_grid(density, reference, spacing, core)
    values = reference.evaluate if isinstance(reference, Density) else reference
    numbers, positions = density.atoms.numbers, density.atoms.positions / units.Bohr
    error = norm = 0.0
    for points, weights in molecular_quadrature(numbers, positions, level):
        angstrom = points * units.Bohr
        expected = np.zeros(len(points)) if values is None else values(angstrom)
        error += float(weights @ np.abs(density.evaluate(angstrom) - expected))
        norm += float(weights @ expected)
    # weights are in bohr^3
    return error * units.Bohr**3, norm * units.Bohr**3


def _on_grid(
    density: Density, reference: Density | Values | None, spacing: float, core: str | None
) -> tuple[float, float]:
    smooth = reference is None or isinstance(reference, Density)
    if core is None:
        core = "voxel-average" if smooth and _has_right_angles(density) else "point"
    if core != "point" and not smooth:
        raise ValueError(
            f"core is {core!r} but the reference is a function, which has values at points "
            'only: use core="point"'
        )
    grid = density.on_grid(spacing, core=core)
    expected: np.ndarray = np.zeros(grid.shape)
    if isinstance(reference, Density):
        expected = reference.on_frame(grid, core=core).values
    elif reference is not None:
        expected = reference(grid.points().reshape(-1, 3)).reshape(grid.shape)
    error = np.abs(grid.values - expected).sum() * grid.voxel_volume
    return float(error), float(expected.sum() * grid.voxel_volume)


def _has_right_angles(density: Density) -> bool:
    """Whether a grid over the cell has axes along x, y and z, in any order."""
    cell = completed_cell(density.atoms.cell.array, density.atoms.pbc)
    directions = np.abs(cell / np.linalg.norm(cell, axis=1)[:, None])
    return bool(np.abs(directions - directions.round()).max() < _RIGHT)
