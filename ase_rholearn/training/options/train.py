"""Options of ``ase-rholearn train``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ...model import NeighborDensity, NetworkOptions
from ..learning.closed_form import ClosedForm
from .section import Section
from .uncertainty import UncertaintyOptions


class SplitOptions(Section):
    """How structures are divided."""

    validation: float = Field(0.1, ge=0, lt=1, description="fraction")
    test: float = Field(0.1, ge=0, lt=1, description="fraction")
    seed: int = Field(0, description="of the random draw")
    group: str | None = Field(
        None, description="entry of atoms.info that stays together, such as smiles"
    )
    file: Path | None = Field(
        None, description="ids of each part, of `ase-rholearn data split`, instead of a draw"
    )

    @model_validator(mode="after")
    def _check(self) -> SplitOptions:
        fields = type(self).model_fields
        changed = [name for name, value in self if name != "file" and value != fields[name].default]
        if self.file is not None and changed:
            raise ValueError(f"split.file is given: leave out split.{changed[0]}, the file decides")
        return self


class ModelOptions(Section):
    """Architecture; see ase_rholearn.model.NetworkOptions."""

    cutoff: float = Field(4.0, gt=0, description="radius of an atom's surroundings, Angstrom")
    max_angular: int = Field(4, ge=0, le=12, description="highest l of the expansion")
    max_radial: int = Field(6, ge=1, description="radial functions per l")
    width: float = Field(0.3, gt=0, description="Gaussian on each neighbour, Angstrom")
    smoothing: float = Field(0.5, gt=0, description="width of the cutoff's cosine, Angstrom")
    tensors: int = Field(24, ge=0, description="tensors per lambda that gates mix")
    invariants: int = Field(32, ge=1, description="invariants that gates depend on")
    gates: int = Field(32, ge=1, description="gates")
    linear: bool = Field(True, description="add a linear map of all features")

    def network(self) -> NetworkOptions:
        """The same for :func:`~ase_rholearn.model.build_network`."""
        data = self.model_dump()
        density = {
            name: data.pop(name)
            for name in ("cutoff", "max_angular", "max_radial", "width", "smoothing")
        }
        return NetworkOptions(density=NeighborDensity(**density), **data)


class LossOptions(Section):
    """What is minimised: dc^T M dc per electron, M = (1 - coulomb) S + coulomb J."""

    coulomb: float = Field(0.0, ge=0, le=1, description="share of the Coulomb metric")


class StartOptions(Section):
    """Closed-form start; see ase_rholearn.training.learning.closed_form."""

    components: int = Field(256, ge=1, description="components of the linear map")
    gate_scale: float = Field(0.3, gt=0, description="spread of the gates' phases")
    ridge: float = Field(1e-6, gt=0, description="relative ridge term")
    iterations: int = Field(200, ge=1, description="most steps of conjugate gradients")
    tolerance: float = Field(1e-5, gt=0, description="relative residual at which they stop")

    def closed_form(self) -> ClosedForm:
        """The same for :func:`~ase_rholearn.training.learning.closed_form.initialize`."""
        return ClosedForm(**self.model_dump())


class GradientOptions(Section):
    """Gradient training between the closed-form start and a last solve for the readout."""

    epochs: int = Field(100, ge=0, description="0 leaves only the closed form")
    batch_size: int = Field(8, ge=1, description="structures a step")
    learning_rate: float = Field(
        0.03, gt=0, description="largest step of the one-cycle schedule, relative to the weights"
    )
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["float32", "float64"] = Field("float32", description="of gradient steps")
    finish: bool = Field(True, description="solve for the readout again at the end")


class CardOptions(Section):
    """What the model file says about itself."""

    description: str = Field("", description="what the model is for, and where it ends")
    licence: str = Field("CC-BY-4.0", description="of the weights, an SPDX name")
    citation: str = Field("", description="what users of the model should cite")


class TrainOptions(Section):
    """Options of ``ase-rholearn train``."""

    name: str = Field(description="name of the model")
    dataset: Path = Field(description="folder of the data set")
    output: Path = Field(description="folder of the run")
    split: SplitOptions = Field(default_factory=SplitOptions)
    model: ModelOptions = Field(default_factory=ModelOptions)
    loss: LossOptions = Field(default_factory=LossOptions)
    start: StartOptions = Field(default_factory=StartOptions)
    gradient: GradientOptions = Field(default_factory=GradientOptions)
    uncertainty: UncertaintyOptions = Field(default_factory=UncertaintyOptions)
    card: CardOptions = Field(default_factory=CardOptions)
    seed: int = Field(0, description="of gates and batches")

    @model_validator(mode="after")
    def _check(self) -> TrainOptions:
        self.model.network()  # raises where the architecture makes no sense
        return self
