"""How good a model is: figures on references that it was not trained on."""

from .evaluate import FIGURES, evaluate

__all__ = ["FIGURES", "evaluate"]
