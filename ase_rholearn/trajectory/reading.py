"""A first look at all frames of files, and the frames one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ..model import DensityModel
from ..structure_files import iterate_structures


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
