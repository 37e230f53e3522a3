"""A density, or the difference of two, as Gaussians about atoms. Atomic units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
from ase import units

from ..electrostatics.potential import AtomCharge, atom_charges

if TYPE_CHECKING:
    from ..density import Density
    from ..difference import DensityDifference

#: What the functions of this room take.
Field: TypeAlias = Union["Density", "DensityDifference"]

#: Total charge of a cell (e) that counts as none.
NEUTRAL = 1e-6


def electron_terms(rho: Field) -> list[AtomCharge]:
    """Electrons of every atom, counted positive; nuclei are left out.

    In a difference the atoms of all other densities follow with the opposite sign.
    """
    terms = []
    for sign, part in signed_parts(rho):
        charges = _atom_charges(part, np.zeros(len(part.atoms)))
        terms += charges if sign < 0 else [-charge for charge in charges]
    return terms


def charge_terms(rho: Field) -> list[AtomCharge]:
    """Nuclei and electrons of every atom as charges, see :func:`electron_terms`."""
    _check_tables(rho)
    return rho.atom_charges()


def signed_parts(rho: Field) -> tuple[tuple[float, Density], ...]:
    """The densities that ``rho`` is made of, with their signs."""
    # that module stands above this one
    from ..difference import DensityDifference

    if isinstance(rho, DensityDifference):
        return ((1.0, rho.first), *((-1.0, other) for other in rho.others))
    return ((1.0, rho),)


def total_charge(terms: Sequence[AtomCharge]) -> float:
    """Charge of all atoms together, e."""
    return sum(term.total for term in terms)


def share_functions(first: Density, second: Density) -> bool:
    """Whether two densities differ by nothing but their coefficients."""
    a, b = first.atoms, second.atoms
    return (
        np.array_equal(a.numbers, b.numbers)
        and np.array_equal(a.positions, b.positions)
        and np.array_equal(a.pbc, b.pbc)
        and np.array_equal(a.cell.array[a.pbc], b.cell.array[b.pbc])
        and (first.basis is second.basis or first.basis == second.basis)
    )


def _atom_charges(rho: Density, points: np.ndarray) -> list[AtomCharge]:
    _check_tables(rho)
    positions = rho.atoms.positions / units.Bohr
    return atom_charges(rho.basis, rho.atoms.numbers, positions, rho.coefficients, points)


def _check_tables(rho: Field) -> None:
    for _, part in signed_parts(rho):
        if any(part.basis.tabulated[int(z)] is not None for z in part.atoms.numbers):
            raise ValueError(
                f"the basis {part.basis.name!r} has tabulated functions, of which no integrals "
                "between atoms are known: compare values on a grid, or by nmae()"
            )
