"""How references are made: level of theory, basis, and where they are computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ...basis import Basis, even_tempered, from_pyscf
from ...references.pyscf import KohnSham
from ..generation import Workers
from .section import Section


class KohnShamOptions(Section):
    """Level of theory of the reference calculations."""

    xc: str = Field("PBE", description="functional, in PySCF's notation")
    orbital_basis: str = Field("def2-tzvp", description="all-electron AO basis, a PySCF name")
    density_fit: bool = Field(True, description="density-fitted Coulomb integrals in the SCF")
    grid_level: int = Field(3, ge=0, le=9, description="quadrature grid of PySCF")
    conv_tol: float = Field(1e-9, gt=0, lt=1e-2, description="SCF convergence in Hartree")
    max_cycle: int = Field(100, ge=1, description="most SCF cycles")
    forces: bool = Field(True, description="compute forces too")
    metric: Literal["coulomb", "overlap"] = Field("coulomb", description="metric of the fit")

    def settings(self) -> KohnSham:
        """The same for :func:`~ase_rholearn.references.pyscf.reference`."""
        return KohnSham(**self.model_dump())


class BasisOptions(Section):
    """Auxiliary basis of the coefficients."""

    name: str | None = Field(None, description="a basis of PySCF; left out: even-tempered")
    beta: float = Field(2.0, gt=1, description="ratio of even-tempered exponents")
    l_max: int | dict[str, int] | None = Field(None, description="highest l, also by symbol")
    limits: dict[str, dict[int, tuple[float, float]]] = Field(
        default_factory=dict, description="smallest and largest exponent by symbol and l, bohr^-2"
    )
    deformation: bool = Field(True, description="learn the density minus that of free atoms")
    species: list[str] = Field(
        default_factory=list, description="symbols of more species than the first structures have"
    )

    def build(self, species: list[str], level: KohnShamOptions) -> Basis:
        """The basis for these species."""
        if self.name:
            basis = from_pyscf(self.name, species)
        else:
            basis = even_tempered(
                species,
                beta=self.beta,
                l_max=self.l_max,
                orbital_basis=level.orbital_basis,
                limits=self.limits,
            )
        if not self.deformation:
            return basis
        from ...references.pyscf import atomic_densities

        return basis.with_atomic_densities(
            atomic_densities(basis.species, xc=level.xc, orbital_basis=level.orbital_basis)
        )


class WorkerOptions(Section):
    """Where structures are computed; see ase_rholearn.training.generation.Workers."""

    kind: Literal["processes", "executorlib", "dask", "parsl"] = Field(
        "processes", description="processes of this machine, or an engine that knows a cluster"
    )
    count: int = Field(1, ge=1, description="structures that are computed at once")
    threads: int = Field(1, ge=1, description="threads for each")
    scheduler: str | None = Field(
        None, description="dask: address or file of a running scheduler; left out: this machine"
    )
    backend: Literal["single-node", "slurm-job", "slurm-cluster", "flux-job", "flux-cluster"] = (
        Field("single-node", description="executorlib: where its processes run")
    )
    resources: dict[str, Any] = Field(
        default_factory=dict, description="executorlib: its resource_dict"
    )
    config: Path | None = Field(
        None, description="parsl: Python file that defines `config`; left out: this machine"
    )

    def workers(self) -> Workers:
        """The same for :func:`~ase_rholearn.training.generation.generate`."""
        return Workers(**self.model_dump())

    @model_validator(mode="after")
    def _check(self) -> WorkerOptions:
        self.workers()  # raises for options of another engine
        return self
