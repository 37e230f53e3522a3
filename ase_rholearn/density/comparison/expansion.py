"""A density, or a difference, as Gaussians about atoms. Atomic units."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, Union

from ..electrostatics.potential import AtomCharge, gaussian_charges

if TYPE_CHECKING:
    from ..density import Density
    from ..difference import DensityDifference

#: What the functions of this room take.
Field: TypeAlias = Union["Density", "DensityDifference"]


def charge_terms(rho: Field) -> list[AtomCharge]:
    """Nuclei and electrons of every atom as charges, if all of them are Gaussians.

    In a difference the atoms of the other densities follow with the opposite sign.
    """
    return gaussian_charges(rho, "comparison in closed form (all but nmae)")


def electron_terms(rho: Field) -> list[AtomCharge]:
    """Electrons of every atom, counted positive; nuclei are left out."""
    return [-charge.electrons for charge in charge_terms(rho)]
