"""Fixtures shared by all tests. Any output that a test does not capture is a failure."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from markdown_pages import PageRunner

from ase_rholearn import cli


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Let Ctrl-C reach child processes where the suite runs as a background job.

    Shells start those with the signal ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_stray_output(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves text on stdout or stderr."""
    if isinstance(request.node, pytest.DoctestItem):
        yield
        return
    capture = request.getfixturevalue("capfd")
    yield
    printed = capture.readouterr()
    assert printed.out == "", f"stray output on stdout: {printed.out!r}"
    assert printed.err == "", f"stray output on stderr: {printed.err!r}"


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process: status, stdout, stderr."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ase-rholearn", *map(str, arguments)])
        try:
            cli.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capfd.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def page_runner(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[PageRunner]:
    """Runs pages of the documentation in an empty folder."""
    monkeypatch.chdir(tmp_path)
    yield PageRunner(tmp_path, command, lambda: capfd.readouterr().out)
    # temporary files of PySCF's objects are closed while the test's own filters of warnings hold
    gc.collect()
