"""Putting data sets together, or writing one anew in fewer and larger shards."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...basis import agree
from .dataset import DataSet, difference, read_failures
from .shard import Record, from_record, without

#: Settings that say by which way and how tightly the density of a level of theory was computed.
_ACCURACY = {"method", "model", "grid_level", "conv_tol", "max_cycle"}


def merge(
    folders: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    orbitals: bool = True,
    forces: bool = True,
    mixed: bool = False,
    ids: Iterable[str] | None = None,
    on_progress: Callable[[], None] | None = None,
) -> DataSet:
    """Copy the references of data sets into one, each once.

    Every checksum is compared on the way. What the output has is not copied again, so that a
    merge which was killed goes on where it was. Of references with the same id, that of the
    first folder is taken. One folder alone is compacted: its small shards become large ones.

    References keep their ids, but for two cases: data sets with and without forces make one
    without, and bases that differ by the rounding of the machines that built them count as that
    of the first folder. Ids depend on the settings, and are those of the result then.

    Parameters
    ----------
    folders
        Data sets of the same basis and settings, but for forces.
    output
        Folder of the result; it may hold a data set of the same basis and settings already.
    orbitals
        Copy occupied orbitals too, if there are any.
    forces
        Copy forces too. A data set without them can be gone on with at half of the time.
    mixed
        Accept data sets of another accuracy or method at the same level of theory, such as
        references by linear response among self-consistent ones. Settings are those of the first
        folder, from which references are taken that others have too.
    ids
        Names of the references to copy; left out: all.
    on_progress
        Called after each reference.

    Raises
    ------
    ValueError
        The data sets do not fit together, a reference is damaged, or ids are not there.
    RuntimeError
        Another process writes into the output.
    """
    if not folders:
        raise ValueError("folders is empty: give at least one data set")
    sources = [DataSet.open(folder) for folder in folders]
    settings = _common_settings(sources, _ACCURACY if mixed else set())
    if not forces and "forces" in settings:
        settings["forces"] = False
    for source in sources:
        if source.folder.resolve() == Path(output).resolve():
            raise ValueError(
                f"output is {output}, one of the data sets to merge: give a new folder"
            )
    selected = None if ids is None else _existing(set(ids), sources)
    result = DataSet.create(output, sources[0].basis, settings)
    forces &= all(source.settings.get("forces") == settings.get("forces") for source in sources)
    optional = {"occupied_orbitals": orbitals, "forces": forces}
    left_out = [name for name, kept in optional.items() if not kept]
    report = on_progress or (lambda: None)
    with result.writing():
        result.extend_records(_copied(sources, selected, result, left_out, report))
        if selected is None:
            _copy_failures(sources, result)
    return result


def _common_settings(sources: Sequence[DataSet], free: Container[str]) -> dict[str, Any]:
    """Settings of the data sets together: with forces only if all have them.

    Those in ``free`` are the first's, whatever the others say.
    """
    first = sources[0]
    common = dict(first.settings)
    for other in sources[1:]:
        theirs = dict(other.settings)
        if agree(first.basis, other.basis):
            theirs["basis"] = common["basis"]
        if _fixed(theirs, free) != _fixed(common, free):
            raise ValueError(
                f"{first.folder} and {other.folder} have different settings "
                f"({difference(first.settings, other.settings)}): only references of one level of "
                "theory and one basis can be merged, and of one accuracy unless it may be mixed"
            )
        if theirs.get("forces") is False:
            common["forces"] = False
    return common


def _fixed(settings: Mapping[str, Any], free: Container[str]) -> dict[str, Any]:
    return {k: v for k, v in settings.items() if k != "forces" and k not in free}


def _existing(ids: set[str], sources: Sequence[DataSet]) -> set[str]:
    missing = sorted(ids.difference(*(source.ids for source in sources)))
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(ids)} ids are in none of the data sets, the first is "
            f"{missing[0]}"
        )
    return ids


def _copied(
    sources: Sequence[DataSet],
    selected: Container[str] | None,
    result: DataSet,
    left_out: Sequence[str],
    report: Callable[[], None],
) -> Iterator[tuple[str, Record]]:
    for source in sources:
        for name, record in source.records(selected):
            for array in left_out:
                record = without(record, array)
            yield name if source.settings == result.settings else _id_in(result, record), record
            report()


def _id_in(result: DataSet, record: Record) -> str:
    return result.id_of(from_record(record, result.settings).atoms)


def _copy_failures(sources: Sequence[DataSet], result: DataSet) -> None:
    """Append the failures that the result does not list yet, of sources with its ids."""
    listed = [entry for entry in read_failures(result.folder) if entry]
    new = [
        entry
        for source in sources
        if source.settings == result.settings
        for entry in source.failures().values()
        if entry not in listed and entry["id"] not in result
    ]
    if new:
        with (result.folder / "failures.jsonl").open("a") as stream:
            stream.writelines(json.dumps(entry) + "\n" for entry in new)
