"""Files of grids.

Grids are in the voxel convention throughout: along a periodic axis the first point is at the
origin of the cell and its image at the end is not repeated, so that the voxels fill the cell;
a molecule has a box with a margin. Formats that repeat end points (XSF) are translated.
"""

from .arrays import read_grid_hdf5, read_grid_npz, write_grid_hdf5, write_grid_npz
from .chgcar import read_chgcar, write_chgcar
from .cp2k import write_cp2k_density
from .cube import read_cube, write_cube
from .formats import format_of, read_grid, write_grid
from .xsf import read_xsf, write_xsf

__all__ = [
    "format_of",
    "read_chgcar",
    "read_cube",
    "read_grid",
    "read_grid_hdf5",
    "read_grid_npz",
    "read_xsf",
    "write_chgcar",
    "write_cp2k_density",
    "write_cube",
    "write_grid",
    "write_grid_hdf5",
    "write_grid_npz",
    "write_xsf",
]
