"""Reference densities that exist on a grid: cubes, CHGCAR, arrays; and their fit."""

from .basis import grid_basis
from .density import GridDensity
from .fit import fit_grid, grid_settings
from .read import read_grid_density
from .resolution import check_resolution, effective_spacing, largest_exponent

__all__ = [
    "GridDensity",
    "check_resolution",
    "effective_spacing",
    "fit_grid",
    "grid_basis",
    "grid_settings",
    "largest_exponent",
    "read_grid_density",
]
