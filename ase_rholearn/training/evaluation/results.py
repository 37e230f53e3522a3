"""Results of single structures in a file that grows, one JSON object a line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files import append_json

#: Of the lines; in the name of the file, so that other versions do not read them.
_SCHEMA_VERSION = 1


class Results:
    """What is known of the structures of one evaluation.

    Each structure is written as soon as it is judged: a kill loses what was in flight. The name
    of the file depends on everything that the results do, so that a folder may hold results of
    several models or settings, and each evaluation finds its own again.

    Parameters
    ----------
    folder
        Where the file is, or will be.
    job
        What the results depend on: plain data.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any]) -> None:
        text = json.dumps([_SCHEMA_VERSION, job], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.path = folder / f"structures-{digest}.jsonl"

    def read(self) -> dict[str, dict[str, Any]]:
        """Results by id; a line that a kill cut short is left out."""
        if not self.path.exists():
            return {}
        found = {}
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                found[entry["id"]] = entry
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add the result of a structure."""
        append_json(self.path, entry)
