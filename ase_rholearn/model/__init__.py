"""The model: network core, metatomic wrapper, export and loading."""

from .build import build_network
from .card import ModelCard
from .energy import EnergyHead, EnergyOptions
from .export import export_model
from .load import DensityModel, ModelFileError, load_model
from .network import DensityNetwork, NetworkOptions
from .potential import Potential
from .predicted import OutsideTrainingWarning, PredictedUncertainty
from .radial import NeighborDensity
from .shipped import shipped_models
from .trained import TrainedNetwork, load_network
from .wrapper import ENERGY, OUTPUT

__all__ = [
    "ENERGY",
    "OUTPUT",
    "DensityModel",
    "DensityNetwork",
    "EnergyHead",
    "EnergyOptions",
    "ModelCard",
    "ModelFileError",
    "NeighborDensity",
    "NetworkOptions",
    "OutsideTrainingWarning",
    "Potential",
    "PredictedUncertainty",
    "TrainedNetwork",
    "build_network",
    "export_model",
    "load_model",
    "load_network",
    "shipped_models",
]
