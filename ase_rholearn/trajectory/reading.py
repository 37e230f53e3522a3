"""Structures of files, one after the other: memory does not grow with their number."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.io import iread, read
from ase.io.formats import UnknownFileTypeError, filetype, open_with_compression

from ..model import DensityModel


class TruncatedFrameError(ValueError):
    """The last frame of a file is cut off."""


def iterate_structures(
    path: str | os.PathLike[str], *, argument: str = "structures"
) -> Iterator[Atoms]:
    """The frames of a file that ASE reads, one at a time.

    Frames of (extended) xyz files are never held together; of other formats they are if ASE's
    reader does so.

    Parameters
    ----------
    path
        The file.
    argument
        The name that error messages use for it.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, ASE cannot read it, or it is empty.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{argument}: there is no file {path}")
    empty = True
    try:
        for atoms in _iterate(path):
            empty = False
            yield atoms
    except UnknownFileTypeError as error:
        raise ValueError(f"{argument}: {path} has a format that ASE does not know") from error
    except Exception as error:  # readers raise whatever they stumble over
        raise ValueError(f"{argument}: ASE cannot read {path}: {error}") from error
    if empty:
        raise ValueError(f"{argument}: {path} holds no structure")


def _iterate(path: Path) -> Iterator[Atoms]:
    if filetype(str(path)) != "extxyz":
        yield from iread(path, index=":")
        return
    # ASE would first list where all the frames are
    with open_with_compression(str(path), "rb") as stream:
        for text in xyz_frames(stream):
            yield atoms_of_xyz(text)


def xyz_frames(stream: IO[bytes]) -> Iterator[bytes]:
    """The text of each frame of an xyz file, from the present position.

    Raises
    ------
    TruncatedFrameError
        The file ends before the last line of a frame.
    ValueError
        Something else than a number of atoms is where a frame should begin.
    """
    header = stream.readline()
    while header.strip():
        try:
            natoms = int(header)
        except ValueError:
            raise ValueError(f"{header[:40]!r} is not a number of atoms") from None
        lines = [header, *(stream.readline() for _ in range(natoms + 1))]
        if not lines[-1]:
            raise TruncatedFrameError("the last frame is cut off")
        header = stream.readline()
        while header.lstrip().startswith(b"VEC"):  # a cell at the end, as some programs have it
            lines.append(header)
            header = stream.readline()
        yield b"".join(lines)


def atoms_of_xyz(text: bytes) -> Atoms:
    """The structure of one frame of an extended xyz file."""
    return read(io.StringIO(text.decode()), format="extxyz")


@dataclass(frozen=True)
class Survey:
    """What a first look at all frames found.

    Attributes
    ----------
    counts
        Frames of each file.
    first
        The first structure.
    low, high
        Corners of a box around the nuclei of all frames: (3,) Angstrom.
    same_atoms
        Whether all frames have the same elements in the same order, and the same periods.
    """

    counts: tuple[int, ...]
    first: Atoms
    low: np.ndarray
    high: np.ndarray
    same_atoms: bool


def survey(model: DensityModel, paths: Sequence[Path], *, on_frame: Any = None) -> Survey:
    """Check every frame before any work is done.

    Parameters
    ----------
    model
        Has to know the species and charges.
    paths
        Files that ASE reads.
    on_frame
        Called without arguments after each frame.

    Raises
    ------
    FileNotFoundError, ValueError
        A file cannot be read, or one of its structures not be predicted; the message names
        the file and the number of the frame.
    """
    if not paths:
        raise ValueError("structures is empty: give at least one file")
    first: Atoms | None = None
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    counts, same = [0] * len(paths), True
    for number, path in enumerate(paths):
        for atoms in iterate_structures(path):
            model.check(atoms, argument=f"{path.stem}_{counts[number]:05d}")
            counts[number] += 1
            first = atoms if first is None else first
            same = same and _same_atoms(first, atoms)
            low = np.minimum(low, atoms.positions.min(axis=0))
            high = np.maximum(high, atoms.positions.max(axis=0))
            if on_frame is not None:
                on_frame()
    assert first is not None
    return Survey(tuple(counts), first, low, high, same)


def frames(paths: Sequence[Path], counts: Sequence[int]) -> Iterator[Atoms]:
    """So many structures of each file: it may have grown since it was looked at."""
    for path, count in zip(paths, counts, strict=True):
        yield from islice(iterate_structures(path), count)


def frame_names(paths: Sequence[Path], counts: Sequence[int]) -> Iterator[str]:
    """Name of each frame: that of its file, with a number if there are several."""
    for path, count in zip(paths, counts, strict=True):
        for index in range(count):
            yield path.stem if count == 1 else f"{path.stem}_{index:05d}"


def _same_atoms(first: Atoms, second: Atoms) -> bool:
    return bool(np.array_equal(first.numbers, second.numbers) and (first.pbc == second.pbc).all())
