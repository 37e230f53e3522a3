"""Pages in a real browser, where there is one."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def chromium(folder: Path, *arguments: str) -> str:
    """Standard output of the browser without a window."""
    command = [
        CHROMIUM or "",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-unsafe-swiftshader",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=800,600",
        "--virtual-time-budget=5000",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


def used(page: str, folder: Path, script: str) -> Any:
    """What a script at the end of a page leaves in ``document.body.dataset.result``."""
    path = folder / "used.html"
    path.write_text(script.join(page.rsplit("</script>", 1)))
    found = re.search(r'data-result="([^"]*)"', chromium(folder, "--dump-dom", path.as_uri()))
    assert found
    return json.loads(html.unescape(found.group(1)))
