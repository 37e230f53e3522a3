"""Options of ``ase-rholearn aims``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ...aims.cube_requests import CubeGrid
from ...aims.orbital_weights import EnergyWindow
from ...aims.settings import AimsSettings
from .references import WorkerOptions
from .section import Section


class CubeOptions(Section):
    """Where FHI-aims tabulates densities."""

    spacing: float = Field(0.1, gt=0, description="largest distance of points, Angstrom")
    margin: float = Field(3.0, ge=0, description="space around molecules, Angstrom")


class WindowOptions(Section):
    """Energies between which the local density of states is integrated, from the Fermi level."""

    low: float = Field(-2.0, description="eV")
    high: float = Field(0.0, description="eV")
    width: float = Field(0.1, gt=0, description="of the Gaussian of each state, eV")


class AimsOptions(Section):
    """Options of ``ase-rholearn aims``."""

    structures: Path = Field(description="file that ASE reads, any number of frames")
    runs: Path = Field(description="folder of the runs, a directory for each structure")
    dataset: Path | None = Field(None, description="folder of the data set, for `aims collect`")
    command: str | None = Field(
        None,
        description='runs FHI-aims, such as "mpiexec -n 8 aims.x"; left out: ASE\'s configuration',
    )
    species_directory: Path | None = Field(
        None, description="species defaults; left out: ASE's configuration, or AIMS_SPECIES_DIR"
    )
    keywords: dict[str, Any] = Field(
        default_factory=lambda: {"xc": "pbe", "relativistic": "atomic_zora scalar"},
        description="of control.in, for all steps",
    )
    product_accuracy: float = Field(1e-5, gt=0, lt=1, description="default_prodbas_acc")
    product_l_max: int | None = Field(
        None, ge=0, description="default_max_l_prodbas; left out: FHI-aims' own"
    )
    k_density: float | None = Field(
        None,
        gt=0,
        description="points of the k-grid per reciprocal Angstrom, of periodic structures",
    )
    k_grid: tuple[int, int, int] | None = Field(
        None, description="the k-grid, instead of k_density"
    )
    scf: dict[str, Any] = Field(default_factory=dict, description="more keywords of this step")
    fit: dict[str, Any] = Field(default_factory=dict, description="more keywords of this step")
    rebuild: dict[str, Any] = Field(default_factory=dict, description="more keywords of this step")
    quantity: Literal["density", "homo", "lumo", "ildos"] = Field(
        "density", description="what is fitted; all but the density are experimental"
    )
    window: WindowOptions = Field(default_factory=WindowOptions)
    masked: list[str] = Field(
        default_factory=list, description="species without product functions; experimental"
    )
    experimental: bool = Field(False, description="allow what no public evidence confirms")
    cube: CubeOptions | None = Field(None, description="ask for cubes of the densities")
    workers: WorkerOptions = Field(default_factory=WorkerOptions)
    timeout: float | None = Field(None, gt=0, description="seconds that a run may take")
    retry: bool = Field(True, description="run again what failed in an earlier run")
    keep_overlap_text: bool = Field(
        False, description="keep ri_ovlp.out beside ri_ovlp.npy, for other programs that read it"
    )

    def settings(self) -> AimsSettings:
        """The same for :func:`~ase_rholearn.aims.set_up`."""
        return AimsSettings(
            keywords=self.keywords,
            species_directory=self.species_directory,
            product_accuracy=self.product_accuracy,
            product_l_max=self.product_l_max,
            k_density=self.k_density,
            k_grid=self.k_grid,
            cube=None if self.cube is None else CubeGrid(**self.cube.model_dump()),
            scf=self.scf,
            fit=self.fit,
            rebuild=self.rebuild,
            masked=tuple(self.masked),
            quantity=self.quantity,
            window=EnergyWindow(**self.window.model_dump()),
            experimental=self.experimental,
        )

    def level(self) -> dict[str, Any]:
        """What a data set of these runs keeps of the level of theory."""
        found: dict[str, Any] = {
            "keywords": self.keywords,
            "product_accuracy": self.product_accuracy,
            "product_l_max": self.product_l_max,
            "quantity": self.quantity,
        }
        if self.quantity == "ildos":
            found["window"] = self.window.model_dump()
        return {name: value for name, value in found.items() if value is not None}

    @model_validator(mode="after")
    def _check(self) -> AimsOptions:
        self.settings()  # raises for what cannot be
        return self
