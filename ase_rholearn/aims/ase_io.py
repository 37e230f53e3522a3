"""The one place that calls ASE's functions for FHI-aims' files.

ASE announces that they will move to a plugin; what uses them here need not know where they are.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ase import Atoms
from ase.calculators.aims import AimsProfile
from ase.config import cfg
from ase.io.aims import read_aims, write_aims, write_control


@contextmanager
def announced_move() -> Iterator[None]:
    """Silence ASE's announcement that its functions for FHI-aims will move."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="FHI-aims IO is moving", category=FutureWarning)
        yield


def parse_geometry(text: str) -> Atoms:
    """The structure of a ``geometry.in`` whose species are elements."""
    with announced_move():
        return read_aims(io.StringIO(text))


def geometry_text(atoms: Atoms) -> str:
    """``geometry.in`` of a structure, coordinates in Angstrom and as they are."""
    plain = atoms.copy()
    # the total charge is a keyword; constraints and velocities are of no use to one structure
    plain.set_constraint()
    plain.set_initial_charges(None)
    buffer = io.StringIO()
    with announced_move():
        write_aims(buffer, plain, scaled=False, write_velocities=False)
    return buffer.getvalue()


def control_text(keywords: Mapping[str, Any], species_directory: str | os.PathLike[str]) -> str:
    """Keywords of a ``control.in``, without species."""
    buffer = io.StringIO()
    with announced_move():
        write_control(buffer, Atoms(), {**keywords, "species_dir": str(species_directory)})
    return buffer.getvalue()


def configuration() -> Mapping[str, str]:
    """The section [aims] of ASE's configuration; empty if there is none."""
    return dict(cfg.parser["aims"]) if cfg.parser.has_section("aims") else {}


def command_words(command: str | None = None) -> Sequence[str]:
    """The words of the command that runs FHI-aims, from ASE's configuration if it is left out.

    Raises
    ------
    ValueError
        No command is known, or it has redirections.
    """
    if command is None:
        command = configuration().get("command")
    if not command:
        raise ValueError(
            "the command that runs FHI-aims is unknown: give `command`, such as "
            '"mpiexec -n 8 aims.x", or set it in the section [aims] of ASE\'s configuration'
        )
    if "<" in command or ">" in command:
        raise ValueError(
            f"command is {command!r}: leave redirections out, the output goes to aims.out"
        )
    return AimsProfile(command).get_command(None)
