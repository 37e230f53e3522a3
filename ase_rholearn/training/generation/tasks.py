"""Many tasks through an executor, their outcomes as they come."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice

from .executors import Workers
from .worker import Outcome, Task, run_task

#: Tasks that an executor holds for each of its workers: enough that none waits, few enough
#: that a hundred thousand structures do not fill its queue.
_AHEAD = 4

#: Workers of an executor that somebody else made.
_UNKNOWN_COUNT = 16


def run_tasks(
    tasks: Iterable[Task], workers: Workers | Executor
) -> Generator[tuple[Task, Outcome], None, None]:
    """Tasks as they are done, with what came of them, in any order.

    Parameters
    ----------
    tasks
        Taken from the iterable only when there is a worker for them.
    workers
        Where they run: a description, or any executor that is open.

    Raises
    ------
    RuntimeError
        The executor broke down.
    """
    count = _UNKNOWN_COUNT
    if isinstance(workers, Workers):
        count, threads = workers.count, workers.threads
        tasks = (replace(task, threads=threads) for task in tasks)
    queue = iter(tasks)
    waiting: dict[Future[Outcome], Task] = {}
    with _opened(workers) as executor:
        while True:
            for task in islice(queue, _AHEAD * count - len(waiting)):
                waiting[_submit(executor, task)] = task
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), _outcome(future)


def _opened(workers: Workers | Executor) -> AbstractContextManager[Executor]:
    return nullcontext(workers) if isinstance(workers, Executor) else workers.executor()


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
        return Outcome(reason="the executor cancelled the task")
    error = future.exception()
    if error is None:
        return future.result()
    return Outcome(reason=f"the executor lost the task ({type(error).__name__}: {error})")
