"""Data sets in the formats of other programs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from .dataset import DataSet


def export(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    target: str = "",
    ids: Iterable[str] | None = None,
    on_progress: Callable[[], None] | None = None,
) -> int:
    """Write the data set in a folder in a format that is known by the suffix.

    Parameters
    ----------
    folder
        The data set.
    path
        ``.xyz`` or ``.extxyz`` for structures with energy, forces and dipole; ``.zip`` for a
        DiskDataset of metatrain with the coefficients.
    target
        Name of the coefficients in a DiskDataset.
    ids
        Leave out all other references.
    on_progress
        Called after each reference.

    Returns
    -------
    int
        How many references were written.
    """
    from .diskdataset import export_zip
    from .extxyz import export_xyz

    suffix = Path(path).suffix
    if suffix not in (".xyz", ".extxyz", ".zip"):
        raise ValueError(f"{path} has no suffix of a known format: give .xyz, .extxyz or .zip")
    dataset = DataSet.open(folder)
    if suffix == ".zip":
        return export_zip(dataset, path, target=target, ids=ids, on_progress=on_progress)
    return export_xyz(dataset, path, ids=ids, on_progress=on_progress)
