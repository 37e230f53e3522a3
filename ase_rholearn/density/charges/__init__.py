"""Atoms in molecules: charges and what else belongs to each atom."""

from .hirshfeld import HirshfeldAtoms, hirshfeld_atoms
from .quadrature_file import write_quadrature
from .voronoi import voronoi_charges

__all__ = ["HirshfeldAtoms", "hirshfeld_atoms", "voronoi_charges", "write_quadrature"]
