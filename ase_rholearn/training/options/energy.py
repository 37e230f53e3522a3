"""Options of the energies of a model."""

from __future__ import annotations

from dataclasses import fields

from pydantic import Field, model_validator

from ...model import EnergyOptions
from ..learning.energies.closed_form import EnergyPrior
from .section import Section


class EnergyTrainingOptions(Section):
    """Energies and forces of the same model, learned after the density, whose weights stay."""

    pairs: int = Field(64, ge=0, description="features that depend on pairs of atoms")
    products: int = Field(64, ge=0, description="features of three atoms, for each l")
    gates: int = Field(256, ge=0, description="cosines of projections of all these")
    length: float = Field(0.6, gt=0, description="over which interactions vary, Angstrom")
    decay: float = Field(3.0, ge=0, description="power of the distance with which they fade")
    common: float = Field(0.8, ge=0, le=1, description="share that all neighbours have in common")
    share: float = Field(1.0, ge=0, description="variance that all species have in common")
    angular: float = Field(1.5, gt=0, description="factor by which each l varies less")
    gate_scale: float = Field(1.0, gt=0, description="spread of the phases of the cosines")
    gate_size: float = Field(3.0, gt=0, description="their size relative to other features")
    energy_weight: float = Field(
        10.0, gt=0, description="of errors of energies against those of forces, 1/Angstrom"
    )
    ridges: list[float] = Field(
        [0.1, 1.0, 10.0, 100.0],
        min_length=1,
        description="ridge terms to try; the validation part decides",
    )
    repulsion: bool = Field(
        True, description="of nuclei that come nearer than in bonds and in training structures"
    )
    contacts: int = Field(
        100, ge=0, description="pairs of training structures pressed together, to train on too"
    )
    contact_weight: float = Field(
        0.001, gt=0, description="what each of them counts, relative to a training structure"
    )
    free_atoms: dict[str, float] = Field(
        default_factory=dict, description="energies of atoms by symbol, eV; left out: fitted"
    )
    epochs: int = Field(0, ge=0, description="of gradient training after the closed form")
    batch_size: int = Field(8, ge=1, description="structures a step")
    learning_rate: float = Field(
        0.0005, gt=0, description="largest step of the one-cycle schedule, relative to the weights"
    )

    def architecture(self) -> EnergyOptions:
        """The same for :class:`~ase_rholearn.model.EnergyHead`."""
        return EnergyOptions(pairs=self.pairs, products=self.products, gates=self.gates)

    def prior(self) -> EnergyPrior:
        """The same for the closed form."""
        return EnergyPrior(
            **{entry.name: getattr(self, entry.name) for entry in fields(EnergyPrior)}
        )

    @model_validator(mode="after")
    def _check(self) -> EnergyTrainingOptions:
        self.architecture()  # raises where the architecture makes no sense
        if any(ridge <= 0 for ridge in self.ridges):
            raise ValueError(f"ridges are {self.ridges}: give positive numbers")
        return self
