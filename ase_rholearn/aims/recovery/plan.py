"""Which coefficient of which atom is changed in which run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from ..basis_info import BasisInfo

#: Atoms closer than this (Angstrom) may share points with a function.
_SEPARATION = 10.0


@dataclass(frozen=True)
class Displacement:
    """One function in one run: its coefficient on a pair of atoms, with opposite signs.

    Attributes
    ----------
    run
        From 0.
    atoms
        The pair; the change on the second atom is minus ``size``.
    l, n
        Of the radial function; m is 0.
    size
        Change of the coefficient.
    """

    run: int
    atoms: tuple[int, int]
    l: int
    n: int
    size: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data (JSON)."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Displacement:
        """The inverse of :meth:`to_dict`."""
        first, second = data["atoms"]
        return cls(int(data["run"]), (first, second), data["l"], data["n"], float(data["size"]))


def recovery_structure(
    species: Sequence[str], *, pairs: int = 1, separation: float = 15.0
) -> Atoms:
    """Atoms far from each other: the structure for recovering radial functions.

    Parameters
    ----------
    species
        Symbols.
    pairs
        Of each species. With more of them there are fewer and larger runs.
    separation
        Of neighbours on a cubic lattice, Angstrom: twice the radius of the functions or more.

    Examples
    --------
    >>> recovery_structure(["H", "O"]).get_chemical_formula()
    'H2O2'
    """
    if pairs < 1:
        raise ValueError(f"pairs is {pairs}: give 1 or more")
    unknown = [symbol for symbol in species if atomic_numbers.get(symbol, 0) == 0]
    if unknown or not species:
        raise ValueError(f"species are {list(species)}: give symbols of elements, such as H and O")
    symbols = [symbol for symbol in dict.fromkeys(species) for _ in range(2 * pairs)]
    edge = int(np.ceil(len(symbols) ** (1 / 3) - 1e-9))
    places = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return Atoms(symbols, positions=separation * places[: len(symbols)].astype(float))


def plan_displacements(
    atoms: Atoms, basis: BasisInfo, overlap: np.ndarray | None = None, *, size: float = 0.01
) -> list[Displacement]:
    """All functions of all species of a structure, spread over pairs of equal atoms and runs.

    Parameters
    ----------
    atoms, basis
        The structure, two or more atoms of each species, and its product basis.
    overlap
        Of the functions, (size, size), if known: changes are then ``size`` in the norm of each.
    size
        Norm of the change of density, e/bohr^1.5; without overlap, of the coefficient. The
        density must stay positive wherever there is one.

    Raises
    ------
    ValueError
        A species has one atom only, or atoms are too close to each other.
    """
    if not size > 0:
        raise ValueError(f"size is {size}: give a positive number")
    _check_separation(atoms)
    basis.check_atoms(len(atoms))
    layout = basis.layout
    plan = []
    for symbol, counts in basis.by_label(list(atoms.symbols)).items():
        own = np.flatnonzero(atoms.symbols == symbol).tolist()
        if len(own) < 2:
            raise ValueError(
                f"the structure has one {symbol}: give two of each species, so that the number of "
                "electrons can stay; see recovery_structure"
            )
        pairs = list(zip(own[0::2], own[1::2], strict=False))
        functions = [(l, n) for l, count in enumerate(counts) for n in range(count)]
        for index, (l, n) in enumerate(functions):
            run, place = divmod(index, len(pairs))
            at = (layout.atom == own[0]) & (layout.l == l) & (layout.n == n) & (layout.m == 0)
            row = int(np.flatnonzero(at)[0])
            norm = 1.0 if overlap is None else float(np.sqrt(overlap[row, row]))
            plan.append(Displacement(run, pairs[place], l, n, size / norm))
    return sorted(plan, key=lambda one: one.run)


def displaced(
    coefficients: np.ndarray, basis: BasisInfo, displacements: Sequence[Displacement]
) -> np.ndarray:
    """Coefficients with the changes of one run: shape (size,)."""
    layout, changed = basis.layout, coefficients.copy()
    for one in displacements:
        own = (layout.l == one.l) & (layout.n == one.n) & (layout.m == 0)
        first, second = one.atoms
        changed[own & (layout.atom == first)] += one.size
        changed[own & (layout.atom == second)] -= one.size
    return changed


def _check_separation(atoms: Atoms) -> None:
    if atoms.pbc.any():
        raise ValueError("the structure is periodic: give separate atoms, see recovery_structure")
    distances = atoms.get_all_distances()
    np.fill_diagonal(distances, np.inf)
    if distances.min() < _SEPARATION:
        raise ValueError(
            f"two atoms are {distances.min():.3g} Angstrom apart: radial functions can be read off "
            f"where they do not overlap, {_SEPARATION:g} Angstrom or more; see recovery_structure"
        )
