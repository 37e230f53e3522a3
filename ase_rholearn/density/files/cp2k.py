"""Cubes that CP2K reads as an external density."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .cube import write_cube

if TYPE_CHECKING:
    from ..density import Density


def write_cp2k_density(
    path: str | os.PathLike[str], density: Density, shape: tuple[int, int, int]
) -> float:
    """Write a valence density on CP2K's own grid, as the external density of a calculation.

    CP2K takes the values as they come and does not interpolate: a cube with other points is
    wrong even where CP2K does not stop.

    Parameters
    ----------
    path
        A cube file.
    density
        Of valence electrons, with the core charges of CP2K's pseudopotentials; periodic.
    shape
        Points along each axis of CP2K's finest grid. CP2K prints them as "number of points",
        and a cube of its own density (``E_DENSITY_CUBE`` with ``STRIDE 1``) has them.

    Returns
    -------
    float
        Electrons that the sum over the grid has.

    Raises
    ------
    ValueError
        The density holds core electrons, or it is not periodic along all axes.
    """
    if density.basis.kind != "valence":
        raise ValueError(
            f"the density is {density.basis.kind}, but CP2K expects the valence electrons of its "
            "pseudopotentials: use a model or a basis of valence densities"
        )
    if not density.atoms.pbc.all():
        raise ValueError(
            f"atoms.pbc is {density.atoms.pbc.tolist()}: CP2K's grid spans its cell; set the cell "
            "of the CP2K input and pbc=True"
        )
    grid = density.on_grid(shape=shape)
    write_cube(path, density.atoms, grid, comment="Valence density for CP2K")
    return grid.integral
