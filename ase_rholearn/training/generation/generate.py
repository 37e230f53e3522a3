"""Making reference densities for many structures, on any executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice

from ase import Atoms

from ...references import ReferenceCode
from ..data import DataSet
from .executors import Workers
from .worker import Outcome, Task, run_task

#: Tasks that an executor holds for each of its workers: enough that none waits, few enough
#: that a hundred thousand structures do not fill its queue.
_AHEAD = 4

#: References in files of their own that are packed together while a job runs.
_PACK_AFTER = 1000


@dataclass(frozen=True)
class Progress:
    """How far a generation is.

    Attributes
    ----------
    done, failed, total
        Structures with a reference (also from earlier runs), without one, and all.
    """

    done: int
    failed: int
    total: int


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
        threads, count = 1, _AHEAD
        if isinstance(workers, Workers):
            threads, count = workers.threads, workers.count
        tasks = (Task(code, atoms, timeout, threads) for atoms in missing)
        with _opened(workers) as executor:
            for task, outcome in _outcomes(executor, tasks, _AHEAD * count):
                if outcome.reference is None:
                    dataset.report_failure(task.atoms, outcome.reason)
                    failed += 1
                else:
                    dataset.add(outcome.reference)
                    done += 1
                report(Progress(done, failed, len(unique)))
                if (done + failed) % _PACK_AFTER == 0:
                    dataset.pack()
        dataset.pack()
    return Progress(done, failed, len(unique))


def _opened(workers: Workers | Executor) -> AbstractContextManager[Executor]:
    return nullcontext(workers) if isinstance(workers, Executor) else workers.executor()


def _outcomes(
    executor: Executor, tasks: Iterator[Task], ahead: int
) -> Iterator[tuple[Task, Outcome]]:
    """Tasks as they are done, with what came of them; at most ``ahead`` are submitted."""
    waiting: dict[Future[Outcome], Task] = {}
    while True:
        for task in islice(tasks, ahead - len(waiting)):
            waiting[_submit(executor, task)] = task
        if not waiting:
            return
        for future in wait(waiting, return_when=FIRST_COMPLETED).done:
            yield waiting.pop(future), _outcome(future)


def _submit(executor: Executor, task: Task) -> Future[Outcome]:
    try:
        return executor.submit(run_task, task)
    except (BrokenExecutor, RuntimeError) as error:
        raise RuntimeError(
            f"the executor takes no more tasks ({type(error).__name__}: {error}): start the job "
            "again, what is done is kept"
        ) from error


def _outcome(future: Future[Outcome]) -> Outcome:
    """The outcome of a future that is done; tasks do not raise, but an engine may lose them."""
    if future.cancelled():
        return Outcome(None, "the executor cancelled the task")
    error = future.exception()
    if error is None:
        return future.result()
    return Outcome(None, f"the executor lost the task ({type(error).__name__}: {error})")
