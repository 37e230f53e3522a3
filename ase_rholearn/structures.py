"""Reading and checking structures, as every room of the package relies on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from vesin import NeighborList

#: Two nuclei closer than this (Angstrom) are taken for a mistake in the input:
#: the shortest bond that exists, in H2+ under compression, is far longer.
MINIMUM_DISTANCE = 0.3

#: Cell-list width for the search (Angstrom): finer cells cost more than they save.
_SEARCH_CUTOFF = 2.0

#: How far from an integer the sum of initial charges may be and still count as one.
CHARGE_TOLERANCE = 1e-3


def check_atoms(atoms: Any, *, argument: str = "atoms") -> Atoms:
    """Return ``atoms`` if a density can be asked of it, raise a readable error if not.

    Parameters
    ----------
    atoms
        What the caller was given.
    argument
        The name that the error message uses for it.

    Raises
    ------
    TypeError
        ``atoms`` is not an :class:`ase.Atoms`.
    ValueError
        It has no atoms, positions or cell vectors that are not finite, a periodic
        direction without a cell vector, a dummy species, or two atoms closer than
        0.3 Angstrom.
    """
    if not isinstance(atoms, Atoms):
        raise TypeError(f"{argument} is a {type(atoms).__name__}: give an ase.Atoms object")
    if len(atoms) == 0:
        raise ValueError(f"{argument} has no atoms: give a structure with at least one")
    _check_finite(atoms, argument)
    _check_species(atoms, argument)
    _check_cell(atoms, argument)
    _check_distances(atoms, argument)
    return atoms


def total_charge(atoms: Atoms) -> int:
    """Total charge in units of e: ``atoms.info["charge"]``, else the sum of initial charges.

    Raises
    ------
    ValueError
        The charge is not an integer, or the two sources disagree.

    Examples
    --------
    >>> from ase import Atoms
    >>> total_charge(Atoms("Na", info={"charge": 1}))
    1
    """
    initial = atoms.get_initial_charges()
    summed = float(initial.sum())
    if "charge" not in atoms.info:
        return _as_integer_charge(summed, "the sum of initial_charges")
    charge = _as_integer_charge(atoms.info["charge"], 'atoms.info["charge"]')
    # charges that are all zero are as good as none
    if initial.any() and not abs(summed - charge) <= CHARGE_TOLERANCE:
        raise ValueError(
            f'atoms.info["charge"] is {charge} but initial_charges add up to {summed:.3f}: '
            "remove one of them"
        )
    return charge


def _as_integer_charge(value: Any, source: str) -> int:
    try:
        charge = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{source} is {value!r}: give an integer charge") from None
    if not np.isfinite(charge) or abs(charge - round(charge)) > CHARGE_TOLERANCE:
        raise ValueError(f"{source} is {charge:g}: give an integer charge")
    return round(charge)


def _check_finite(atoms: Atoms, argument: str) -> None:
    bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
    if len(bad):
        first = int(bad[0])
        raise ValueError(
            f"{argument}.positions of atom {first} is {atoms.positions[first].tolist()}: "
            "give finite coordinates in Angstrom"
        )
    if not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"{argument}.cell is {atoms.cell.array.tolist()}: give finite vectors")


def _check_species(atoms: Atoms, argument: str) -> None:
    dummies = np.flatnonzero(atoms.numbers <= 0)
    if len(dummies):
        raise ValueError(
            f"{argument} has a dummy species (X) at atom {int(dummies[0])}: "
            "remove it, or give it an element"
        )


def _check_cell(atoms: Atoms, argument: str) -> None:
    if not atoms.pbc.any():
        return
    vectors = atoms.cell.array[atoms.pbc]
    if np.linalg.matrix_rank(vectors) < len(vectors):
        raise ValueError(
            f"{argument}.pbc is {atoms.pbc.tolist()} but the cell vectors of the periodic "
            f"directions are {vectors.tolist()}: set a cell, or pbc=False for a molecule"
        )


def _check_distances(atoms: Atoms, argument: str) -> None:
    i, j, d = _close_pairs(atoms)
    if len(d) and d.min() < MINIMUM_DISTANCE:
        worst = int(np.argmin(d))
        raise ValueError(
            f"{argument}: atoms {i[worst]} and {j[worst]} overlap, {d[worst]:.3g} Angstrom "
            f"apart (at least {MINIMUM_DISTANCE} is needed): remove one, or check the unit of "
            "the coordinates and the cell"
        )


def _close_pairs(atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    neighbors = NeighborList(cutoff=_SEARCH_CUTOFF, full_list=False)
    i, j, d = neighbors.compute(atoms.positions, atoms.cell.array, atoms.pbc, "ijd")
    return i, j, d
