"""The model: network core, metatomic wrapper, files, and what it knows about its errors."""

from .energy import EnergyHead, EnergyOptions
from .files import (
    DensityModel,
    ModelCard,
    ModelFileError,
    TrainedNetwork,
    TrainingHistory,
    export_model,
    load_model,
    load_network,
    shipped_models,
    update_model,
)
from .network import DensityNetwork, NeighborDensity, NetworkOptions, build_network
from .potential import Potential
from .repulsion import NuclearRepulsion
from .uncertainty import OutsideTrainingWarning, PredictedUncertainty
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
    "NuclearRepulsion",
    "OutsideTrainingWarning",
    "Potential",
    "PredictedUncertainty",
    "TrainedNetwork",
    "TrainingHistory",
    "build_network",
    "export_model",
    "load_model",
    "load_network",
    "shipped_models",
    "update_model",
]
