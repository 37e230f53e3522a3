"""Model files: export, description, loading; shipped ones and those of other programs."""

from .card import ModelCard
from .export import export_model
from .history import TrainingHistory
from .load import DensityModel, ModelFileError, load_model
from .shipped import shipped_models
from .trained import TrainedNetwork, load_network
from .update import update_model

__all__ = [
    "DensityModel",
    "ModelCard",
    "ModelFileError",
    "TrainedNetwork",
    "TrainingHistory",
    "export_model",
    "load_model",
    "load_network",
    "shipped_models",
    "update_model",
]
