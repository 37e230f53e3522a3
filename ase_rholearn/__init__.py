"""Electron densities of ASE's Atoms objects by machine learning."""

from .basis import Basis
from .density import Density

__all__ = ["Basis", "Density"]
