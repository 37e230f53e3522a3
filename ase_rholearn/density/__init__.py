"""Electron densities: values, moments, charges, comparison and files."""

from .cube import read_cube, write_cube
from .density import Density
from .difference import DensityDifference, nmae
from .frame import grid_frame
from .grid import Grid

__all__ = ["Density", "DensityDifference", "Grid", "grid_frame", "nmae", "read_cube", "write_cube"]
