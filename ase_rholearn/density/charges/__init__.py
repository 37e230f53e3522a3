"""Atoms in molecules: charges and what else belongs to each atom."""

from .bader import BaderAtoms, bader_atoms
from .hirshfeld import HirshfeldAtoms, hirshfeld_atoms
from .molecules import MolecularDipoles, molecular_dipoles
from .quadrature_file import write_quadrature
from .voronoi import voronoi_charges

#: What ``Density.charges`` knows.
SCHEMES = ("hirshfeld", "voronoi", "bader")

__all__ = [
    "SCHEMES",
    "BaderAtoms",
    "HirshfeldAtoms",
    "MolecularDipoles",
    "bader_atoms",
    "hirshfeld_atoms",
    "molecular_dipoles",
    "voronoi_charges",
    "write_quadrature",
]
