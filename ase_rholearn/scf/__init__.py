"""From a density to DFT: the Kohn-Sham matrix of a density, and one diagonalisation.

Energy functionals as code to differentiate are in :mod:`ase_rholearn.scf.functionals`.
"""

from .kohn_sham import kohn_sham_matrix, one_shot_orbitals
from .minimize import Minimum, minimize_energy

__all__ = ["Minimum", "kohn_sham_matrix", "minimize_energy", "one_shot_orbitals"]
