"""Densities along trajectories: prediction, files, molecular dynamics, infrared spectra."""

from ..structure_files import iterate_structures
from .batches import batches, densities
from .hdf5 import DensityTrajectory
from .infrared import InfraredSpectrum, infrared_spectrum
from .observer import DensityObserver
from .predict import predict_trajectory
from .quantities import Quantities
from .writer import open_writer

__all__ = [
    "DensityObserver",
    "DensityTrajectory",
    "InfraredSpectrum",
    "Quantities",
    "batches",
    "densities",
    "infrared_spectrum",
    "iterate_structures",
    "open_writer",
    "predict_trajectory",
]
