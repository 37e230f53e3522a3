"""Electron densities: values, moments, charges, comparison and files."""

from .density import Density
from .difference import DensityDifference, nmae
from .files import read_cube, write_cube
from .grid import Grid

__all__ = ["Density", "DensityDifference", "Grid", "nmae", "read_cube", "write_cube"]
