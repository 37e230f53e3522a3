"""A basis for densities on a grid: as tight as it carries, as diffuse as the packing needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase import units
from ase.data import chemical_symbols

from ...basis import AtomicDensity, Basis, Shell
from .density import GridDensity
from .resolution import largest_exponent, largest_outside

#: Exponents of each l, relative to the smallest and to the largest of s: a density varies less
#: with the direction very close to a nucleus, and far away.
_LOW = (1.0, 1.0, 1.0, 1.5, 2.0, 2.5)
_HIGH = (1.0, 1.0, 0.6, 0.4, 0.3, 0.3)

#: Smallest exponent times the 2/3 power of the volume an atom has. Smaller ones reach over
#: several neighbours and improve a fit by less than a tenth, but make the metric singular.
_PACKING = 4.5

#: Smallest exponent where the volume of an atom is not known (bohr^-2), and its bounds.
_MOLECULE, _BOUNDS = 0.15, (0.1, 0.4)

#: Largest exponent where the grid would carry more (bohr^-2); enough for sodium's 2s and 2p.
_ENOUGH = 40.0


def grid_basis(
    densities: GridDensity | Iterable[GridDensity],
    *,
    beta: float = 1.8,
    l_max: int | Mapping[str, int] | None = None,
    smallest: float | Mapping[str, float] | None = None,
    largest: float | Mapping[str, float] | None = None,
    excluded_radius: float | Mapping[str, float] = 0.0,
    atomic_densities: Mapping[int, AtomicDensity] | None = None,
    name: str | None = None,
) -> Basis:
    """An even-tempered basis for one or more densities on grids.

    Parameters
    ----------
    densities
        Of one kind. The coarsest grid limits the largest exponent, and the loosest packing
        the smallest. Elements have the same core charges in all of them.
    beta
        Largest ratio of neighbouring exponents. 2.2 is cheap, 1.5 rich.
    l_max
        Highest l, for all elements or by symbol. Left out: 2 for H and He, 4 otherwise;
        bonds in solids need f and g functions.
    smallest, largest
        Exponents in bohr^-2, for all elements or by symbol, where the defaults do not suit:
        elements without semicore states need less tight functions, such as 4 for silicon.
    excluded_radius
        As in :func:`~ase_rholearn.references.grid.fit_grid`.
    atomic_densities
        Baseline of an all-electron basis, by atomic number, such as
        :func:`ase_rholearn.references.pyscf.atomic_densities` computes.
    name
        Left out: says the recipe.
    """
    given = [densities] if isinstance(densities, GridDensity) else list(densities)
    if not given:
        raise ValueError("densities is empty: give at least one GridDensity")
    if not beta > 1.0:
        raise ValueError(f"beta is {beta}: the ratio of an even-tempered ladder is larger than 1")
    kind, core_charges = _kind(given)
    spacing = max(density.spacing for density in given)
    diffuse = min(_diffuse(density) for density in given)
    shells = {}
    for z in sorted({int(z) for density in given for z in density.atoms.numbers}):
        symbol = chemical_symbols[z]
        low = float(_of(symbol, smallest, diffuse))
        radius = float(_of(symbol, excluded_radius, 0.0))
        limit = min(largest_exponent(spacing), largest_outside(radius))
        high = min(limit, float(_of(symbol, largest, _ENOUGH)))
        if not 0 < low <= high:
            raise ValueError(
                f"{symbol}: the smallest exponent is {low:.4g} bohr^-2 and the largest {high:.4g} "
                f"(a grid with a spacing of {spacing:.3f} Angstrom carries {limit:.4g}): give a "
                "finer grid, or smallest and largest"
            )
        top = int(_of(symbol, l_max, 2 if z <= 2 else 4))
        if not 0 <= top < len(_LOW):
            raise ValueError(f"l_max of {symbol} is {top}: give 0 to {len(_LOW) - 1}")
        shells[z] = tuple(
            Shell.normalized(l, [a])
            for l in range(top + 1)
            for a in _ladder(low * _LOW[l], high * _HIGH[l], beta)
        )
    return Basis(
        shells,
        dict(atomic_densities or {}),
        kind,
        {z: core_charges[z] for z in shells} if kind == "valence" else {},
        name or f"grid(beta={beta:g}, {spacing:.3f} Angstrom)",
    )


def _kind(densities: list[GridDensity]) -> tuple[Any, dict[int, float]]:
    """The kind and the core charges that all densities have in common."""
    kinds = sorted({density.kind for density in densities})
    if len(kinds) > 1:
        raise ValueError(f"densities are {' and '.join(kinds)}: give those of one kind")
    charges: dict[int, float] = {}
    for density in densities:
        for z, charge in density.core_charges.items():
            if charges.setdefault(z, charge) != charge:
                raise ValueError(
                    f"core_charges: {chemical_symbols[z]} has {charges[z]:g} and {charge:g}: give "
                    "densities that were made with the same pseudopotentials"
                )
    return kinds[0], charges


def _diffuse(density: GridDensity) -> float:
    """The smallest exponent that a structure needs, bohr^-2."""
    if not density.atoms.pbc.all():
        return _MOLECULE
    volume = density.atoms.get_volume() / units.Bohr**3 / len(density.atoms)
    return float(np.clip(_PACKING / volume ** (2 / 3), *_BOUNDS))


def _of(symbol: str, value: Any, default: float) -> Any:
    """The entry of a symbol, or the value for all."""
    if isinstance(value, Mapping):
        return value.get(symbol, default)
    return default if value is None else value


def _ladder(low: float, high: float, beta: float) -> list[float]:
    """Exponents from high to low with a constant ratio of at most beta; at least one."""
    if high <= low:
        return [high]
    steps = int(np.ceil(np.log(high / low) / np.log(beta) - 1e-9))
    return np.geomspace(high, low, steps + 1).tolist()
