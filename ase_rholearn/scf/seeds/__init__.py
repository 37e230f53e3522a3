"""Files that self-consistent calculations of other codes start from."""

from .cp2k import write_cp2k_start
from .valence import valence_charges
from .vasp import potcar_charges, write_vasp_start

__all__ = ["potcar_charges", "valence_charges", "write_cp2k_start", "write_vasp_start"]
