"""Structures of files, one after the other: memory does not grow with their number."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ase import Atoms
from ase.io import iread, read
from ase.io.formats import UnknownFileTypeError, filetype, open_with_compression


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
