"""Atoms in molecules: charges and what else belongs to each atom."""

from .hirshfeld import HirshfeldAtoms, hirshfeld_atoms
from .molecules import MolecularDipoles, molecular_dipoles
from .quadrature_file import write_quadrature
from .voronoi import voronoi_charges

#: What ``Density.charges`` knows.
SCHEMES = ("hirshfeld", "voronoi")

__all__ = [
    "SCHEMES",
    "HirshfeldAtoms",
    "MolecularDipoles",
    "hirshfeld_atoms",
    "molecular_dipoles",
    "voronoi_charges",
    "write_quadrature",
]
