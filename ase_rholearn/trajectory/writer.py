"""The file of a trajectory, whose name says how it is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ase import Atoms
from filelock import FileLock, Timeout

from ..basis import Basis
from ..density import Density, Grid
from .extxyz import ExtxyzWriter
from .hdf5 import Hdf5Writer
from .quantities import Quantities

#: Suffixes of files of frames.
XYZ, HDF5 = (".xyz", ".extxyz"), (".h5", ".hdf5")


class FrameWriter(Protocol):
    """What appends frames to a file.

    Attributes
    ----------
    count : int
        Frames in the file.
    last : ase.Atoms or None
        The last frame of the file when it was opened.
    """

    count: int
    last: Atoms | None

    def write(self, atoms: Atoms, rho: Density) -> None:
        """Append a structure with what belongs to its density."""

    def flush(self) -> None:
        """Make sure that a kill does not lose what was written."""

    def close(self) -> None:
        """Flush and close the file."""


@contextmanager
def open_writer(
    path: str | os.PathLike[str],
    quantities: Quantities,
    basis: Basis,
    *,
    model: str = "",
    box: Grid | None = None,
    overwrite: bool = False,
) -> Iterator[FrameWriter]:
    """Open a file for frames, by the suffix of its name; what it has is kept.

    Parameters
    ----------
    path
        ``.xyz`` or ``.extxyz``, see :class:`ExtxyzWriter`; ``.h5`` or ``.hdf5``, see
        :class:`Hdf5Writer`. One process at a time can write to it.
    quantities
        What each frame gets.
    basis
        Of the densities.
    model
        Name of the model.
    box
        Where a field of molecules lies; around the first frame if left out.
    overwrite
        Begin anew.

    Raises
    ------
    ValueError
        The suffix is not known, another process is writing, or the file does not go with
        the settings.
    OSError
        The folder does not exist or cannot be written.
    """
    path = Path(path)
    check_output(path, quantities)
    with _locked(path):
        if overwrite:
            path.unlink(missing_ok=True)
        writer: FrameWriter
        if path.suffix.lower() in XYZ:
            writer = ExtxyzWriter(path, quantities, model=model)
        else:
            writer = Hdf5Writer(path, quantities, basis, model=model, box=box)
        try:
            yield writer
        finally:
            writer.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"another process is writing to {path}: wait for it, or give another name"
        ) from None
    try:
        yield
    finally:
        lock.release()


def is_frame_file(path: str | os.PathLike[str]) -> bool:
    """Whether the name is one of a file of frames."""
    return Path(path).suffix.lower() in XYZ + HDF5


def check_output(path: Path, quantities: Quantities) -> None:
    """Raise a readable error if a file of such frames cannot be there."""
    if not is_frame_file(path):
        known = ", ".join(XYZ + HDF5)
        raise ValueError(f"output is {str(path)!r}: give a name that ends in {known}")
    if quantities.field is not None and path.suffix.lower() in XYZ:
        raise ValueError(
            f"{path} cannot hold the field {quantities.field!r}: give a name that ends in .h5"
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: make it first")
