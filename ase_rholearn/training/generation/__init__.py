"""Making reference densities: structures through a reference code, on any executor."""

from .corrected import CorrectedPredictions
from .executors import Workers
from .generate import generate
from .progress import Progress

__all__ = ["CorrectedPredictions", "Progress", "Workers", "generate"]
