"""Files of grids."""

from .cube import read_cube, write_cube

__all__ = ["read_cube", "write_cube"]
