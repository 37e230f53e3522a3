"""Structures from structures and SMILES."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..sampling import XTB, Conformers, Dynamics, Rattle, SamplingPlan
from .section import Section


class ConformerOptions(Section):
    """Conformers of SMILES, by RDKit."""

    count: int = Field(5, ge=1, description="most conformers, those of lowest energy")
    rmsd: float = Field(0.3, ge=0, description="nearer ones are the same, Angstrom")
    attempts: int = Field(20, ge=1, description="embeddings for each conformer wanted")
    steps: int = Field(2000, ge=1, description="most steps of the force field")


class RelaxOptions(Section):
    """Relaxation with xTB, by tblite."""

    method: Literal["GFN2-xTB", "GFN1-xTB"] = Field("GFN2-xTB", description="tight binding")
    fmax: float = Field(0.05, gt=0, description="largest force at the end, eV/Angstrom")
    steps: int = Field(500, ge=1, description="most steps")
    keep_bonds: bool = Field(True, description="refuse results with other bonds")


class DynamicsOptions(Section):
    """Langevin dynamics with xTB, by tblite."""

    method: Literal["GFN2-xTB", "GFN1-xTB"] = Field("GFN2-xTB", description="tight binding")
    temperature: float = Field(300.0, gt=0, le=5000, description="Kelvin")
    frames: int = Field(10, ge=1, description="structures to take")
    spacing_fs: float = Field(100.0, gt=0, description="time between two of them, fs")
    equilibration_fs: float = Field(500.0, ge=0, description="time before the first, fs")
    timestep_fs: float = Field(0.5, gt=0, le=2, description="time step, fs")
    friction: float = Field(0.02, gt=0, le=1, description="of the thermostat, 1/fs")
    keep_bonds: bool = Field(True, description="stop where bonds change")


class RattleOptions(Section):
    """Random displacements."""

    copies: int = Field(1, ge=1, description="copies of each structure")
    stdev: float = Field(0.05, ge=0, le=1, description="of each displacement, Angstrom")
    closest: float = Field(
        0.75, ge=0, le=1, description="fraction of covalent radii below which to draw again"
    )
    strain: float = Field(0.0, ge=0, le=0.2, description="of periodic cells")
    original: bool = Field(False, description="keep the structure itself too")


class SamplingOptions(Section):
    """Structures made from structures and SMILES, in this order; a step left out is skipped."""

    conformers: ConformerOptions = Field(default_factory=ConformerOptions)
    relax: RelaxOptions | None = None
    dynamics: DynamicsOptions | None = None
    rattle: RattleOptions | None = None
    seed: int = Field(0, ge=0, description="of all that is drawn")

    def plan(self) -> SamplingPlan:
        """The same for :func:`~ase_rholearn.training.sampling.sample`."""
        return SamplingPlan(
            Conformers(**self.conformers.model_dump()),
            XTB(**self.relax.model_dump()) if self.relax else None,
            Dynamics(**self.dynamics.model_dump()) if self.dynamics else None,
            Rattle(**self.rattle.model_dump()) if self.rattle else None,
        )

    @model_validator(mode="after")
    def _check(self) -> SamplingOptions:
        self.plan()  # raises where the steps make no sense
        return self
