"""Data sets as extended xyz, which most programs for atoms read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_xyz

from ...files import atomic_write
from .dataset import DataSet
from .shard import from_record

#: Entries of ``atoms.info`` that extended xyz uses for results.
_RESULTS = ("energy", "forces", "dipole", "stress", "free_energy")


def export_xyz(
    dataset: DataSet,
    path: str | os.PathLike[str],
    *,
    ids: Iterable[str] | None = None,
    on_progress: Callable[[], None] | None = None,
) -> int:
    """Write structures with energy, forces, dipole and ``atoms.info``, but no densities.

    The id of each reference is in ``atoms.info["id"]``.

    Parameters
    ----------
    dataset
        What to write.
    path
        The file.
    ids
        Leave out all other references.
    on_progress
        Called after each reference.

    Returns
    -------
    int
        How many references were written.
    """
    report = on_progress or (lambda: None)
    selected = None if ids is None else dataset.select(ids)
    count = 0
    with atomic_write(path, "w") as stream:
        for name, record in dataset.records(selected):
            reference = from_record(record, dataset.settings)
            atoms = reference.atoms
            atoms.info = {k: v for k, v in atoms.info.items() if k not in _RESULTS}
            atoms.info["id"] = name
            results = {key: getattr(reference, key) for key in ("energy", "forces", "dipole")}
            known = {key: value for key, value in results.items() if value is not None}
            if known:
                atoms.calc = SinglePointCalculator(atoms, **known)
            write_xyz(stream, [atoms])
            count += 1
            report()
    return count
