"""From a density to DFT: starts of calculations, the Kohn-Sham matrix, one diagonalisation.

Energy functionals as code to differentiate are in :mod:`ase_rholearn.scf.functionals`.
"""

from .guess import GuessWarning, initial_guess, write_checkpoint
from .harris import HarrisGradient, harris_gradient
from .kohn_sham import kohn_sham_matrix, one_shot_orbitals
from .minimize import Minimum, minimize_energy
from .one_shot import OneShot, one_shot

__all__ = [
    "GuessWarning",
    "HarrisGradient",
    "Minimum",
    "OneShot",
    "harris_gradient",
    "initial_guess",
    "kohn_sham_matrix",
    "minimize_energy",
    "one_shot",
    "one_shot_orbitals",
    "write_checkpoint",
]
