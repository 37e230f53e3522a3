"""Densities of mean atoms that are expanded in the functions of a basis. Atomic units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import chemical_symbols

from .numerical import NumericalAtomicDensity, NumericalShell, RadialFunction


def check_mean_atoms(
    mean_atoms: Mapping[int, Sequence[float]], shells: Mapping[int, Sequence[RadialFunction]]
) -> dict[int, tuple[float, ...]]:
    """Coefficients of the s functions of each species, after checks.

    Raises
    ------
    ValueError
        A species is missing or unknown, or a number is not finite or not there.
    """
    if not mean_atoms:
        return {}
    if set(map(int, mean_atoms)) != set(shells):
        raise ValueError(
            "mean_atoms are not given for the species of the basis: give one for each, or none"
        )
    checked = {}
    for z in sorted(shells):
        values = tuple(float(c) for c in mean_atoms[z])
        count = sum(shell.l == 0 for shell in shells[z])
        if len(values) != count or not np.isfinite(values).all():
            raise ValueError(
                f"mean_atoms of {chemical_symbols[z]} are {values}: give a finite coefficient for "
                f"each of its {count} s functions"
            )
        checked[z] = values
    return checked


def tabulated_atom(
    shells: Sequence[RadialFunction], coefficients: Sequence[float]
) -> NumericalAtomicDensity:
    """The spherical density sum_n c_n R_n(r) Y_00 as a table.

    Parameters
    ----------
    shells
        The s functions, all of them tables.
    coefficients
        Of each.
    """
    tables = [shell for shell in shells if isinstance(shell, NumericalShell)]
    if not tables or len(tables) < len(shells):
        raise ValueError(
            "mean atoms are tabulated from numerical s functions, which this basis has not"
        )
    r = np.unique(np.concatenate([table.r for table in tables]))
    radial = np.array([table.radial(r) for table in tables])  # [n, radius]
    values = np.asarray(coefficients) @ radial / np.sqrt(4 * np.pi)
    values[-1] = 0.0  # where the longest table ends
    return NumericalAtomicDensity(tuple(r.tolist()), tuple(values.tolist()))
