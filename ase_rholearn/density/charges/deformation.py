"""What the schemes share: they divide the density without the free atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.terms import AtomTerms

if TYPE_CHECKING:
    from ..density import Density

#: What may be neglected in a term, e/bohr^3.
_TOLERANCE = 1e-10


def deformation_terms(rho: Density, scheme: str, tolerance: float = _TOLERANCE) -> list[AtomTerms]:
    """Terms of the density without the free atoms; what may be neglected is in e/bohr^3."""
    if not rho.basis.atomic_densities:
        raise ValueError(
            f"the basis {rho.basis.name!r} has no atomic densities, which {scheme} charges "
            "need: use a basis that has them, see Basis.with_atomic_densities"
        )
    return (rho - rho.free_atoms()).atom_terms(tolerance)


def complete_charges(rho: Density, extra: np.ndarray) -> np.ndarray:
    """Charges from the electrons beyond the free atoms; what quadrature missed spread evenly."""
    charges = rho.core_charges - rho.basis.baseline_electrons(rho.atoms.numbers) - extra
    missed = rho.core_charges.sum() - rho.number_of_electrons - charges.sum()
    return np.asarray(charges + missed / len(charges))
