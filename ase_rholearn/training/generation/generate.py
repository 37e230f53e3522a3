"""Making reference densities for many structures, on any executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import closing

from ase import Atoms

from ...references import Reference, ReferenceCode
from ..data import DataSet
from .executors import Workers
from .progress import Progress
from .tasks import run_tasks
from .worker import Task

#: References in files of their own that are packed together while a job runs.
_PACK_AFTER = 1000


def generate(
    structures: Sequence[Atoms],
    dataset: DataSet,
    code: ReferenceCode,
    workers: Workers | Executor | None = None,
    *,
    timeout: float | None = None,
    retry: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Compute every structure that the data set does not have yet.

    Each reference is written as soon as it is there, so that an interrupted job can be
    started again and loses only what was in flight. A structure that fails is listed in
    ``failures.jsonl``; the others go on.

    Parameters
    ----------
    structures
        What to compute; one that is there twice is computed once.
    dataset
        Where the references go; made with the basis and settings of ``code``.
    code
        The reference code.
    workers
        Where tasks run: a description, or any executor that is open. Left out: one process of
        this machine.
    timeout
        Seconds that a structure may take.
    retry
        Try structures again that failed in an earlier run.
    on_progress
        Called after every structure.

    Raises
    ------
    RuntimeError
        Another process writes into the data set, or the executor broke down.
    """
    workers = workers or Workers()
    report = on_progress or (lambda progress: None)
    with dataset.writing():
        dataset.pack()
        unique = {dataset.id_of(atoms): atoms for atoms in structures}
        failed_before = set() if retry else dataset.failures().keys() & unique.keys()
        known = set(dataset.ids)
        missing = [a for name, a in unique.items() if name not in known | failed_before]
        done, failed = len(unique) - len(missing) - len(failed_before), len(failed_before)
        report(Progress(done, failed, len(unique)))
        if not missing:
            return Progress(done, failed, len(unique))
        tasks = (Task(code.reference, (atoms,), timeout) for atoms in missing)
        with closing(run_tasks(tasks, workers)) as outcomes:
            for task, outcome in outcomes:
                reason = outcome.reason or _stored(dataset, outcome.result)
                if reason is None:
                    done += 1
                else:
                    dataset.report_failure(task.arguments[0], reason)
                    failed += 1
                report(Progress(done, failed, len(unique)))
                if (done + failed) % _PACK_AFTER == 0:
                    dataset.pack()
        dataset.pack()
    return Progress(done, failed, len(unique))


def _stored(dataset: DataSet, reference: Reference) -> str | None:
    """Add a reference, or say why it cannot enter."""
    try:
        dataset.add(reference)
    except ValueError as error:
        return f"ValueError: {error}"
    return None
