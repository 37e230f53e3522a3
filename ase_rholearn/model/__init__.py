"""The model: network core, metatomic wrapper, export and loading."""

from .build import build_network
from .card import ModelCard
from .export import export_model
from .load import DensityModel, ModelFileError, load_model
from .network import DensityNetwork, NetworkOptions
from .predicted import OutsideTrainingWarning, PredictedUncertainty
from .radial import NeighborDensity
from .shipped import shipped_models
from .wrapper import OUTPUT

__all__ = [
    "OUTPUT",
    "DensityModel",
    "DensityNetwork",
    "ModelCard",
    "ModelFileError",
    "NeighborDensity",
    "NetworkOptions",
    "OutsideTrainingWarning",
    "PredictedUncertainty",
    "build_network",
    "export_model",
    "load_model",
    "shipped_models",
]
