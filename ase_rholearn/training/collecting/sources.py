"""Directories of FHI-aims, or of what rholearn kept of them, as structures with a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from ...aims import RIFit, read_ri_fit
from ...aims.geometry import NAME as GEOMETRY
from ...aims.geometry import read_geometry
from ...aims.judge import judge
from ...aims.layout import step_directory
from ...aims.output import AimsOutput
from ...aims.rholearn import has_rholearn_fit, read_rholearn_fit
from ...aims.ri_files import Channel


@dataclass(frozen=True)
class Source:
    """Where the fit of one structure is.

    Attributes
    ----------
    folder
        A run with ``ri_density_restart`` and ``ri_full_output``, or processed files of rholearn.
    atoms
        The structure; None where ``geometry.in`` says it.
    version
        Of FHI-aims, where the folder has no output that says so.
    channel
        Of a spin-polarised run.
    """

    folder: Path
    atoms: Atoms | None = None
    version: str | int | None = None
    channel: Channel = "total"

    def structure(self) -> Atoms:
        """The structure.

        Raises
        ------
        FileNotFoundError
            It was not given, and there is no ``geometry.in``.
        ValueError
            What was given is not that of ``geometry.in``.
        """
        path = self._geometry()
        if path is None:
            if self.atoms is None:
                raise FileNotFoundError(
                    f"{self.folder} has no {GEOMETRY}: give structures=, in the order of the "
                    "directories"
                )
            return self.atoms
        found = read_geometry(path).atoms
        if self.atoms is None:
            return found
        if not np.array_equal(found.numbers, self.atoms.numbers):
            raise ValueError(
                f"{path} has {found.get_chemical_formula()}, atom by atom not the structure that "
                f"was given, {self.atoms.get_chemical_formula()}"
            )
        return self.atoms

    def fit(self, atoms: Atoms) -> RIFit:
        """Coefficients, projections and overlap."""
        if has_rholearn_fit(self.folder):
            found = read_rholearn_fit(self.folder, atoms)
        else:
            found = read_ri_fit(self.folder, self.version, channel=self.channel)
        found.basis.check_atoms(len(atoms))
        return found

    def self_consistent(self) -> AimsOutput | None:
        """Output of the self-consistent run that belongs to a fit, where both are as set up."""
        if self.folder.name != "fit":
            return None
        verdict = judge(step_directory(self.folder.parent, "scf"), "scf")
        return verdict.output if verdict.state == "done" else None

    def _geometry(self) -> Path | None:
        """``geometry.in`` of the run; rholearn has it in a folder ``raw`` beside ``processed``."""
        places = [self.folder / GEOMETRY]
        parents = self.folder.parents
        if len(parents) > 2 and parents[1].name == "processed":
            run = Path(parents[0].name) / self.folder.name
            places.append(parents[2] / "raw" / run / GEOMETRY)
        return next((path for path in places if path.exists()), None)


def sources_of(
    directories: Sequence[Path],
    structures: Sequence[Atoms] | None,
    version: str | int | None,
    channel: Channel,
) -> list[Source]:
    """One source a directory.

    Raises
    ------
    ValueError
        There are none, or another number of structures.
    """
    if not directories:
        raise ValueError("directories is empty: give at least one run")
    given: Sequence[Atoms | None] = structures or [None] * len(directories)
    if len(given) != len(directories):
        raise ValueError(
            f"{len(given)} structures are given for {len(directories)} directories: give one each, "
            "in the same order"
        )
    return [
        Source(Path(folder), atoms, version, channel)
        for folder, atoms in zip(directories, given, strict=True)
    ]
