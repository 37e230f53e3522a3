"""Options of the training commands: YAML files, checked by pydantic."""

from .fit import FitOptions, GridOptions
from .generate import GenerateOptions
from .load import load_options
from .references import BasisOptions, KohnShamOptions, WorkerOptions
from .sampling import SamplingOptions
from .train import GradientOptions, ModelOptions, TrainOptions

__all__ = [
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
