"""Whether a run of FHI-aims has given what it was to give, judged by its files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .basis_info import read_basis_info
from .basis_keywords import NAME as CONTROL
from .geometry import read_geometry
from .layout import step_directory, structure_directories
from .number_files import count_lines
from .output import AimsOutput, read_output
from .overlap import BINARY, check_layout, read_binary
from .overlap import NAME as OVERLAP
from .ri_files import COEFFICIENTS, PROJECTIONS
from .settings import Step
from .versions import OUTPUT, version_of_directory

#: Notes about the last run in a directory.
RECORD = "run.json"

#: Restart files of the density matrix.
DENSITY_MATRICES = "D_spin_*_kpt_*.csc"

#: absent: not set up; ready: not run; failed: with a reason; done.
State = Literal["absent", "ready", "failed", "done"]


@dataclass(frozen=True)
class Verdict:
    """What has come of a run.

    Attributes
    ----------
    directory, step
        The run.
    state
        ``"absent"``, ``"ready"``, ``"failed"`` or ``"done"``.
    reason
        Why it failed.
    output
        What its output says, if it has one.
    """

    directory: Path
    step: Step
    state: State
    reason: str = ""
    output: AimsOutput | None = None


class _RunError(Exception):
    """What is wrong with a run."""


def judge(directory: str | os.PathLike[str], step: Step) -> Verdict:
    """Look at a run: normal end, real self-consistency, version, and all of its files."""
    folder = Path(directory)
    if not (folder / CONTROL).exists():
        return Verdict(folder, step, "absent")
    noted = str(_note(folder).get("reason", ""))
    if not (folder / OUTPUT).exists():
        return Verdict(folder, step, "failed" if noted else "ready", noted)
    output = None
    try:
        output = read_output(folder)
        _check_end(output, noted)
        _check_structure(folder, output)
        _CHECKS[step](folder, output)
    except (_RunError, ValueError, OSError) as error:
        return Verdict(folder, step, "failed", str(error), output)
    return Verdict(folder, step, "done", "", output)


def status(root: str | os.PathLike[str], steps: Sequence[Step]) -> Iterator[Verdict]:
    """Verdicts of all steps of all structures, in their order.

    Raises
    ------
    FileNotFoundError
        There are no runs.
    """
    for structure in structure_directories(root):
        for step in steps:
            yield judge(step_directory(structure, step), step)


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the files whose numbers are counted, for the note about a run that is done."""
    counted = (folder / name for name in (COEFFICIENTS, PROJECTIONS, OVERLAP, BINARY))
    return {path.name: path.stat().st_size for path in counted if path.exists()}


def _note(folder: Path) -> dict[str, Any]:
    """The note about the last run; empty if there is none."""
    try:
        return dict(json.loads((folder / RECORD).read_text()))
    except (OSError, ValueError):
        return {}


def _check_end(output: AimsOutput, noted: str) -> None:
    if noted:
        raise _RunError(noted)
    if output.not_converged:
        raise _RunError("FHI-aims says that self-consistency was not reached")
    if not output.normal_end:
        raise _RunError(f'{OUTPUT} does not end with "Have a nice day."')
    if output.version is None:
        raise _RunError(f"{OUTPUT} does not name the version of FHI-aims")


def _check_structure(folder: Path, output: AimsOutput) -> None:
    natoms = len(read_geometry(folder).atoms)
    if output.number_of_atoms not in (None, natoms):
        raise _RunError(f"{OUTPUT} has {output.number_of_atoms} atoms, geometry.in {natoms}")
    if output.atoms_moved:
        raise _RunError("the atoms have moved, so that geometry.in is another structure")
    if output.total_energy is None:
        raise _RunError(f"{OUTPUT} has no total energy")


def _check_scf(folder: Path, output: AimsOutput) -> None:
    _check_convergence(output)
    # a fit that is there does not need them any more, and they are large
    fitted = (step_directory(folder.parent, "fit") / COEFFICIENTS).exists()
    if not fitted and not any(folder.glob(DENSITY_MATRICES)):
        raise _RunError("there is no restart file of the density matrix (D_spin_*.csc)")


def _check_convergence(output: AimsOutput) -> None:
    if not output.scf_converged:
        raise _RunError(f"not self-consistent after {output.scf_cycles or 0} cycles")


def _check_fit(folder: Path, output: AimsOutput) -> None:
    version_of_directory(folder)
    before = step_directory(folder.parent, "scf")
    if (before / CONTROL).exists():
        found = read_output(before)
        _check_end(found, "")
        _check_convergence(found)
    basis = read_basis_info(folder)
    basis.check_atoms(len(read_geometry(folder).atoms))
    if _note(folder).get("sizes") == sizes(folder):
        return  # counted when the run ended
    for name in (COEFFICIENTS, PROJECTIONS):
        lines = count_lines(folder / name)
        if lines != basis.size:
            raise _RunError(f"{name} has {lines} lines, but the basis {basis.size} functions")
    if (folder / OVERLAP).exists():
        check_layout(folder / OVERLAP, basis.size)
    elif (folder / BINARY).exists():
        read_binary(folder / BINARY, basis.size)


def _check_rebuild(folder: Path, output: AimsOutput) -> None:
    if output.version is not None:
        version_of_directory(folder)


_CHECKS = {"scf": _check_scf, "fit": _check_fit, "rebuild": _check_rebuild}
