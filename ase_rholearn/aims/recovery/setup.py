"""Directories of the runs from which radial functions are recovered."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ase.data import chemical_symbols

from ...files import atomic_write
from ..basis_info import NAME as BASIS
from ..basis_info import write_basis_info
from ..basis_keywords import NAME as CONTROL
from ..basis_keywords import read_basis_keywords
from ..geometry import read_geometry
from ..layout import step_directory, structure_directory
from ..restart import write_restart
from ..ri_files import read_ri_fit
from ..settings import AimsSettings, Step
from ..setup import set_up_step
from ..species import species_directory
from .plan import Displacement, displaced, plan_displacements

_MULTIPLIER = re.compile(r"^(\s*radial_multiplier\s+)\d+", re.MULTILINE)

#: What was changed where.
PLAN = "recovery.json"

#: The step of the runs: those of :func:`~ase_rholearn.aims.run_all`, which can run them.
_STEP: Step = "rebuild"


def set_up_recovery(
    fit: str | os.PathLike[str],
    root: str | os.PathLike[str],
    settings: AimsSettings,
    *,
    size: float = 0.01,
    radial_multiplier: int = 8,
    experimental: bool = False,
) -> list[Path]:
    """Write input files of runs that rebuild a fitted density and changed ones. Experimental.

    Parameters
    ----------
    fit
        Directory of the fit of separate atoms, see :func:`recovery_structure`, with its
        ``control.in`` or without.
    root
        Folder of the runs: in ``000000/rebuild`` nothing is changed, in ``000001/rebuild`` and
        so on the first and further functions are. ``run_all(root, ["rebuild"])`` runs them.
    settings
        Those of the fit.
    size
        See :func:`plan_displacements`.
    radial_multiplier
        Density of the radial grid, instead of that of the species defaults: the functions are
        known at its radii, and do not depend on it.
    experimental
        Whether to go on though no real run has confirmed the method.

    Returns
    -------
    list of pathlib.Path
        The directories; each is to be run.

    Raises
    ------
    ValueError
        ``experimental`` is False, the structure does not suit, or the folder has runs of another
        plan.
    """
    if not experimental:
        raise ValueError(
            "experimental is False: no real run of FHI-aims has confirmed the recovery of radial "
            "functions; its own checks tell whether it works, so try it with experimental=True"
        )
    source, folder = Path(fit), Path(root)
    atoms, found = read_geometry(source).atoms, read_ri_fit(source)
    plan = plan_displacements(atoms, found.basis, found.overlap, size=size)
    if (folder / PLAN).exists() and read_plan(folder) != (source.absolute(), plan):
        raise ValueError(
            f"{folder} has runs of another fit or size: give another root, or remove it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(folder, source, plan)
    defaults = _with_radial_multiplier(
        species_directory(settings.species_directory),
        folder / "species",
        set(atoms.numbers.tolist()),
        radial_multiplier,
    )
    runs = sorted({one.run for one in plan})
    changed = [
        displaced(found.coefficients, found.basis, [one for one in plan if one.run == run])
        for run in runs
    ]
    folders = [directory_of(folder, run) for run in (None, *runs)]
    for directory, coefficients in zip(folders, (found.coefficients, *changed), strict=True):
        set_up_step(directory, atoms, settings, _STEP, defaults)
        write_basis_info(directory / BASIS, found.basis)
        write_restart(directory, atoms, coefficients, version=found.version)
    _check_keywords(source, folders[0])
    return folders


def _check_keywords(fit: Path, run: Path) -> None:
    """Raise a ValueError if the runs have another product basis than the fit, as far as it says.

    Species differ by their radial grids.
    """
    if not (fit / CONTROL).exists():
        return
    theirs, ours = (read_basis_keywords(folder).keywords for folder in (fit, run))
    if theirs != ours:
        raise ValueError(
            f"{fit} was made with {dict(theirs)}, the settings say {dict(ours)}: give those of the "
            "fit"
        )


def directory_of(root: Path, run: int | None) -> Path:
    """Where a run is; None is the one that nothing is changed in."""
    return step_directory(structure_directory(root, 0 if run is None else run + 1), _STEP)


def read_plan(folder: Path) -> tuple[Path, list[Displacement]]:
    """Directory of the fit, and what was changed where."""
    path = folder / PLAN
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: set_up_recovery writes it")
    content = json.loads(path.read_text())
    return Path(content["fit"]), [Displacement.from_dict(d) for d in content["displacements"]]


def _with_radial_multiplier(
    defaults: Path, copy: Path, numbers: Iterable[int], multiplier: int
) -> Path:
    """Species defaults with a denser radial grid, in a folder of their own."""
    if multiplier < 1:
        raise ValueError(f"radial_multiplier is {multiplier}: give 1 or more")
    copy.mkdir(parents=True, exist_ok=True)
    for z in sorted(numbers):
        name = f"{z:02d}_{chemical_symbols[z]}_default"
        if not (defaults / name).exists():
            raise FileNotFoundError(f"there is no {defaults / name}")
        text = (defaults / name).read_text()
        text, count = _MULTIPLIER.subn(rf"\g<1>{multiplier}", text)
        if count == 0:
            text = text.rstrip("\n") + f"\n    radial_multiplier {multiplier}\n"
        with atomic_write(copy / name, "w") as stream:
            stream.write(text)
    return copy


def write_plan(folder: Path, fit: Path, plan: Sequence[Displacement]) -> None:
    """Keep what was changed where."""
    with atomic_write(folder / PLAN, "w") as stream:
        entries = [one.to_dict() for one in plan]
        json.dump({"fit": os.fspath(fit.absolute()), "displacements": entries}, stream, indent=1)
