"""Tables of numbers as text, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import atomic_write

#: Suffixes of files that :func:`write_table` writes.
TABLES = (".csv", ".json")


def text_table(columns: Mapping[str, Sequence[Any]]) -> str:
    """Columns under their titles, for people.

    >>> print(text_table({"atom": ["O", "H"], "q / e": [-0.31, 0.155]}))
    atom        q / e
       O    -0.310000
       H     0.155000
    """
    width = max(12, *map(len, columns))
    lines = []
    for row in (columns, *zip(*columns.values(), strict=True)):
        cells = [_text(value) for value in row]
        lines.append(" ".join(f"{c:>{width if k else 4}}" for k, c in enumerate(cells)))
    return "\n".join(lines)


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns to a .csv or .json file, with all digits.

    JSON has a list under each title. The file appears complete or not at all.
    """
    if path.suffix.lower() == ".json":
        text = json.dumps({title: list(values) for title, values in columns.items()}, indent=1)
        text += "\n"
    else:
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        text = stream.getvalue()
    with atomic_write(path) as file:
        file.write(text.encode())


def _text(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)
