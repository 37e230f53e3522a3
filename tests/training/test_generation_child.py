"""Calls in a child process: results come back, and whatever happens there is survived."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from ase_rholearn.training.generation.worker import CallError, Child


@pytest.fixture(scope="module")
def child() -> Child:
    return Child()


def test_results_and_arguments(child: Child) -> None:
    assert child.call(divmod, 17, 5) == (3, 2)
    large = b"x" * 5_000_000
    assert child.call(bytes.upper, large) == large.upper()


def test_one_process_serves_many_calls(child: Child) -> None:
    first = child.call(os.getpid)
    assert first == child.call(os.getpid) != os.getpid()


def test_exceptions_are_told(child: Child) -> None:
    with pytest.raises(CallError, match=r"ValueError: invalid literal for int"):
        child.call(int, "x")
    assert child.call(int, "3") == 3


def test_result_that_cannot_be_pickled(child: Child) -> None:
    with pytest.raises(CallError, match=r"cannot pickle|can't pickle|Can't"):
        child.call(eval, "lambda: 0")


def test_printing_does_no_harm(child: Child) -> None:
    child.call(print, "hello")
    child.call(os.write, 1, b"hello")
    assert child.call(abs, -1) == 1


def test_time_is_up(child: Child) -> None:
    child.call(abs, -1)
    start = time.monotonic()
    with pytest.raises(CallError, match=r"TimeoutError: not done after 0\.3 s"):
        child.call(time.sleep, 60, timeout=0.3)
    assert time.monotonic() - start < 30
    assert child.call(abs, -2) == 2


@pytest.mark.parametrize(
    ("function", "argument", "reason"),
    [
        (os._exit, 3, r"the process ended with status 3"),
        (os.kill, None, r"the process was killed by SIGKILL \(is the memory full\?\)"),
    ],
)
def test_crash(child: Child, function: object, argument: int | None, reason: str) -> None:
    arguments = (child.call(os.getpid), 9) if argument is None else (argument,)
    with pytest.raises(CallError, match=reason):
        child.call(function, *arguments)  # type: ignore[arg-type]
    assert child.call(abs, -3) == 3


def test_last_words_are_kept(child: Child) -> None:
    child.call(os.write, 2, b"Fatal: the disk is full\n")
    with pytest.raises(CallError, match=r"ended with status 1: .*the disk is full"):
        child.call(os._exit, 1)


def test_number_of_threads() -> None:
    assert Child(threads=3).call(os.getenv, "OMP_NUM_THREADS") == "3"


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_child_ends_with_its_parent() -> None:
    """Also when the parent is killed, and while a call is running."""
    program = (
        "import os, threading, time\n"
        "from ase_rholearn.training.generation.worker import Child\n"
        "child = Child()\n"
        "print(child.call(os.getpid), flush=True)\n"
        "child.call(time.sleep, 600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)  # it is there
        parent.kill()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if os.path.exists(f"/proc/{pid}/stat"):
            with open(f"/proc/{pid}/stat") as stream:
                if stream.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return  # ended; nobody has asked for its status yet
        time.sleep(0.1)
    raise AssertionError("the child lives on")
