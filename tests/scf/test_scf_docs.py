"""The examples of the page on starts of calculations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs" / "scf.md"


def test_examples_run() -> None:
    found: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL):
        block = block.replace(".density_fit()", ".density_fit()\nmf._chkfile.close()")
        exec(block.replace("mf._chkfile.close()", "mf._chkfile = mf.chkfile = None"), found)
    assert found["mf"].converged
