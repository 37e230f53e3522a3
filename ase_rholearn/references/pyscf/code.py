"""PySCF as a reference code that can be sent to other processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ase import Atoms

from ...basis import Basis
from ..reference import Reference
from .run import reference
from .settings import KohnSham


@dataclass(frozen=True)
class PySCF:
    """Kohn-Sham runs at one level of theory; see :class:`~ase_rholearn.references.ReferenceCode`.

    Attributes
    ----------
    basis
        Auxiliary basis of the fits.
    level
        Level of theory.
    keep_orbitals
        Keep the occupied orbitals, so that another basis can be fitted later.
    max_memory
        MB that PySCF aims at; None: its own limit. No part of the result.
    """

    basis: Basis
    level: KohnSham = field(default_factory=KohnSham)
    keep_orbitals: bool = True
    max_memory: float | None = None

    def settings(self) -> dict[str, Any]:
        """Plain data that fixes the result."""
        return self.level.to_dict()

    def reference(self, atoms: Atoms) -> Reference:
        """Run PySCF and fit the density."""
        return reference(
            atoms,
            self.basis,
            self.level,
            keep_orbitals=self.keep_orbitals,
            max_memory=self.max_memory,
        )
