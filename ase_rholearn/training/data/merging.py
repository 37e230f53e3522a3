"""Putting data sets together, or writing one anew in fewer and larger shards."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path

from .dataset import DataSet, difference, read_failures
from .shard import Record, without_orbitals


def merge(
    folders: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    orbitals: bool = True,
    ids: Iterable[str] | None = None,
    on_progress: Callable[[], None] | None = None,
) -> DataSet:
    """Copy the references of data sets into one, each once.

    Every checksum is compared on the way. What the output has is not copied again, so that a
    merge which was killed goes on where it was. Of references with the same id, that of the
    first folder is taken. One folder alone is compacted: its small shards become large ones.

    Parameters
    ----------
    folders
        Data sets of the same basis and settings.
    output
        Folder of the result; it may hold a data set of the same basis and settings already.
    orbitals
        Copy occupied orbitals too, if there are any.
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
    for source in sources:
        _check_settings(sources[0], source)
        if source.folder.resolve() == Path(output).resolve():
            raise ValueError(
                f"output is {output}, one of the data sets to merge: give a new folder"
            )
    selected = None if ids is None else _existing(set(ids), sources)
    result = DataSet.create(output, sources[0].basis, sources[0].settings)
    report = on_progress or (lambda: None)
    with result.writing():
        result.extend_records(_copied(sources, selected, orbitals, report))
        if selected is None:
            _copy_failures(sources, result)
    return result


def _check_settings(first: DataSet, other: DataSet) -> None:
    if other.settings != first.settings:
        raise ValueError(
            f"{first.folder} and {other.folder} have different settings "
            f"({difference(first.settings, other.settings)}): only references of one level of "
            "theory and one basis can be merged"
        )


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
    orbitals: bool,
    report: Callable[[], None],
) -> Iterator[tuple[str, Record]]:
    for source in sources:
        for name, record in source.records(selected):
            yield name, record if orbitals else without_orbitals(record)
            report()


def _copy_failures(sources: Sequence[DataSet], result: DataSet) -> None:
    """Append the failures that the result does not list yet."""
    listed = [entry for entry in read_failures(result.folder) if entry]
    new = [
        entry
        for source in sources
        for entry in source.failures().values()
        if entry not in listed and entry["id"] not in result
    ]
    if new:
        with (result.folder / "failures.jsonl").open("a") as stream:
            stream.writelines(json.dumps(entry) + "\n" for entry in new)
