"""Options of ``ase-rholearn train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...model import NeighborDensity, NetworkOptions
from ..learning.closed_form import ClosedForm
from ..learning.loss import LossTerms
from .energy import EnergyTrainingOptions
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


#: Neighbours beyond bonds count less: a quarter less error for organic molecules.
_SCALING = {"scaling_radius": 2.0, "scaling_exponent": 6.0}

#: Architectures for little, some and much data; docs/learning-curves.md shows what they reach.
PRESETS: dict[str, dict[str, Any]] = {
    "small": {
        "max_angular": 3,
        "max_radial": 5,
        "channels": 8,
        "tensors": 12,
        "gates": 16,
        **_SCALING,
    },
    "medium": {"channels": 12, "messages": 8, "products": 8, **_SCALING},
    "large": {"channels": 16, "tensors": 32, "gates": 48, "messages": 16, **_SCALING},
}


class ModelOptions(Section):
    """Architecture; see ase_rholearn.model.NetworkOptions."""

    preset: Literal["small", "medium", "large"] | None = Field(
        None, description="values that the options below have where they are left out"
    )
    cutoff: float = Field(4.0, gt=0, description="radius of an atom's surroundings, Angstrom")
    max_angular: int = Field(4, ge=0, le=12, description="highest l of the expansion")
    max_radial: int = Field(6, ge=1, description="radial functions per l")
    width: float = Field(0.3, gt=0, description="Gaussian on each neighbour, Angstrom")
    smoothing: float = Field(0.5, gt=0, description="width of the cutoff's cosine, Angstrom")
    scaling_radius: float | None = Field(
        None,
        gt=0,
        description="distance beyond which neighbours count less, Angstrom; left out: all count "
        "alike",
    )
    scaling_exponent: float = Field(
        4.0, gt=0, description="how fast: they count 1 / (1 + (r / scaling_radius)^exponent)"
    )
    tensors: int = Field(24, ge=0, description="tensors per lambda that gates mix")
    invariants: int = Field(32, ge=1, description="invariants that gates depend on")
    gates: int = Field(32, ge=1, description="gates")
    linear: bool = Field(True, description="add a linear map of all features")
    channels: int | None = Field(
        None,
        ge=1,
        description="combinations of the radial functions of all species, per l; left out, all "
        "are used, which is slow for more than three species",
    )
    messages: int = Field(
        0, ge=0, description="invariants of its own that each neighbour sends; 0 for none"
    )
    products: int = Field(
        0,
        ge=0,
        description="products of the expansion with itself, per l, that are multiplied once more: "
        "correlation order 4; 0 for order 2",
    )
    depth: int = Field(1, ge=1, description="layers of the gates; those above one need gradients")

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("preset"), str):
            return data
        return {**PRESETS.get(data["preset"], {}), **data}

    def network(self) -> NetworkOptions:
        """The same for :func:`~ase_rholearn.model.build_network`."""
        data = self.model_dump(exclude={"preset"})
        density = {name: data.pop(name) for name in NeighborDensity.__dataclass_fields__}
        return NetworkOptions(density=NeighborDensity(**density), **data)


class LossOptions(Section):
    """What is minimised: squared error of the density per electron.

    dc^T M dc, M = (1 - coulomb) S + coulomb J, plus errors of electron number and dipole.
    """

    coulomb: float = Field(0.0, ge=0, le=1, description="share of the Coulomb metric")
    electrons: float = Field(
        0.0, ge=0, description="weight of the squared error in the number of electrons, bohr^-3"
    )
    dipole: float = Field(
        0.0, ge=0, description="weight of the squared error of the dipole moment, bohr^-5"
    )
    target: Literal["coefficients", "projections"] = Field(
        "coefficients",
        description="what densities are compared with: fitted coefficients, or projections that "
        "the data set holds, in the metric that they were made in",
    )
    mask: str | None = Field(
        None, description="entry of atoms.info with the indices of the atoms that count"
    )
    cutoff: float | None = Field(
        None, gt=0, description="overlaps of atoms farther apart count as zero, Angstrom"
    )
    memory: float = Field(
        8.0, ge=0, description="for metrics, GB; those beyond are computed again at each use"
    )

    def terms(self) -> LossTerms:
        """The same for :mod:`ase_rholearn.training.learning.loss`."""
        return LossTerms(self.coulomb, self.electrons, self.dipole, self.mask, self.cutoff)


class StartOptions(Section):
    """Closed-form start; see ase_rholearn.training.learning.closed_form."""

    components: int = Field(256, ge=1, description="components of the linear map")
    gate_scale: float = Field(0.3, gt=0, description="spread of the gates' phases")
    ridge: float | list[float] = Field(
        1e-6, description="relative ridge term; of several the best on the validation part is taken"
    )
    iterations: int = Field(
        200,
        ge=0,
        description="most steps of conjugate gradients; 0 leaves initial weights as they are",
    )
    tolerance: float = Field(1e-5, gt=0, description="relative residual at which they stop")

    @field_validator("ridge")
    @classmethod
    def _check(cls, ridge: float | list[float]) -> float | list[float]:
        values = ridge if isinstance(ridge, list) else [ridge]
        if not values or not all(value > 0 for value in values):
            raise ValueError("give a positive number, or several")
        return ridge

    @property
    def ridges(self) -> list[float]:
        """The ridge terms to choose from."""
        return self.ridge if isinstance(self.ridge, list) else [self.ridge]

    def closed_form(self, ridge: float | None = None) -> ClosedForm:
        """The same for :func:`~ase_rholearn.training.learning.closed_form.initialize`.

        With another ridge term, or the first one.
        """
        return ClosedForm(**{**self.model_dump(), "ridge": ridge or self.ridges[0]})


class GradientOptions(Section):
    """Gradient training between the closed-form start and a last solve for the readout."""

    epochs: int = Field(100, ge=0, description="0 leaves only the closed form")
    train: Literal["all", "readouts"] = Field(
        "all",
        description="weights that move; the readouts alone train on features that are computed "
        "once, several times faster",
    )
    batch_size: int = Field(8, ge=1, description="structures a step, on each device")
    learning_rate: float = Field(
        0.03, gt=0, description="largest step of the schedule, relative to the weights"
    )
    weight_decay: float = Field(
        0.0, ge=0, description="shrinking of weights at each step, times the learning rate"
    )
    start_ridge: float = Field(
        0.1,
        gt=0,
        description="relative ridge term of the readout that gradients start from: large, as they "
        "do not leave the neighbourhood of a solution that follows the training part closely",
    )
    schedule: Literal["one-cycle", "cosine", "constant"] = Field(
        "one-cycle", description="how the learning rate changes"
    )
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["float32", "float64", "bfloat16"] = Field(
        "float32",
        description="of gradient steps; bfloat16 mixes: weights and loss stay in float32",
    )
    average: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="decay of an exponential moving average of the weights, which is then judged "
        "and kept, such as 0.999",
    )
    patience: int | None = Field(
        None, ge=1, description="epochs without a better error after which training ends"
    )
    finish: bool = Field(True, description="solve for the readout again at the end")


class HardwareOptions(Section):
    """Where gradient training runs. Devices share each step (DDP)."""

    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="kind of device")
    devices: int = Field(1, ge=1, description="devices, or processes on CPUs, a node")
    nodes: int = Field(1, ge=1, description="nodes of a cluster; start one task a device")

    @property
    def processes(self) -> int:
        """Processes that share each step."""
        return self.devices * self.nodes


class LogOptions(Section):
    """Logs of gradient training besides metrics.jsonl and metrics.csv."""

    tensorboard: bool = Field(False, description="write logs for TensorBoard (needs tensorboard)")
    wandb: str | None = Field(None, description="project of Weights & Biases (needs wandb)")


class InitialOptions(Section):
    """Weights to start from, instead of new ones: fine-tuning."""

    model: Path = Field(description="a model file, or the name of a shipped model")
    freeze: list[Literal["gates", "tensors", "readouts"]] = Field(
        default_factory=list, description="parts that gradient training leaves alone"
    )


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
    initial: InitialOptions | None = None
    loss: LossOptions = Field(default_factory=LossOptions)
    start: StartOptions = Field(default_factory=StartOptions)
    gradient: GradientOptions = Field(default_factory=GradientOptions)
    hardware: HardwareOptions = Field(default_factory=HardwareOptions)
    logs: LogOptions = Field(default_factory=LogOptions)
    energy: EnergyTrainingOptions | None = None
    uncertainty: UncertaintyOptions = Field(default_factory=UncertaintyOptions)
    card: CardOptions = Field(default_factory=CardOptions)
    seed: int = Field(0, description="of gates and batches")

    @model_validator(mode="after")
    def _check(self) -> TrainOptions:
        self.model.network()  # raises where the architecture makes no sense
        if self.initial is not None and self.model.model_fields_set:
            raise ValueError("initial is given: leave out model, the file has its architecture")
        if self.initial is None and self.start.iterations == 0:
            raise ValueError(
                "start.iterations is 0, which needs weights: give initial, or at least 1"
            )
        if self.initial is not None and self.gradient.train == "readouts":
            raise ValueError(
                "gradient.train is 'readouts', which starts from the closed form: leave out "
                "initial, or set initial.freeze to [gates, tensors]"
            )
        return self
