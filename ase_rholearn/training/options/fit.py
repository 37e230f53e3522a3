"""Options of ``ase-rholearn fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ..fitting.grids import GridStatement
from ..fitting.sources import Statement
from .references import BasisOptions, KohnShamOptions, WorkerOptions
from .section import Section


class GridOptions(Section):
    """What densities on grids (cube, CHGCAR) are, how they are fitted, and with which basis."""

    kind: Literal["all-electron", "valence"] = Field(
        description="valence for codes with pseudopotentials"
    )
    core_charges: dict[str, float] = Field(
        default_factory=dict,
        description="valence: valence electrons of the pseudopotential, by symbol",
    )
    periodic: bool | None = Field(None, description="whether a cube is the cell of a crystal")
    charge: int = Field(0, description="total charge of the structures")
    unit: Literal["e/bohr^3", "e/Angstrom^3"] = Field("e/bohr^3", description="of cubes")
    tolerance: float | None = Field(
        None, gt=0, description="electrons that the sum over the grid may be off"
    )
    metric: Literal["overlap", "coulomb"] = Field("overlap", description="metric of the fit")
    excluded_radius: float | dict[str, float] = Field(
        0.0, description="points nearer to a nucleus are left out, Angstrom; also by symbol"
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="how the densities were made: code, xc, cut-off"
    )
    beta: float = Field(1.8, gt=1, description="ratio of the basis's exponents")
    l_max: int | dict[str, int] | None = Field(None, description="highest l, also by symbol")
    smallest: float | dict[str, float] | None = Field(
        None, description="smallest exponent, bohr^-2, also by symbol"
    )
    largest: float | dict[str, float] | None = Field(
        None, description="largest exponent, bohr^-2, also by symbol; the grid limits it too"
    )
    atoms_xc: str = Field("PBE", description="all-electron: functional of the free atoms")
    atoms_orbital_basis: str = Field(
        "def2-tzvp", description="all-electron: AO basis of the free atoms"
    )

    def statement(self) -> GridStatement:
        """The same for the sources of a fit."""
        return GridStatement(**self.model_dump())


class FitOptions(Section):
    """Options of ``ase-rholearn fit``."""

    sources: list[Path] = Field(
        min_length=1,
        description="files (PySCF checkpoints, Molden, orbitals in npz, cubes, CHGCAR), patterns "
        "such as runs/*.chk, and data sets, for another basis",
    )
    dataset: Path = Field(description="folder of the data set")
    kohn_sham: KohnShamOptions | None = Field(
        None,
        description="level of theory of the calculations: settings and ids are then those of "
        "generate with the same section, and both can fill one data set",
    )
    basis: BasisOptions = Field(default_factory=BasisOptions)
    grid: GridOptions | None = Field(None, description="densities on grids: what they are")
    converged: bool = Field(False, description="all calculations had converged")
    charge: int = Field(0, description="total charge of the molecules of Molden files")
    keep_orbitals: bool = Field(True, description="keep occupied orbitals, for fits of other bases")
    workers: WorkerOptions = Field(default_factory=WorkerOptions)
    timeout: float | None = Field(None, gt=0, description="seconds that a fit may take")
    retry: bool = Field(True, description="try calculations again that failed in an earlier run")

    def statement(self) -> Statement:
        """What is said about files that do not say it."""
        level = None if self.kohn_sham is None else self.kohn_sham.settings()
        grid = None if self.grid is None else self.grid.statement()
        return Statement(level, self.converged, self.charge, self.keep_orbitals, grid)

    @model_validator(mode="after")
    def _check(self) -> FitOptions:
        if self.grid is None:
            return self
        for name, used in (
            ("kohn_sham", self.kohn_sham is not None),
            ("basis", self.basis != BasisOptions()),
            ("charge", self.charge != 0),
        ):
            if used:
                raise ValueError(f"{name} is given beside grid, which has its own: leave it out")
        return self
