"""Options of the training commands: YAML files, checked by pydantic."""

from .aims import AimsOptions
from .fit import FitOptions, GridOptions
from .generate import GenerateOptions
from .load import load_options
from .references import BasisOptions, KohnShamOptions, WorkerOptions
from .sampling import SamplingOptions
from .train import GradientOptions, ModelOptions, TrainOptions

__all__ = [
    "AimsOptions",
    "BasisOptions",
    "FitOptions",
    "GenerateOptions",
    "GradientOptions",
    "GridOptions",
    "KohnShamOptions",
    "ModelOptions",
    "SamplingOptions",
    "TrainOptions",
    "WorkerOptions",
    "load_options",
]
