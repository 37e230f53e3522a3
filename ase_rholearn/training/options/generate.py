"""Options of ``ase-rholearn generate``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from .references import BasisOptions, KohnShamOptions, WorkerOptions
from .sampling import SamplingOptions
from .section import Section


class GenerateOptions(Section):
    """Options of ``ase-rholearn generate``."""

    structures: Path | None = Field(
        None, description="file of molecules that ASE reads, any number of frames"
    )
    smiles: Path | None = Field(
        None, description="file of molecules to sample: a SMILES, and a name if you like, a line"
    )
    sampling: SamplingOptions | None = Field(
        None, description="make more structures; left out: compute those of the file"
    )
    dataset: Path = Field(description="folder of the data set")
    kohn_sham: KohnShamOptions = Field(default_factory=KohnShamOptions)
    model: str | None = Field(
        None,
        description="file or name of a model: instead of self-consistent runs, its predictions "
        "after one diagonalisation and the linear response of the orbitals; faster, and wrong by "
        "some hundredths of a percent",
    )
    basis: BasisOptions = Field(default_factory=BasisOptions)
    keep_orbitals: bool = Field(True, description="keep occupied orbitals, for fits of other bases")
    workers: WorkerOptions = Field(default_factory=WorkerOptions)
    timeout: float | None = Field(None, gt=0, description="seconds that a structure may take")
    max_memory: float | None = Field(
        None, gt=0, description="MB that PySCF aims at for each structure; left out: 4000"
    )
    retry: bool = Field(True, description="try structures again that failed in an earlier run")

    @model_validator(mode="after")
    def _check(self) -> GenerateOptions:
        if self.structures is None and self.smiles is None:
            raise ValueError("structures is missing: give it, or smiles and sampling")
        if self.smiles is not None and self.sampling is None:
            raise ValueError("smiles is given without sampling: say how (`sampling: {}` at least)")
        if self.model is not None and self.max_memory is not None:
            raise ValueError("max_memory is for self-consistent runs: leave it out beside model")
        return self
