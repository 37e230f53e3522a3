"""``aims.out``: what a run of FHI-aims says about itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .eigenvalues import Eigenvalues, EigenvalueTables
from .product_table import ProductFunction, ProductTable, number
from .run_files import file_of_run
from .versions import OUTPUT, version_of_output

#: Contributions to the energy whose line has Hartree and eV.
_PARTS = {
    "| Sum of eigenvalues": "sum_of_eigenvalues",
    "| XC energy correction": "xc_correction",
    "| Hartree energy correction": "hartree_correction",
    "| Kinetic energy": "kinetic",
    "| Electrostatic energy": "electrostatic",
}


@dataclass(frozen=True)
class AimsOutput:
    """What was found in an output; None where it does not say. Energies in eV.

    Attributes
    ----------
    version
        As the number YYMMDD.
    number_of_atoms, number_of_electrons, spin_channels, number_of_states, k_points
        Of the structure; k_points is None for molecules.
    grid_points
        Points of the integration grid: all, and those that are not zero.
    total_energy, free_energy
        Of the last structure.
    energy_parts
        ``sum_of_eigenvalues``, ``xc_correction``, ``hartree_correction``, ``kinetic``,
        ``electrostatic``.
    forces
        Shape (natoms, 3), eV/Angstrom.
    stress
        Of the last structure: shape (3, 3), eV/Angstrom^3.
    scf_cycles
        Of the last structure. Fits and rebuilt densities have none.
    says_converged
        Whether the output says so, which it does after no cycle at all, too.
    not_converged
        Whether it says that it did not converge.
    fermi_level, homo, lumo, gap
        Of the last self-consistency cycle.
    eigenvalues
        The last table of each k-point and spin; with ``output_level MD_light``, FHI-aims prints
        that of the first cycle only.
    dipole
        Shape (3,), e Angstrom.
    product_basis
        Radial functions of the product basis of each species.
    product_accuracy
        ``prodbas_acc`` of each species.
    atoms_moved
        Whether the structure of the end is another one than that of ``geometry.in``.
    normal_end
        Whether FHI-aims wished a nice day.
    total_time
        Wall time in seconds.
    """

    version: int | None = None
    number_of_atoms: int | None = None
    number_of_electrons: float | None = None
    spin_channels: int | None = None
    number_of_states: int | None = None
    k_points: int | None = None
    grid_points: tuple[int, int | None] | None = None
    total_energy: float | None = None
    free_energy: float | None = None
    energy_parts: dict[str, float] = field(default_factory=dict)
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    scf_cycles: int | None = None
    says_converged: bool = False
    not_converged: bool = False
    fermi_level: float | None = None
    homo: float | None = None
    lumo: float | None = None
    gap: float | None = None
    eigenvalues: tuple[Eigenvalues, ...] = ()
    dipole: np.ndarray | None = None
    product_basis: dict[str, tuple[ProductFunction, ...]] = field(default_factory=dict)
    product_accuracy: dict[str, float] = field(default_factory=dict)
    atoms_moved: bool = False
    normal_end: bool = False
    total_time: float | None = None

    @property
    def scf_converged(self) -> bool:
        """Whether self-consistency was reached, by at least one cycle."""
        return self.says_converged and not self.not_converged and bool(self.scf_cycles)


def read_output(path: str | os.PathLike[str]) -> AimsOutput:
    """Read an output of any version, complete or not.

    Parameters
    ----------
    path
        The file, or the directory that holds ``aims.out``.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It names two versions.
    """
    path = file_of_run(path, OUTPUT)
    reader = _Reader()
    with path.open(encoding="utf8", errors="replace") as stream:
        for line in stream:
            reader.look(line)
    return reader.result(version_of_output(path))


@dataclass(frozen=True)
class _Marker:
    """Text that a line contains, a pattern that it matches, and what the groups become."""

    text: str
    pattern: re.Pattern[str]
    field: str
    convert: Callable[..., Any]
    #: later self-consistency cycles count, but not what is computed after them
    of_scf: bool = False

    @classmethod
    def of(
        cls, text: str, rest: str, name: str, convert: Callable[..., Any], *, of_scf: bool = False
    ) -> _Marker:
        """Of a text that the line has literally, and a pattern of what follows it."""
        return cls(text, re.compile(re.escape(text) + rest), name, convert, of_scf)


_NUMBER = r"\s*:?\s*(\S+)"
_EV = r"\s*:?\s*(\S+) eV"

_MARKERS = (
    _Marker.of("| Number of atoms", r"\s*:\s*(\d+)", "number_of_atoms", int),
    _Marker.of(
        "The structure contains",
        r"\s+\d+ atoms,\s+and a total of\s+(\S+) electrons",
        "number_of_electrons",
        number,
    ),
    _Marker.of("| Number of spin channels", r"\s*:\s*(\d+)", "spin_channels", int),
    _Marker.of(
        "| Number of Kohn-Sham states (occupied + empty)", r":\s*(\d+)", "number_of_states", int
    ),
    _Marker.of("Kohn-Sham states to", r"\s*(\d+)", "number_of_states", int),
    _Marker.of("| Number of k-points", r"\s*:\s*(\d+)", "k_points", int),
    _Marker.of("| Net number of integration points", r":\s*(\d+)", "points", int),
    _Marker.of("of which are non-zero points", r"\s*:\s*(\d+)", "nonzero_points", int),
    _Marker.of(
        "| Total energy of the DFT / Hartree-Fock s.c.f. calculation", _EV, "final_energy", number
    ),
    _Marker.of("| Total energy uncorrected", _EV, "total_energy", number),
    _Marker.of("| Electronic free energy", r"\s*:\s*(\S+) eV", "free_energy", number),
    _Marker.of("| Number of self-consistency cycles", r"\s*:\s*(\d+)", "final_cycles", int),
    _Marker.of(
        "| Chemical potential (Fermi level):", r"\s*(\S+) eV", "fermi_level", number, of_scf=True
    ),
    _Marker.of(
        "| Chemical potential (Fermi level) in eV",
        r"\s*:\s*(\S+)",
        "fermi_level",
        number,
        of_scf=True,
    ),
    _Marker.of("| Chemical Potential", r"\s*:\s*(\S+) eV", "fermi_level", number, of_scf=True),
    _Marker.of("Highest occupied state (VBM) at", _EV, "homo", number, of_scf=True),
    _Marker.of("Lowest unoccupied state (CBM) at", _EV, "lumo", number, of_scf=True),
    _Marker.of("HOMO-LUMO gap:", r"\s*(\S+) eV", "gap", number, of_scf=True),
    _Marker.of(
        "| Total dipole moment [eAng]",
        r"\s*:\s*(\S+)\s+(\S+)\s+(\S+)",
        "dipole",
        lambda *xyz: np.array([number(x) for x in xyz]),
    ),
    _Marker.of("| Total time", r"\s*:\s*\S+ s\s+(\S+) s", "total_time", number),
)

_ACCURACY = re.compile(r"Species\s+(\S+): Using .* prodbas_acc =\s*(\S+?)\.?\s*$")
_STEP = re.compile(r"Begin self-consistency iteration #\s*(\d+)|^\s*SCF\s+(\d+) :")
_FORCE = re.compile(r"^\s*\|\s*\d+\s+(\S+)\s+(\S+)\s+(\S+)\s*$")
_STRESS = re.compile(r"^\s*\|\s+[xyz]\s+(\S+)\s+(\S+)\s+(\S+)\s+\|\s*$")
_PART = re.compile(r"\s*:\s*\S+ Ha\s+(\S+) eV")


class _Reader:
    """Takes in an output line by line."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.parts: dict[str, float] = {}
        self.accuracy: dict[str, float] = {}
        self.forces: list[list[float]] | None = None
        self.stress: list[list[float]] = []
        self.steps: int | None = None
        self.marks: set[str] = set()
        self._table, self._eigenvalues = ProductTable(), EigenvalueTables()
        self._after_scf = self._in_forces = False

    def look(self, line: str) -> None:
        """Take in the next line."""
        self._table.look(line)
        self._eigenvalues.look(line, frozen=self._after_scf)
        self._look_for_states(line)
        self._look_for_forces(line)
        for marker in _MARKERS:
            if marker.text not in line:
                continue
            match = marker.pattern.search(line)
            if match and not (marker.of_scf and self._after_scf and marker.field in self.found):
                self.found[marker.field] = marker.convert(*match.groups())
        for text, name in _PARTS.items():
            if text in line and (match := _PART.search(line)):
                self.parts[name] = number(match[1])
        if "prodbas_acc" in line and (match := _ACCURACY.search(line)):
            self.accuracy[match[1]] = number(match[2])

    def _look_for_states(self, line: str) -> None:
        if "self-consistency iteration" in line or line.lstrip().startswith("SCF "):
            if match := _STEP.search(line):
                self.steps = int(match[1] or match[2])
        elif "Begin self-consistency loop" in line:
            self._after_scf, self.steps = False, 0
            self.marks -= {"converged", "not converged"}
        elif "Self-consistency cycle converged." in line:
            self._after_scf = True
            self.marks.add("converged")
        elif "SELF-CONSISTENCY CYCLE DID NOT CONVERGE" in line:
            self._after_scf = True
            self.marks.add("not converged")
        elif "Have a nice day." in line:
            self.marks.add("end")
        elif "Updated atomic structure" in line or "used in the preceding time step" in line:
            self.marks.add("moved")

    def _look_for_forces(self, line: str) -> None:
        if "Total atomic forces (unitary forces cleaned)" in line:
            self.forces, self._in_forces = [], True
        elif "stress tensor" in line and line.lstrip().startswith("|"):
            self.stress = []
        elif len(self.stress) < 3 and (match := _STRESS.match(line)):
            self.stress.append([number(x) for x in match.groups()])
        elif self._in_forces:
            match = _FORCE.match(line)
            self._in_forces = match is not None
            if match and self.forces is not None:
                self.forces.append([number(x) for x in match.groups()])

    def result(self, version: int | None) -> AimsOutput:
        """What has been found."""
        found = dict(self.found)
        final, cycles = found.pop("final_energy", None), found.pop("final_cycles", None)
        points, nonzero = found.pop("points", None), found.pop("nonzero_points", None)
        if final is not None:
            found["total_energy"] = final
        return AimsOutput(
            version=version,
            grid_points=None if points is None else (points, nonzero),
            energy_parts=self.parts,
            forces=np.array(self.forces) if self.forces else None,
            stress=np.array(self.stress) if len(self.stress) == 3 else None,
            # the number at the end counts the cycles of all structures
            scf_cycles=cycles if cycles is not None and "moved" not in self.marks else self.steps,
            says_converged="converged" in self.marks,
            not_converged="not converged" in self.marks,
            eigenvalues=self._eigenvalues.tables,
            product_basis=self._table.functions,
            product_accuracy=self.accuracy,
            atoms_moved="moved" in self.marks,
            normal_end="end" in self.marks,
            **found,
        )
