"""Electrons of a density, and electrons that the pseudopotentials of a code expect."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers

from ...density import Density

#: Charges that are the same.
_SAME = 1e-6


def valence_charges(potentials: Mapping[str, float | str]) -> dict[str, float]:
    """Valence electrons of each species, from numbers or names of GTH pseudopotentials.

    Parameters
    ----------
    potentials
        By chemical symbol: a number, or a name that ends in it, as CP2K's do.

    Raises
    ------
    ValueError
        Something that is no chemical symbol, or a name without a number.

    Examples
    --------
    >>> valence_charges({"Si": "GTH-PBE-q4", "O": 6})
    {'Si': 4.0, 'O': 6.0}
    """
    charges = {}
    for symbol, given in potentials.items():
        if atomic_numbers.get(symbol, 0) == 0:
            raise ValueError(f"{symbol!r} is not a chemical symbol: give such as Si=4")
        found = re.fullmatch(r"(?:.*-q)?(\d+(?:\.\d+)?)", str(given), re.IGNORECASE)
        if found is None or not 0 < float(found[1]) <= atomic_numbers[symbol]:
            raise ValueError(
                f"{symbol} has {str(given)!r}, which does not say how many valence electrons it "
                "has: give a number, or a name that ends in it, such as GTH-PBE-q4"
            )
        charges[symbol] = float(found[1])
    return charges


def check_valence(density: Density, charges: Mapping[str, float], code: str) -> None:
    """Raise a ValueError unless a code's pseudopotentials go with a density.

    Parameters
    ----------
    density
        Of valence electrons, and periodic in all directions.
    charges
        Valence electrons of each species in the code, by symbol.
    code
        Its name.
    """
    atoms = density.atoms
    missing = sorted(set(atoms.symbols) - set(charges))
    if missing:
        raise ValueError(
            f"there is no number of valence electrons for {', '.join(missing)}: give those of "
            f"{code}'s pseudopotentials"
        )
    expected = np.array([charges[symbol] for symbol in atoms.symbols])
    if density.basis.kind != "valence" or np.abs(expected - density.core_charges).max() > _SAME:
        own = dict(zip(atoms.symbols, density.core_charges.tolist(), strict=True))
        theirs = {symbol: charges[symbol] for symbol in own}
        raise ValueError(
            f"the density is {density.basis.kind} with {density.number_of_electrons:g} electrons "
            f"({_listed(own)}), but the pseudopotentials of {code} expect "
            f"{expected.sum() - density.charge:g} ({_listed(theirs)}): use a model of {code}'s "
            "valence densities, or the pseudopotentials that it was trained with"
        )
    if not atoms.pbc.all():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: {code}'s grid spans its cell; set the cell of "
            "its input and pbc=True"
        )


def _listed(charges: Mapping[str, float]) -> str:
    return ", ".join(f"{symbol} {charge:g}" for symbol, charge in charges.items())
