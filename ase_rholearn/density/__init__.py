"""Electron densities: values, moments, charges, comparison and files."""

from .charges import HirshfeldAtoms
from .cube import read_cube, write_cube
from .density import Density
from .difference import DensityDifference, nmae
from .grid import Grid

__all__ = [
    "Density",
    "DensityDifference",
    "Grid",
    "HirshfeldAtoms",
    "nmae",
    "read_cube",
    "write_cube",
]
