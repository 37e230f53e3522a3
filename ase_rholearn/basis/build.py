"""Auxiliary bases by name and by recipe. Both read PySCF's tables of published bases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from .basis import Basis
from .shells import Shell

#: Highest l of the even-tempered recipe: d on hydrogen and helium, g elsewhere.
_DEFAULT_L_MAX = {1: 2, 2: 2}
_DEFAULT_L_MAX_HEAVY = 4


def from_pyscf(name: str, species: Iterable[str | int]) -> Basis:
    """A published auxiliary basis, such as ``"def2-universal-jkfit"``.

    Contractions are kept as they are in PySCF's library.

    Parameters
    ----------
    name
        Any name that PySCF's basis library knows.
    species
        Symbols or atomic numbers.

    Raises
    ------
    ValueError
        PySCF has no such basis, or it lacks a species.
    """
    shells = {}
    for symbol in _symbols(species):
        contracted = [shell for entry in _load(name, symbol) for shell in _split(entry)]
        shells[chemical_symbols.index(symbol)] = tuple(sorted(contracted, key=lambda s: s.l))
    return Basis(shells, name=name)


def even_tempered(
    species: Iterable[str | int],
    *,
    beta: float = 2.0,
    l_max: int | Mapping[str, int] | None = None,
    orbital_basis: str = "def2-tzvp",
    largest: float | None = None,
    smallest: float | None = None,
    name: str | None = None,
) -> Basis:
    """Geometric ladders of exponents that span the products of an orbital basis.

    For every l the ladder runs from the smallest to the largest sum of two orbital
    exponents whose angular momenta add up to l, in steps of at most ``beta``.

    Parameters
    ----------
    species
        Symbols or atomic numbers.
    beta
        Largest ratio of neighbouring exponents; 1.8 and 2.0 are usual, smaller is richer.
    l_max
        Highest l, for all species or by symbol. Left out: 2 for H and He, 4 otherwise.
    orbital_basis
        The basis whose products are spanned (a PySCF name).
    largest, smallest
        Limits for exponents in bohr^-2. A deformation density needs no tight functions.
    name
        Left out: says the recipe.

    Examples
    --------
    >>> print(even_tempered(["H"], beta=2.0))
    etb(beta=2, def2-tzvp), all-electron total density: H 10s6p4d (48)
    """
    if not beta > 1.0:
        raise ValueError(f"beta is {beta}: the ratio of an even-tempered ladder is larger than 1")
    shells = {}
    for symbol in _symbols(species):
        z = chemical_symbols.index(symbol)
        top = _l_max_of(symbol, z, l_max)
        ranges = _product_ranges(_load(orbital_basis, symbol), top)
        shells[z] = tuple(
            Shell.normalized(l, [a])
            for l, (low, high) in sorted(ranges.items())
            for a in _ladder(max(low, smallest or low), min(high, largest or high), beta)
        )
    return Basis(shells, name=name or f"etb(beta={beta:g}, {orbital_basis})")


def _symbols(species: Iterable[str | int]) -> list[str]:
    symbols = [s if isinstance(s, str) else chemical_symbols[int(s)] for s in species]
    unknown = sorted(set(symbols) - set(chemical_symbols[1:]))
    if unknown or not symbols:
        raise ValueError(f"species are {symbols}: give chemical symbols or atomic numbers")
    return list(dict.fromkeys(symbols))


def _load(name: str, symbol: str) -> list[list[Any]]:
    try:
        from pyscf import gto
        from pyscf.lib.exceptions import BasisNotFoundError
    except ImportError as error:
        raise ImportError(
            "building a basis by name reads PySCF's tables: pip install 'ase-rholearn[pyscf]'"
        ) from error
    try:
        entries: list[list[Any]] = gto.basis.load(name, symbol)
    except (BasisNotFoundError, KeyError) as error:
        raise ValueError(f"PySCF has no basis {name!r} for {symbol}") from error
    return entries


def _primitives(entry: list[Any]) -> tuple[int, np.ndarray]:
    """l and the table (exponent, weights ...) of one entry of PySCF's format."""
    rows = entry[2:] if isinstance(entry[1], int) else entry[1:]
    return int(entry[0]), np.array(rows, dtype=float)


def _split(entry: list[Any]) -> list[Shell]:
    """One shell per column of contraction weights, without the primitives of weight zero."""
    l, table = _primitives(entry)
    shells = []
    for weights in table[:, 1:].T:
        used = weights != 0
        shells.append(Shell.normalized(l, table[used, 0].tolist(), weights[used].tolist()))
    return shells


def _l_max_of(symbol: str, z: int, l_max: int | Mapping[str, int] | None) -> int:
    if isinstance(l_max, int):
        return l_max
    if l_max is not None and symbol in l_max:
        return l_max[symbol]
    return _DEFAULT_L_MAX.get(z, _DEFAULT_L_MAX_HEAVY)


def _product_ranges(entries: list[list[Any]], l_max: int) -> dict[int, tuple[float, float]]:
    """Smallest and largest exponent of orbital products, for each l up to l_max."""
    limits: dict[int, tuple[float, float]] = {}
    for entry in entries:
        l, table = _primitives(entry)
        low, high = limits.get(l, (np.inf, 0.0))
        limits[l] = min(low, table[:, 0].min()), max(high, table[:, 0].max())
    ranges: dict[int, tuple[float, float]] = {}
    for l1, (low1, high1) in limits.items():
        for l2, (low2, high2) in limits.items():
            low, high = ranges.get(l1 + l2, (np.inf, 0.0))
            ranges[l1 + l2] = min(low, low1 + low2), max(high, high1 + high2)
    return {l: limit for l, limit in ranges.items() if l <= l_max}


def _ladder(low: float, high: float, beta: float) -> list[float]:
    """Exponents from high to low, their ratio constant and at most beta."""
    if high <= low:
        return [low]
    steps = int(np.ceil(np.log(high / low) / np.log(beta) - 1e-9))
    return np.geomspace(high, low, steps + 1).tolist()
