"""VASP: a CHGCAR for ICHARG = 1."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from ...density import Density
from ...density.files import write_chgcar
from .valence import check_valence


def potcar_charges(path: str | os.PathLike[str]) -> dict[str, float]:
    """ZVAL of each element of a POTCAR, in the order of the file.

    Raises
    ------
    ValueError
        The file is no POTCAR, or it has two numbers for an element.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    text = path.read_text(encoding="ascii", errors="replace")
    elements = re.findall(r"VRHFIN\s*=\s*([A-Z][a-z]?)", text)
    values = [float(value) for value in re.findall(r"ZVAL\s*=\s*([\d.]+)", text)]
    if not values or len(elements) != len(values):
        raise ValueError(
            f"{path} is no POTCAR: it has {len(elements)} entries VRHFIN (elements) and "
            f"{len(values)} ZVAL (valence electrons)"
        )
    charges: dict[str, float] = {}
    for element, value in zip(elements, values, strict=True):
        if charges.setdefault(element, value) != value:
            raise ValueError(
                f"{path} has ZVAL {charges[element]:g} and {value:g} for {element}: a density has "
                "one number of valence electrons for an element"
            )
    return charges


def write_vasp_start(
    path: str | os.PathLike[str],
    density: Density,
    shape: tuple[int, int, int],
    potentials: Mapping[str, float] | str | os.PathLike[str],
) -> float:
    """Write a CHGCAR that VASP starts from, with ``ICHARG = 1``.

    VASP also wants the occupancies inside the PAW spheres, which no density holds: they are not
    in the file, see :func:`~ase_rholearn.density.write_chgcar`.

    Parameters
    ----------
    path
        The file; it appears complete or not at all.
    density
        Of VASP's valence electrons; atoms in the order of the POSCAR.
    shape
        VASP's fine grid: NGXF, NGYF, NGZF.
    potentials
        A POTCAR, or valence electrons by chemical symbol.

    Returns
    -------
    float
        Electrons that the sum over the grid has.

    Raises
    ------
    ValueError
        The density is all-electron, not periodic or has other numbers of valence electrons; both
        are named. The order of the atoms is not that of the POTCAR.
    """
    atoms = density.atoms
    if isinstance(potentials, Mapping):
        check_valence(density, potentials, "VASP")
    else:
        charges = potcar_charges(potentials)
        check_valence(density, charges, "VASP")
        order = [symbol for symbol, _ in groupby(atoms.symbols)]
        if order != list(charges):
            raise ValueError(
                f"the atoms come as {' '.join(order)}, the POTCAR has {' '.join(charges)}: VASP "
                "takes both in one order; sort the atoms, or the POTCAR"
            )
    grid = density.on_grid(shape=shape)
    write_chgcar(path, atoms, grid)
    return grid.integral
