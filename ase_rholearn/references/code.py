"""What a program that makes reference densities looks like to the rest of the package."""

from __future__ import annotations

from typing import Any, Protocol

from ase import Atoms

from ..basis import Basis
from .reference import Reference


class ReferenceCode(Protocol):
    """A reference code at one level of theory; it can be pickled and sent to other machines.

    Attributes
    ----------
    basis
        The auxiliary basis of the fit.
    """

    @property
    def basis(self) -> Basis:
        """The auxiliary basis of the fit."""

    def settings(self) -> dict[str, Any]:
        """Plain data that fixes the result, without the basis: part of each reference's id."""

    def reference(self, atoms: Atoms) -> Reference:
        """Compute one structure.

        Whatever goes wrong is raised as an exception that says what and why.
        """
