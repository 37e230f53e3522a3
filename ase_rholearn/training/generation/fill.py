"""Filling a data set: computing what it does not have yet, on any executor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from ...references import Reference
from ..data import DataSet
from .executors import Workers
from .progress import Progress
from .tasks import run_tasks
from .worker import Task

#: References in files of their own that are packed together while a job runs.
_PACK_AFTER = 1000


@dataclass(frozen=True)
class Item:
    """One reference to make.

    Attributes
    ----------
    atoms
        The structure, which with the settings of the data set gives the id.
    function, arguments
        The call that makes the reference, see :class:`~.worker.Task`.
    source
        Where it comes from, to be named when it fails; may be empty.
    """

    atoms: Atoms
    function: Callable[..., Reference]
    arguments: tuple[Any, ...]
    source: str = ""


def fill(
    dataset: DataSet,
    items: Iterable[Item],
    workers: Workers | Executor | None = None,
    *,
    timeout: float | None = None,
    retry: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Make every reference that a data set does not have yet.

    Each is written as soon as it is there, so that an interrupted job can be started again
    and loses only what was in flight. One that fails is listed in ``failures.jsonl``; the
    others go on.

    Parameters
    ----------
    dataset
        Where the references go; open for :meth:`~ase_rholearn.training.DataSet.writing`.
    items
        What to make; of two with the same id the first counts.
    workers
        Where they are made: a description, or any executor that is open. Left out: one process
        of this machine.
    timeout
        Seconds that an item may take.
    retry
        Try again what failed in an earlier run.
    on_progress
        Called after every item, first with what earlier runs have done.

    Raises
    ------
    RuntimeError
        The executor broke down.
    """
    report = on_progress or (lambda progress: None)
    dataset.pack()
    unique: dict[str, Item] = {}
    for item in items:
        unique.setdefault(dataset.id_of(item.atoms), item)
    known = set(dataset.ids)
    failed_before = set() if retry else (dataset.failures().keys() & unique.keys()) - known
    missing = {name: i for name, i in unique.items() if name not in known | failed_before}
    total, failed = len(unique), len(failed_before)
    done = total - len(missing) - failed
    report(Progress(done, failed, total))
    if not missing:
        return Progress(done, failed, total)
    tasks = (Task(i.function, i.arguments, timeout, label=name) for name, i in missing.items())
    with closing(run_tasks(tasks, workers or Workers())) as outcomes:
        for task, outcome in outcomes:
            reason = outcome.reason or _stored(dataset, outcome.result)
            if reason is None:
                done += 1
            else:
                item = missing[task.label]
                named = item.source and item.source not in reason
                dataset.report_failure(item.atoms, f"{item.source}: {reason}" if named else reason)
                failed += 1
            report(Progress(done, failed, total))
            if (done + failed) % _PACK_AFTER == 0:
                dataset.pack()
    dataset.pack()
    return Progress(done, failed, total)


def _stored(dataset: DataSet, reference: Reference) -> str | None:
    """Add a reference, or say why it cannot enter."""
    try:
        dataset.add(reference)
    except ValueError as error:
        return f"ValueError: {error}"
    return None
