"""Input files of FHI-aims for many structures."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from ase import Atoms

from ..files import atomic_write
from ..structures import check_atoms
from .ase_io import control_text, geometry_text
from .basis_keywords import NAME as CONTROL
from .basis_keywords import check_same_basis
from .cube_requests import cube_block
from .geometry import NAME as GEOMETRY
from .geometry import check_labels, read_geometry
from .layout import QUANTITY, step_directory, structure_directory
from .settings import AimsSettings, Step
from .species import species_directory, species_sections
from .versions import OUTPUT

#: Per-atom array with species that are not just elements, such as ``C_1``.
LABELS = "aims_species"

#: What each step tabulates.
_CUBES: dict[Step, str] = {
    "scf": "total_density",
    "fit": "ri_density",
    "rebuild": "total_density",
}

_ATOM = re.compile(r"^(atom\s+\S+\s+\S+\s+\S+\s+)\S+", re.MULTILINE)


def labels_of(atoms: Atoms) -> list[str]:
    """Species of each atom: ``atoms.arrays["aims_species"]``, else its symbol."""
    if LABELS not in atoms.arrays:
        return list(atoms.symbols)
    labels = [str(label) for label in atoms.arrays[LABELS]]
    check_labels(atoms, labels)
    return labels


def set_up(
    structures: Iterable[Atoms],
    root: str | os.PathLike[str],
    settings: AimsSettings,
    steps: Sequence[Step] = ("scf", "fit"),
    *,
    on_progress: Callable[[], None] = lambda: None,
) -> list[Path]:
    """Write input files of every structure, in a directory of its own.

    Directories that are there already stay as they are if they have the same structure and
    settings, so that more structures can be added at the end.

    Parameters
    ----------
    structures
        Any number; their order gives the names of the directories.
    root
        Folder of all of them.
    settings
        Level of theory and product basis.
    steps
        Which runs are set up.
    on_progress
        Called after each structure.

    Returns
    -------
    list of pathlib.Path
        The directory of each structure.

    Raises
    ------
    ValueError
        A structure that cannot be computed, or a directory that has another structure, or
        results with other settings.
    FileNotFoundError
        The species defaults are not there.
    """
    defaults = species_directory(settings.species_directory)
    made = []
    for index, atoms in enumerate(structures):
        check_atoms(atoms, argument=f"structure {index}")
        folder = structure_directory(root, index)
        for step in steps:
            try:
                set_up_step(step_directory(folder, step), atoms, settings, step, defaults)
            except (ValueError, FileNotFoundError) as error:
                raise type(error)(f"structure {index}: {error}") from error
        fit, rebuild = step_directory(folder, "fit"), step_directory(folder, "rebuild")
        if (fit / CONTROL).exists() and (rebuild / CONTROL).exists():
            check_same_basis(fit, rebuild)
        made.append(folder)
        on_progress()
    if not made:
        raise ValueError("structures are empty: give at least one")
    return made


def set_up_step(
    directory: Path, atoms: Atoms, settings: AimsSettings, step: Step, defaults: Path
) -> None:
    """Write ``geometry.in`` and ``control.in`` of one run.

    Raises
    ------
    ValueError
        The directory has another structure, or results with other settings.
    """
    labels = labels_of(atoms)
    control = control_text(settings.control(step, atoms), defaults)
    if settings.cube is not None:
        control += cube_block(_CUBES[step], atoms, settings.cube) + "\n"
    control += species_sections(labels, defaults, settings.masked)
    names = iter(labels)
    geometry = _ATOM.sub(lambda match: match[1] + next(names), geometry_text(atoms))
    texts = {GEOMETRY: geometry, CONTROL: control}
    if step == "fit" and settings.quantity != "density":
        chosen = {"quantity": settings.quantity, "window": asdict(settings.window)}
        texts[QUANTITY] = json.dumps(chosen)
    if (directory / GEOMETRY).exists():
        _check_same_structure(directory, atoms, labels)
        if all(_says_the_same(directory / n, t) for n, t in texts.items() if n != GEOMETRY):
            return
        if (directory / OUTPUT).exists():
            raise ValueError(
                f"{directory} has results of other settings than these: give another root, or "
                "remove it"
            )
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with atomic_write(directory / name, "w") as stream:
            stream.write(text)


def _check_same_structure(directory: Path, atoms: Atoms, labels: list[str]) -> None:
    there = read_geometry(directory)
    if (
        list(there.labels) != labels
        or not np.allclose(there.atoms.positions, atoms.positions, rtol=0, atol=1e-10)
        or (there.atoms.pbc.any() != atoms.pbc.any())
        or (atoms.pbc.any() and not np.allclose(there.atoms.cell, atoms.cell, rtol=0, atol=1e-10))
    ):
        raise ValueError(
            f"{directory} is of another structure than {atoms.get_chemical_formula()} in this "
            "place of the list: add structures at the end only, or give another root"
        )


def _says_the_same(path: Path, text: str) -> bool:
    """Whether a file is there and differs from a text in comments and blanks only."""

    def lines(control: str) -> list[list[str]]:
        found = (line.split("#")[0].split() for line in control.splitlines())
        return [words for words in found if words]

    return path.exists() and lines(path.read_text()) == lines(text)
