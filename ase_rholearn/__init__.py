"""Electron densities of ASE's Atoms objects by machine learning."""

from .torchscript import quiet_torchscript

with quiet_torchscript():  # these compile functions when they are imported
    import metatensor.torch  # noqa: F401
    import metatomic.torch  # noqa: F401

from .basis import Basis
from .calculator import RhoCalculator
from .density import Density
from .model import OutsideTrainingWarning, load_model

__all__ = ["Basis", "Density", "OutsideTrainingWarning", "RhoCalculator", "load_model"]
