"""Files of a run, given by their own path or by their directory."""

from __future__ import annotations

import os
from pathlib import Path


def file_of_run(path: str | os.PathLike[str], name: str, remedy: str = "") -> Path:
    """A file, given by its own path or by that of the directory that holds it.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    found = Path(path)
    found = found / name if found.is_dir() else found
    if not found.exists():
        raise FileNotFoundError(f"there is no {found}" + (f": {remedy}" if remedy else ""))
    return found
