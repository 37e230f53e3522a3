"""Auxiliary bases by name and by recipe. Both read PySCF's tables of published bases."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from .basis import Basis
from .shells import Shell

#: Exponents of the recipe for hydrogen and helium, and for the other elements, by l. The
#: smallest is this many times 2 a_min, where a_min is the smallest exponent of the orbital
#: basis; the largest is in bohr^-2, and in units of Z^2 for the other elements. Chosen on
#: deformation densities of water and small organic molecules (PBE/def2-TZVP): tighter or
#: more diffuse functions, and those of higher l, improve a fit by less than a tenth.
_LIGHT = {0: (0.75, 20.0), 1: (1.2, 6.0), 2: (2.9, 2.6)}
_HEAVY = {
    0: (0.6, 1.9),
    1: (0.6, 0.8),
    2: (0.75, 0.31),
    3: (1.4, 0.055),
    4: (2.0, 0.042),
    5: (2.6, 0.042),
}

#: Highest l of the recipe for hydrogen and helium, and for the other elements.
_L_MAX_LIGHT, _L_MAX_HEAVY = 2, 4


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
    limits: Mapping[str, Mapping[int, tuple[float, float]]] | None = None,
    name: str | None = None,
) -> Basis:
    """Geometric ladders of exponents for deformation densities.

    Such densities have no cusps, so that the ladders need no tight functions, but they need
    d functions on hydrogen and g functions on heavier atoms.

    Parameters
    ----------
    species
        Symbols or atomic numbers.
    beta
        Largest ratio of neighbouring exponents; 1.8 to 2.2 are usual, smaller is richer.
    l_max
        Highest l, for all species or by symbol. Left out: 2 for H and He, 4 otherwise.
    orbital_basis
        A PySCF name. Its most diffuse function decides how far the ladders reach out.
    limits
        Smallest and largest exponent in bohr^-2, by symbol and l, instead of the recipe's:
        ``{"H": {0: (0.1, 30.0)}}``.
    name
        Left out: says the recipe.

    Examples
    --------
    >>> print(even_tempered(["H", "O"]))
    etb(beta=2, def2-tzvp), all-electron total density: H 9s6p4d (47), O 11s9p8d4f3g (133)
    """
    if not beta > 1.0:
        raise ValueError(f"beta is {beta}: the ratio of an even-tempered ladder is larger than 1")
    shells = {}
    for symbol in _symbols(species):
        z = chemical_symbols.index(symbol)
        ranges = _recipe(z, orbital_basis, _l_max_of(symbol, z, l_max))
        ranges.update((limits or {}).get(symbol, {}))
        shells[z] = tuple(
            Shell.normalized(l, [a])
            for l, (low, high) in sorted(ranges.items())
            for a in _ladder(low, high, beta)
        )
    return Basis(shells, name=name or f"etb(beta={beta:g}, {orbital_basis})")


def _recipe(z: int, orbital_basis: str, l_max: int) -> dict[int, tuple[float, float]]:
    """Smallest and largest exponent for each l."""
    table, scale = (_LIGHT, 1.0) if z <= 2 else (_HEAVY, float(z * z))
    if not 0 <= l_max <= max(_HEAVY):
        raise ValueError(f"l_max is {l_max}: the recipe knows 0 to {max(_HEAVY)}; use limits")
    entries = _load(orbital_basis, chemical_symbols[z])
    diffuse = 2 * min(float(_primitives(entry)[1][:, 0].min()) for entry in entries)
    ranges = {}
    for l in range(l_max + 1):
        # beyond d, hydrogen and helium get what d has
        low, high = table[min(l, max(table))]
        ranges[l] = (low * diffuse, max(high * scale, low * diffuse))
    return ranges


def _symbols(species: Iterable[str | int]) -> list[str]:
    given = list(species)
    known = dict(enumerate(chemical_symbols[1:], start=1))
    symbols = [s if isinstance(s, str) else known.get(int(s), "") for s in given]
    if not symbols or not set(symbols) <= set(known.values()):
        raise ValueError(f"species are {given}: give chemical symbols or atomic numbers")
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
        with warnings.catch_warnings():
            # before it gives up, PySCF advertises a package that it could look into
            warnings.filterwarnings("ignore", message="Basis may be available")
            entries: list[list[Any]] = gto.basis.load(name, symbol)
    except (BasisNotFoundError, KeyError) as error:
        raise ValueError(
            f"PySCF has no basis {name!r} for {symbol}: give another name, or shells of your "
            "own (Basis.from_shells)"
        ) from error
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
    if isinstance(l_max, (int, np.integer)):
        return int(l_max)
    if l_max is not None and symbol in l_max:
        return l_max[symbol]
    return _L_MAX_LIGHT if z <= 2 else _L_MAX_HEAVY


def _ladder(low: float, high: float, beta: float) -> list[float]:
    """Exponents from high to low, their ratio constant and at most beta."""
    if not 0 < low <= high:
        raise ValueError(f"limits are ({low}, {high}): give 0 < smallest <= largest in bohr^-2")
    steps = int(np.ceil(np.log(high / low) / np.log(beta) - 1e-9))
    return np.geomspace(high, low, steps + 1).tolist()
