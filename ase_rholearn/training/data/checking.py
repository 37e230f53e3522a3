"""Finding what is wrong with a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...basis import Basis
from ...references import Reference
from .dataset import difference, is_shard, read_description, read_failures
from .shard import Shard

Report = Callable[[], None]


def check(
    folder: str | os.PathLike[str], *, quick: bool = False, on_progress: Report | None = None
) -> Iterator[str]:
    """Everything that is wrong with the data set in a folder, one line of text each.

    Parameters
    ----------
    folder
        The data set; it is not changed.
    quick
        Compare checksums alone. Otherwise each reference is read: its id must match its
        structure and settings, its arrays must have the lengths that belong to the structure
        and hold finite numbers, and it must have converged.
    on_progress
        Called after each reference that was read, or each file if ``quick``.

    Raises
    ------
    FileNotFoundError
        The folder holds no data set.
    """
    folder, report = Path(folder), on_progress or (lambda: None)
    basis: Basis | None = None
    settings: dict[str, Any] | None = None
    try:
        basis, settings = read_description(folder)
    except ValueError as error:
        yield str(error)
    seen: dict[str, str] = {}
    for path in sorted((folder / "shards").glob("*.npz")):
        if not is_shard(path.name):
            continue
        try:
            shard = Shard(path)
        except (ValueError, OSError) as error:
            yield str(error)
            continue
        yield from shard.problems()
        if settings is not None and shard.settings != settings:
            yield (
                f"{path.name}: made with other settings or another basis than the data set "
                f"({difference(settings, shard.settings)})"
            )
        yield from _duplicates(shard, seen)
        if not quick:
            yield from _rows(shard, basis, report)
        else:
            report()
        shard.release()
    for path in sorted((folder / "references").glob("*.npz")):
        yield from _file(path, basis, settings, quick)
        report()
    for number, entry in enumerate(read_failures(folder), 1):
        if entry is None:
            yield f"failures.jsonl: line {number} is damaged"


def _duplicates(shard: Shard, seen: dict[str, str]) -> Iterator[str]:
    for name in shard.ids:
        if name in seen:
            yield f"{shard.path.name}: structure {name} is in {seen[name]} too"
        seen[name] = shard.path.name


def _rows(shard: Shard, basis: Basis | None, report: Report) -> Iterator[str]:
    for row, name in enumerate(shard.ids):
        # a damaged one is named already
        if shard.is_whole(row):
            try:
                reference = shard.load(row)
            except (ValueError, KeyError, TypeError) as error:
                yield f"{shard.path.name}: structure {name} cannot be read ({error})"
            else:
                for problem in _content(reference, name, basis):
                    yield f"{shard.path.name}: structure {name}: {problem}"
        report()


def _file(
    path: Path, basis: Basis | None, settings: dict[str, Any] | None, quick: bool
) -> Iterator[str]:
    """Problems of a reference that has a file of its own."""
    try:
        reference = Reference.load(path)
    except ValueError as error:
        yield str(error)
        return
    if settings is not None and dict(reference.settings) != settings:
        yield (
            f"{path.name}: made with other settings or another basis than the data set "
            f"({difference(settings, reference.settings)})"
        )
    if not quick:
        for problem in _content(reference, path.stem, basis):
            yield f"{path.name}: {problem}"


def _content(reference: Reference, name: str, basis: Basis | None) -> Iterator[str]:
    """What makes no sense in one reference."""
    if reference.converged is not True:
        yield "not known to have converged"
    try:
        identity = reference.id
    except ValueError as error:
        yield str(error)
    else:
        if identity != name:
            yield f"structure and settings belong to the id {identity}"
    if basis is not None:
        try:
            basis.check_coefficients(reference.atoms.numbers, reference.coefficients)
        except ValueError as error:
            yield str(error)
    yield from _arrays(reference)


def _arrays(reference: Reference) -> Iterator[str]:
    atoms = reference.atoms
    values: dict[str, Any] = {
        "positions": atoms.positions,
        "cell": atoms.cell.array,
        "energy": reference.energy,
        "forces": reference.forces,
        "dipole": reference.dipole,
        "projections": reference.projections,
        "occupied_orbitals": reference.occupied_orbitals,
        "overlap": reference.overlap,
    }
    size = len(reference.coefficients)
    shapes = {
        "forces": (len(atoms), 3),
        "projections": (size,),
        "overlap": (size * (size + 1) // 2,),
    }
    for name, value in values.items():
        if value is None:
            continue
        if bad := np.count_nonzero(~np.isfinite(value)):
            yield f"{name} contains {bad} NaN or infinity"
        if name in shapes and np.shape(value) != shapes[name]:
            yield f"{name} has shape {np.shape(value)}, not {shapes[name]}"
