"""Options of what a model knows about its errors."""

from __future__ import annotations

from pydantic import Field

from ..learning.uncertainty.rigidity import RigidityOptions
from .section import Section


class UncertaintyOptions(Section):
    """What the model file knows about its errors; see ase_rholearn.training.learning.uncertainty.

    Found when the model is exported; needs a validation part, and tensors.
    """

    predict: bool = Field(True, description="whether the model file predicts its uncertainty")
    vectors: int = Field(256, ge=1, description="eigenvectors kept of each covariance of features")
    ridge: float = Field(1e-8, gt=0, description="ridge term relative to the largest eigenvalue")
    known: int = Field(512, ge=1, description="training atoms of each species to compare with")
    structures: int = Field(64, ge=1, description="most validation structures to calibrate on")
    level: int = Field(0, ge=0, le=5, description="quality of the quadrature of their errors")
    false_alarms: float = Field(
        0.05, gt=0, lt=1, description="share of structures like these that may cause a warning"
    )

    def rigidity(self) -> RigidityOptions:
        """The same for :func:`~ase_rholearn.training.learning.uncertainty.fit_uncertainty`."""
        return RigidityOptions(**self.model_dump(exclude={"predict"}))
