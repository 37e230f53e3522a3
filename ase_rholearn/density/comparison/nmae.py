"""Normalised mean absolute error of densities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from ..density import Density
from ..evaluation.points import completed_cell
from ..evaluation.quadrature import molecular_quadrature

if TYPE_CHECKING:
    from ..difference import DensityDifference

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

    Of two densities the norm is the number of electrons in closed form.

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
        change = density - reference
        error, _ = _integrals(density, change.evaluate, change, level, spacing, core)
        return 100 * error / reference.number_of_electrons
    error, norm = _integrals(density, reference, None, level, spacing, core)
    return 100 * error / norm


def _integrals(
    density: Density,
    values: Values,
    change: DensityDifference | None,
    level: int,
    spacing: float,
    core: str | None,
) -> tuple[float, float]:
    """Integrals of |density - reference| and of the reference.

    ``values`` are those of the change, if there is one, and of the reference otherwise; the
    second integral is wanted only then.
    """
    if density.atoms.pbc.any():
        return _on_grid(density, values, change, spacing, core)
    numbers, positions = density.atoms.numbers, density.atoms.positions / units.Bohr
    error = norm = 0.0
    for points, weights in molecular_quadrature(numbers, positions, level):
        angstrom = points * units.Bohr
        found = values(angstrom)
        difference = found if change else density.evaluate(angstrom) - found
        error += float(weights @ np.abs(difference))
        norm += float(weights @ found)
    # weights are in bohr^3
    return error * units.Bohr**3, norm * units.Bohr**3


def _on_grid(
    density: Density,
    values: Values,
    change: DensityDifference | None,
    spacing: float,
    core: str | None,
) -> tuple[float, float]:
    if core is None:
        core = "voxel-average" if change and _has_right_angles(density) else "point"
    frame = density.frame(spacing)
    if change:
        difference = change.on_frame(frame, core=core)
        return float(np.abs(difference.values).sum() * frame.voxel_volume), 0.0
    if core != "point":
        raise ValueError(
            f"core is {core!r} but the reference is a function, which has values at points "
            'only: use core="point"'
        )
    found = values(frame.points().reshape(-1, 3)).reshape(frame.shape)
    error = np.abs(density.on_frame(frame).values - found).sum() * frame.voxel_volume
    return float(error), float(found.sum() * frame.voxel_volume)


def _has_right_angles(density: Density) -> bool:
    """Whether a grid over the cell has axes along x, y and z, in any order."""
    cell = completed_cell(density.atoms.cell.array, density.atoms.pbc)
    directions = np.abs(cell / np.linalg.norm(cell, axis=1)[:, None])
    return bool(np.abs(directions - directions.round()).max() < _RIGHT)
