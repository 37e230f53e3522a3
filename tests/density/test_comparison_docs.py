"""The examples of the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "comparison.md"


def test_examples_run() -> None:
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, found)
    assert 0.99 < found["found"].similarity <= 1 + 1e-9
    assert found["profile"].electrons[-1] == pytest.approx(10, abs=0.05)
    assert found["planes"].values.sum() * 0.05 == pytest.approx(10, abs=0.05)
    # the levels are reached at the ends
    levels = found["potential"].values[[0, -1]]
    assert levels == pytest.approx(found["potential"].vacuum_levels, abs=0.02)
    assert found["displacement"][-1] == pytest.approx(0, abs=1e-3)
