"""What FHI-aims is to compute, and the keywords of each of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ase import Atoms
from ase.calculators.calculator import kptdensity2monkhorstpack

from ..structures import total_charge
from .basis_keywords import KEYWORDS
from .cube_requests import CubeGrid
from .orbital_weights import EnergyWindow

#: Self-consistent calculation; fit of its density; density rebuilt from given coefficients.
Step = Literal["scf", "fit", "rebuild"]

#: What is fitted.
Field = Literal["density", "homo", "lumo", "ildos"]

#: SCF cycles between restart files of the density matrix: more than there are, so that one is
#: written at the end.
_AT_THE_END = "write 1000"

#: Keywords that this package sets, and what sets them.
_MANAGED = {
    "charge": 'atoms.info["charge"]',
    "k_grid": "k_density or k_grid of the settings",
    "kpts": "k_density or k_grid of the settings",
    "k_grid_density": "k_density or k_grid of the settings",
    "default_prodbas_acc": "product_accuracy",
    "default_max_l_prodbas": "product_l_max",
    "cubes": "cube",
    "species_dir": "species_directory",
    "ri_density_restart": "the step",
    "ri_skip_scf": "the step",
    "ri_full_output": "the step",
    "ri_ovlp_write_triu": "the step",
    "elsi_restart": "the step",
}

#: Keywords with which atoms move, so that the fit is of another structure.
_MOVING = ("relax_geometry", "relax_unit_cell", "MD_run", "use_pimd_wrapper")


@dataclass(frozen=True)
class AimsSettings:
    """Level of theory and product basis of FHI-aims' runs.

    Attributes
    ----------
    keywords
        Of ``control.in``, for all steps: ``xc``, ``relativistic``, ``sc_accuracy_rho``, ...
    species_directory
        Defaults of species; left out: ASE's configuration, or AIMS_SPECIES_DIR.
    product_accuracy
        ``default_prodbas_acc``.
    product_l_max
        ``default_max_l_prodbas``; None for FHI-aims' own.
    k_density
        Points of the k-grid per reciprocal Angstrom, of periodic structures.
    k_grid
        The k-grid itself, instead of the density.
    cube
        Grid on which each step tabulates its density; None for no cubes.
    scf, fit, rebuild
        More keywords of one step.
    masked
        Species, such as ``C_1``, that get no product functions. Experimental.
    quantity
        What is fitted: the density, or with weights of orbitals the highest occupied or the
        lowest unoccupied orbital's density, or the integrated local density of states.
        All but the density are experimental; which keyword of ``fit`` makes FHI-aims read the
        weights is not public.
    window
        Of the integrated local density of states.
    experimental
        Allow what no public evidence confirms: spin, masked species, other quantities.
    """

    keywords: Mapping[str, Any] = field(
        default_factory=lambda: {"xc": "pbe", "relativistic": "atomic_zora scalar"}
    )
    species_directory: Path | None = None
    product_accuracy: float = 1e-5
    product_l_max: int | None = None
    k_density: float | None = None
    k_grid: tuple[int, int, int] | None = None
    cube: CubeGrid | None = None
    scf: Mapping[str, Any] = field(default_factory=dict)
    fit: Mapping[str, Any] = field(default_factory=dict)
    rebuild: Mapping[str, Any] = field(default_factory=dict)
    masked: tuple[str, ...] = ()
    quantity: Field = "density"
    window: EnergyWindow = field(default_factory=EnergyWindow)
    experimental: bool = False

    def __post_init__(self) -> None:
        if "xc" not in self.keywords:
            raise ValueError(f"keywords have no xc: {dict(self.keywords)}")
        if not 0 < self.product_accuracy < 1:
            raise ValueError(f"product_accuracy is {self.product_accuracy}: give 1e-5 or so")
        if self.quantity not in get_args(Field):
            raise ValueError(f"quantity is {self.quantity!r}: give one of {get_args(Field)}")
        if self.k_density is not None and self.k_grid is not None:
            raise ValueError("k_density and k_grid are both given: leave one out")
        for name in ("keywords", "scf", "fit", "rebuild"):
            _check_keywords(name, getattr(self, name))
        for name, needed in (
            ("a spin-polarised run", str(self.keywords.get("spin", "none")) != "none"),
            ("masked species", bool(self.masked)),
            (f"the quantity {self.quantity!r}", self.quantity != "density"),
        ):
            if needed and not self.experimental:
                raise ValueError(
                    f"{name}: how FHI-aims' fit treats it is not settled by public evidence; "
                    "experimental=True tries it all the same"
                )

    def control(self, step: Step, atoms: Atoms) -> dict[str, Any]:
        """Keywords of ``control.in`` for one step and structure.

        Raises
        ------
        ValueError
            A periodic structure without a k-grid, or one without a cell vector along some axis.
        """
        found = dict(self.keywords)
        charge = total_charge(atoms)
        if charge:
            found["charge"] = charge
        grid = self._k_grid(atoms)
        if grid is not None:
            found["k_grid"] = grid
        if step != "scf":
            found["default_prodbas_acc"] = self.product_accuracy
            if self.product_l_max is not None:
                found["default_max_l_prodbas"] = self.product_l_max
        found.update(_STEPS[step])
        found.update(getattr(self, step))
        if step == "scf" and self.quantity != "density":
            found["output"] = [*found.get("output", []), "eigenstate_info"]
        return found

    def _k_grid(self, atoms: Atoms) -> tuple[int, ...] | None:
        """Points along each axis; None for molecules, which must have none."""
        if not atoms.pbc.any():
            return None
        if not atoms.cell.rank == 3:
            raise ValueError(
                f"atoms.cell is {atoms.cell.tolist()}: FHI-aims repeats a periodic structure "
                "along three vectors, so give slabs and wires vacuum along the others"
            )
        if self.k_grid is not None:
            return tuple(int(n) for n in self.k_grid)
        if self.k_density is None:
            raise ValueError(
                f"{atoms.get_chemical_formula()} is periodic: give k_density or k_grid"
            )
        return tuple(int(n) for n in kptdensity2monkhorstpack(atoms, self.k_density, even=False))


_STEPS: dict[Step, dict[str, Any]] = {
    "scf": {"elsi_restart": _AT_THE_END},
    "fit": {
        "elsi_restart": "read",
        "ri_skip_scf": True,
        "ri_density_restart": "write",
        "ri_full_output": True,
        "ri_ovlp_write_triu": True,
    },
    "rebuild": {"ri_density_restart": "read 0", "ri_full_output": True},
}


def _check_keywords(name: str, keywords: Mapping[str, Any]) -> None:
    """Raise a ValueError for keywords that something else sets, or that move atoms."""
    for keyword in keywords:
        if keyword in _MANAGED:
            raise ValueError(f"{name} has {keyword!r}, which {_MANAGED[keyword]} decides")
        if keyword in _MOVING:
            raise ValueError(f"{name} has {keyword!r}, but the atoms of a fit must not move")
        if name != "keywords" and keyword in KEYWORDS:
            raise ValueError(
                f"{name} has {keyword!r}, on which the product basis depends: it has to be the "
                "same in all steps, give it in keywords"
            )
