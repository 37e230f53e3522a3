"""Fixtures shared by all tests. Any output that a test does not capture is a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


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
