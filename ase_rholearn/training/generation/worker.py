"""Calls in a process of their own, with a time limit.

Executors differ in what they do about tasks that hang, leak or crash; most do nothing. So
each worker of an executor, be it a thread or a process on another machine, keeps one child
process and sends it one structure after another.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: Variables by which numerical libraries are told the number of threads.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

#: How much of a crashed process's last words is kept.
_LAST_WORDS = 300


class CallError(RuntimeError):
    """A call did not give a result; the message says why."""


class Child:
    """A Python process that runs one call after another.

    Parameters
    ----------
    threads
        Threads of its numerical libraries.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: Any = None
        self._late = False

    def call(
        self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None
    ) -> Any:
        """``function(*arguments)`` in the process.

        Parameters
        ----------
        function
            Importable by its name.
        arguments
            Can be pickled.
        timeout
            Seconds, the start of the process included. A process that takes longer is killed.

        Raises
        ------
        CallError
            The function raised, the time was up, or the process crashed.
        """
        self._late = False
        timer = threading.Timer(timeout, self._expire) if timeout else None
        try:
            process = self._start()
            if timer:
                timer.start()
            assert process.stdin is not None
            assert process.stdout is not None
            pickle.dump((function, arguments), process.stdin)
            process.stdin.flush()
            good, answer = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise CallError(self._cause_of_death(timeout)) from None
        finally:
            if timer:
                timer.cancel()
        if not good:
            raise CallError(answer)
        return answer

    def close(self) -> None:
        """Kill the process; the next call starts another."""
        if self._process is not None:
            self._process.kill()

    def _expire(self) -> None:
        self._late = True
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._release()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(self._threads))},
            # Ctrl-C is for the parent, which then closes its children
            start_new_session=True,
        )
        assert self._process.stdin is not None
        pickle.dump(sys.path, self._process.stdin)
        return self._process

    def _cause_of_death(self, timeout: float | None) -> str:
        assert self._process is not None
        self._process.kill()
        status = self._process.wait()
        if self._late:
            return f"TimeoutError: not done after {timeout:g} s"
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip()[-_LAST_WORDS:]
        ended = f"ended with status {status}"
        if status < 0:
            ended = f"was killed by {signal.Signals(-status).name} (is the memory full?)"
        return f"the process {ended}" + (f": {words}" if words else "")

    def _release(self) -> None:
        """Close the files of a process that has ended."""
        if self._process is not None:
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout, self._errors):
                _close_quietly(stream)
            self._process = None

    def __del__(self) -> None:
        self.close()
        self._release()


@dataclass(frozen=True)
class Task:
    """One call.

    Attributes
    ----------
    function
        Importable by its name, or a method of something that can be pickled.
    arguments
        Can be pickled.
    timeout
        Seconds; None: any time.
    threads
        Threads of numerical libraries.
    label
        For whoever made the task.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    timeout: float | None = None
    threads: int = 1
    label: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a task: a result, or the reason why there is none."""

    result: Any = None
    reason: str | None = None


def run_task(task: Task) -> Outcome:
    """Run a task in the child process of this thread; never raises for what the task does."""
    try:
        child = _own_child(task.threads)
        return Outcome(child.call(task.function, *task.arguments, timeout=task.timeout))
    except CallError as error:
        return Outcome(reason=str(error))


def close_children() -> None:
    """Kill the child processes of all threads of this process."""
    for child in list(_CHILDREN):
        child.close()


_LOCAL = threading.local()
_CHILDREN: weakref.WeakSet[Child] = weakref.WeakSet()


def _own_child(threads: int) -> Child:
    """The child of this thread, which lives as long as the thread."""
    child: Child | None = getattr(_LOCAL, "child", None)
    if child is None or child._threads != threads:
        child = _LOCAL.child = Child(threads)
        _CHILDREN.add(child)
    return child


def _close_quietly(stream: Any) -> None:
    # what was still to be written to a process that is gone is for nobody
    with contextlib.suppress(BrokenPipeError):
        stream.close()
