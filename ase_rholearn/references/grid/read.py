"""Reading densities on a grid from the files of other codes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ase import units

from ...density import Grid, read_cube
from ...density.files.chgcar import looks_like_chgcar, read_chgcar
from .density import GridDensity

#: What the values of a cube are divided by, to be e/Angstrom^3.
_UNITS = {"e/bohr^3": units.Bohr**3, "e/Angstrom^3": 1.0}


def read_grid_density(
    path: str | os.PathLike[str],
    *,
    kind: Literal["all-electron", "valence"],
    core_charges: Mapping[Any, float] | None = None,
    periodic: bool | None = None,
    charge: int = 0,
    unit: str = "e/bohr^3",
    tolerance: float | None = None,
) -> GridDensity:
    """Read a Gaussian cube file, or a CHGCAR of VASP.

    Parameters
    ----------
    path
        The file. A CHGCAR (or CHG, AECCAR) is recognised by its content.
    kind
        ``"all-electron"``, or ``"valence"`` for codes with pseudopotentials.
    core_charges
        For valence densities: charge of nucleus and core electrons by symbol, which is the
        number of valence electrons of the pseudopotential, such as ``{"Na": 9, "Cl": 7}``.
    periodic
        Whether a cube is the cell of a crystal or a box around a molecule; a cube does not
        say. A CHGCAR is always periodic.
    charge
        Total charge of the structure.
    unit
        Of the values of a cube: ``"e/bohr^3"``, or ``"e/Angstrom^3"``, in which ASE's users
        write densities of GPAW.
    tolerance
        Electrons that the sum over the grid may be off, see
        :meth:`GridDensity.check_electrons`.

    Raises
    ------
    ValueError
        The file is damaged or no density, or its electrons do not fit the structure.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no density file {path}")
    if unit not in _UNITS:
        raise ValueError(f"unit is {unit!r}: give one of {', '.join(map(repr, _UNITS))}")
    if path.suffix.lower() not in (".cube", ".cub") and looks_like_chgcar(path):
        if periodic is False:
            raise ValueError(f"{path} is a CHGCAR, which is periodic: leave periodic out")
        atoms, grid = read_chgcar(path)
    else:
        if periodic is None:
            raise ValueError(
                f"{path} is a cube, which does not say whether it is periodic: give "
                "periodic=True for the cell of a crystal, False for a box around a molecule"
            )
        atoms, grid = read_cube(path, unit=_UNITS[unit])
        atoms.cell, atoms.pbc = (grid.cell if periodic else None), periodic
    if charge:
        atoms.info["charge"] = charge
    try:
        density = GridDensity(
            atoms, Grid(grid.values, grid.origin, grid.cell), kind, core_charges or {}
        )
        density.check_electrons(tolerance)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return density
