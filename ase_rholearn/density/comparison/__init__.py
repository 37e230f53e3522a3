"""Comparison of densities: distances, similarity, and profiles along a line or a radius."""

from .alignment import Alignment, align
from .distances import coulomb_distance, l2_distance
from .nmae import nmae
from .plane_average import PlanarDensity, PlanarPotential, planar_density, planar_potential
from .radial_profile import RadialProfile, radial_profile
from .rigid_motion import transformed
from .similarity import similarity

__all__ = [
    "Alignment",
    "PlanarDensity",
    "PlanarPotential",
    "RadialProfile",
    "align",
    "coulomb_distance",
    "l2_distance",
    "nmae",
    "planar_density",
    "planar_potential",
    "radial_profile",
    "similarity",
    "transformed",
]
