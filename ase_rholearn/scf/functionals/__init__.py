"""Energy functionals of the density as torch code, with potentials by differentiation.

Everything here is in atomic units: Hartree, bohr, e/bohr^3.
"""

from .derivatives import Kernel, Potential, kernel, potential
from .energies import (
    LocalEnergy,
    QuadraticEnergy,
    external_energy,
    hartree_energy,
    local_energy,
)
from .expansion import Expansion, Quadrature
from .forms import Functional, SpinDependent, SpinScaled, Sum
from .in_space import potential_at_points, potential_matrix
from .registry import FUNCTIONALS, functional
from .taper import Tapered

__all__ = [
    "FUNCTIONALS",
    "Expansion",
    "Functional",
    "Kernel",
    "LocalEnergy",
    "Potential",
    "QuadraticEnergy",
    "Quadrature",
    "SpinDependent",
    "SpinScaled",
    "Sum",
    "Tapered",
    "external_energy",
    "functional",
    "hartree_energy",
    "kernel",
    "local_energy",
    "potential",
    "potential_at_points",
    "potential_matrix",
]
