"""What is needed to know the errors of a trained network, found on held-out structures."""

from .rigidity import RigidityOptions, fit_uncertainty
from .run import run_uncertainty

__all__ = ["RigidityOptions", "fit_uncertainty", "run_uncertainty"]
