"""Electron densities: values, moments, charges, comparison and files."""

from .charges import BaderAtoms, HirshfeldAtoms, MolecularDipoles
from .comparison import (
    align,
    coulomb_distance,
    l2_distance,
    nmae,
    planar_density,
    planar_potential,
    radial_profile,
    similarity,
    transformed,
)
from .density import Density
from .difference import DensityDifference
from .files import (
    read_chgcar,
    read_cube,
    read_grid,
    read_xsf,
    write_chgcar,
    write_cp2k_density,
    write_cube,
    write_grid,
    write_xsf,
)
from .frame import grid_frame
from .grid import Grid
from .uncertainty import DensityUncertainty

__all__ = [
    "BaderAtoms",
    "Density",
    "DensityDifference",
    "DensityUncertainty",
    "Grid",
    "HirshfeldAtoms",
    "MolecularDipoles",
    "align",
    "coulomb_distance",
    "grid_frame",
    "l2_distance",
    "nmae",
    "planar_density",
    "planar_potential",
    "radial_profile",
    "read_chgcar",
    "read_cube",
    "read_grid",
    "read_xsf",
    "similarity",
    "transformed",
    "write_chgcar",
    "write_cp2k_density",
    "write_cube",
    "write_grid",
    "write_xsf",
]
