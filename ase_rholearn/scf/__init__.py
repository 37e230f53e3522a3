"""From a density to DFT: starts of calculations, the Kohn-Sham matrix, one diagonalisation.

Energy functionals as code to differentiate are in :mod:`ase_rholearn.scf.functionals`.
"""

from .crystals import OneShotCrystal, one_shot_crystal
from .guess import GuessWarning, initial_guess, write_checkpoint
from .harris import HarrisGradient, harris_gradient
from .kohn_sham import kohn_sham_matrix
from .minimize import Minimum, minimize_energy
from .one_shot import OneShot, one_shot, one_shot_orbitals
from .seeds import potcar_charges, valence_charges, write_cp2k_start, write_vasp_start

__all__ = [
    "GuessWarning",
    "HarrisGradient",
    "Minimum",
    "OneShot",
    "OneShotCrystal",
    "harris_gradient",
    "initial_guess",
    "kohn_sham_matrix",
    "minimize_energy",
    "one_shot",
    "one_shot_crystal",
    "one_shot_orbitals",
    "potcar_charges",
    "valence_charges",
    "write_checkpoint",
    "write_cp2k_start",
    "write_vasp_start",
]
