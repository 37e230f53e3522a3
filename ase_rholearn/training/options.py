"""Options of the training commands: YAML files, checked by pydantic."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from inspect import isclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..basis import Basis, even_tempered, from_pyscf
from ..model import NeighborDensity, NetworkOptions
from ..references.pyscf import KohnSham
from .closed_form import ClosedForm
from .fitting.grids import GridStatement
from .fitting.sources import Statement
from .generation import Workers
from .sampling import XTB, Conformers, Dynamics, Rattle, SamplingPlan


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KohnShamOptions(_Section):
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


class BasisOptions(_Section):
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
        from ..references.pyscf import atomic_densities

        return basis.with_atomic_densities(
            atomic_densities(basis.species, xc=level.xc, orbital_basis=level.orbital_basis)
        )


class WorkerOptions(_Section):
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


class ConformerOptions(_Section):
    """Conformers of SMILES, by RDKit."""

    count: int = Field(5, ge=1, description="most conformers, those of lowest energy")
    rmsd: float = Field(0.3, ge=0, description="nearer ones are the same, Angstrom")
    attempts: int = Field(20, ge=1, description="embeddings for each conformer wanted")
    steps: int = Field(2000, ge=1, description="most steps of the force field")


class RelaxOptions(_Section):
    """Relaxation with xTB, by tblite."""

    method: Literal["GFN2-xTB", "GFN1-xTB"] = "GFN2-xTB"
    fmax: float = Field(0.05, gt=0, description="largest force at the end, eV/Angstrom")
    steps: int = Field(500, ge=1, description="most steps")
    keep_bonds: bool = Field(True, description="refuse results with other bonds")


class DynamicsOptions(_Section):
    """Langevin dynamics with xTB, by tblite."""

    method: Literal["GFN2-xTB", "GFN1-xTB"] = "GFN2-xTB"
    temperature: float = Field(300.0, gt=0, le=5000, description="Kelvin")
    frames: int = Field(10, ge=1, description="structures to take")
    spacing_fs: float = Field(100.0, gt=0, description="time between two of them, fs")
    equilibration_fs: float = Field(500.0, ge=0, description="time before the first, fs")
    timestep_fs: float = Field(0.5, gt=0, le=2, description="time step, fs")
    friction: float = Field(0.02, gt=0, le=1, description="of the thermostat, 1/fs")
    keep_bonds: bool = Field(True, description="stop where bonds change")


class RattleOptions(_Section):
    """Random displacements."""

    copies: int = Field(1, ge=1, description="copies of each structure")
    stdev: float = Field(0.05, ge=0, le=1, description="of each displacement, Angstrom")
    closest: float = Field(
        0.75, ge=0, le=1, description="fraction of covalent radii below which to draw again"
    )
    strain: float = Field(0.0, ge=0, le=0.2, description="of periodic cells")
    original: bool = Field(False, description="keep the structure itself too")


class SamplingOptions(_Section):
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


class GenerateOptions(_Section):
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
        return self


class SplitOptions(_Section):
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


class ModelOptions(_Section):
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


class LossOptions(_Section):
    """What is minimised: dc^T M dc per electron, M = (1 - coulomb) S + coulomb J."""

    coulomb: float = Field(0.0, ge=0, le=1, description="share of the Coulomb metric")


class StartOptions(_Section):
    """Closed-form start; see ase_rholearn.training.closed_form."""

    components: int = Field(256, ge=1, description="components of the linear map")
    gate_scale: float = Field(0.3, gt=0, description="spread of the gates' phases")
    ridge: float = Field(1e-6, gt=0, description="relative ridge term")
    iterations: int = Field(200, ge=1, description="most steps of conjugate gradients")
    tolerance: float = Field(1e-5, gt=0, description="relative residual at which they stop")

    def closed_form(self) -> ClosedForm:
        """The same for :func:`~ase_rholearn.training.closed_form.initialize`."""
        return ClosedForm(**self.model_dump())


class GradientOptions(_Section):
    """Gradient training between the closed-form start and a last solve for the readout."""

    epochs: int = Field(100, ge=0, description="0 leaves only the closed form")
    batch_size: int = Field(8, ge=1, description="structures a step")
    learning_rate: float = Field(
        0.03, gt=0, description="largest step of the one-cycle schedule, relative to the weights"
    )
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["float32", "float64"] = Field("float32", description="of gradient steps")
    finish: bool = Field(True, description="solve for the readout again at the end")


class CardOptions(_Section):
    """What the model file says about itself."""

    description: str = ""
    licence: str = "CC-BY-4.0"
    citation: str = ""


class TrainOptions(_Section):
    """Options of ``ase-rholearn train``."""

    name: str = Field(description="name of the model")
    dataset: Path = Field(description="folder of the data set")
    output: Path = Field(description="folder of the run")
    split: SplitOptions = Field(default_factory=SplitOptions)
    model: ModelOptions = Field(default_factory=ModelOptions)
    loss: LossOptions = Field(default_factory=LossOptions)
    start: StartOptions = Field(default_factory=StartOptions)
    gradient: GradientOptions = Field(default_factory=GradientOptions)
    card: CardOptions = Field(default_factory=CardOptions)
    seed: int = Field(0, description="of gates and batches")

    @model_validator(mode="after")
    def _check(self) -> TrainOptions:
        self.model.network()  # raises where the architecture makes no sense
        return self


class GridOptions(_Section):
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


class FitOptions(_Section):
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


Options = TypeVar("Options", bound=BaseModel)


def load_options(kind: type[Options], path: str | os.PathLike[str]) -> Options:
    """Read and check a YAML file. Relative paths in it start from the file's folder.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file, or something in it is wrong; the message names the key.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no options file {path}")
    try:
        data = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not a YAML file: {reason}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds no options: give `key: value` lines")
    try:
        options = kind.model_validate(data)
    except ValidationError as error:
        raise ValueError(f"{path}: {_explain(error, kind)}") from error
    return _with_paths_from(options, path.parent)


def _with_paths_from(options: Options, folder: Path) -> Options:
    """The same options, their relative paths starting from a folder."""
    moved: dict[str, Any] = {}
    for name, value in options:
        if isinstance(value, Path):
            moved[name] = folder / value  # an absolute one stays
        elif isinstance(value, list):
            moved[name] = [folder / v if isinstance(v, Path) else v for v in value]
        elif isinstance(value, BaseModel):
            moved[name] = _with_paths_from(value, folder)
    return options.model_copy(update=moved)


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """Each mistake as "key: what is wrong", with the nearest known name of an unknown key."""
    lines = []
    for entry in error.errors():
        key = ".".join(str(part) for part in entry["loc"])
        if not key:
            # a check of several options together, which names them
            lines.append(entry["msg"].removeprefix("Value error, "))
        elif entry["type"] == "extra_forbidden":
            names = list(_known_keys(kind))
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.0)
            lines.append(f"{key} is not an option: do you mean {near[0]}?")
        elif entry["type"] == "missing":
            lines.append(f"{key} is missing")
        else:
            lines.append(f"{key} is {entry['input']!r}: {entry['msg']}")
    return "; ".join(lines)


def _known_keys(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, entry in kind.model_fields.items():
        annotation: Any = entry.annotation
        yield prefix + name
        for part in (annotation, *get_args(annotation)):  # a section may be left out
            # Python 3.10 takes list[int] for a class
            if get_origin(part) is None and isclass(part) and issubclass(part, BaseModel):
                yield from _known_keys(part, f"{prefix}{name}.")
