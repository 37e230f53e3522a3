"""The demo, as `make demo` runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_demo(tmp_path):
    """Files appear, electrons are exact, and the errors printed are inside the model's bars."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    printed = [line.rsplit(maxsplit=2) for line in done.stdout.splitlines()]
    percents = [float(words[1]) for words in printed if words[-1] == "%"]
    assert len(percents) == 3
    assert max(percents) < 0.5
    assert "60.00000000" in done.stdout
    assert "640.00000000" in done.stdout
    names = {path.name for path in (tmp_path / "demo-output").iterdir()}
    assert names == {"box.cube", "demo.png", "hexamer.cube"}
