"""What a model knows about its errors: last-layer rigidity, and known surroundings."""

from .predicted import OutsideTrainingWarning, PredictedUncertainty
from .uncertainty import Uncertainty

__all__ = ["OutsideTrainingWarning", "PredictedUncertainty", "Uncertainty"]
