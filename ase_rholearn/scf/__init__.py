"""From a density to DFT: the Kohn-Sham matrix of a density, and one diagonalisation."""

from .guess import GuessWarning, initial_guess
from .kohn_sham import kohn_sham_matrix, one_shot_orbitals

__all__ = ["GuessWarning", "initial_guess", "kohn_sham_matrix", "one_shot_orbitals"]
