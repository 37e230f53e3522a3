"""Files with one number a line, which is how FHI-aims writes vectors and matrices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..density.files.long_numbers import parse_lines
from ..density.files.numbers import parse_numbers
from ..files import atomic_write

#: Bytes that are looked at together.
_BLOCK = 2**20

#: Numbers that are written at once.
_CHUNK = 2**14


def count_lines(path: str | os.PathLike[str]) -> int:
    """Lines of a file whose every line ends.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The last line has no end: the file was cut there, and its number may lack digits.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    count, last = 0, b"\n"
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            count += block.count(b"\n")
            last = block[-1:]
    if last != b"\n":
        raise ValueError(f"{path} is truncated: line {count + 1}, its last, has no end")
    return count


def read_vector(path: str | os.PathLike[str], size: int) -> np.ndarray:
    """Numbers of a file, one a line: shape (size,).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It has another number of lines, or a line that is not one finite number; the message
        names file and line.
    """
    lines = count_lines(path)
    if lines < size:
        raise ValueError(
            f"{path} is truncated, or of another basis: it ends after line {lines}, but the basis "
            f"has {size} functions"
        )
    if lines > size:
        raise ValueError(
            f"{path}, line {size + 1}: there are {lines} lines, but the basis has {size} functions"
        )
    vector = np.empty(size)
    done = 0
    for block in finite_blocks(path):
        vector[done : done + len(block)] = block
        done += len(block)
    return vector


def read_indices(path: str | os.PathLike[str]) -> np.ndarray:
    """Integers of a file, one a line: shape (n,); none if the file is empty.

    Raises
    ------
    ValueError
        A line is not an integer.
    """
    values = read_vector(path, count_lines(path))
    fractions = np.flatnonzero(values != np.rint(values))
    if len(fractions):
        raise ValueError(f"{path}, line {fractions[0] + 1}: {values[fractions[0]]} is no index")
    return values.astype(int)


def finite_blocks(path: str | os.PathLike[str], columns: int = 1) -> Iterator[np.ndarray]:
    """Numbers of a file in pieces, of which only one is in memory at a time: shape (n,).

    Parameters
    ----------
    path
        The file.
    columns
        Numbers in each line.

    Raises
    ------
    ValueError
        A line does not have so many finite numbers; the message names file and line.
    """
    first, tail = 1, b""
    with Path(path).open("rb") as stream:
        while block := stream.read(_BLOCK):
            block = tail + block
            end = block.rfind(b"\n") + 1
            text, tail = block[:end], block[end:]
            lines = text.count(b"\n")
            try:
                values = parse_lines(text) if columns == 1 else None
                values = parse_numbers(text) if values is None else values
            except ValueError as error:
                raise ValueError(_first_wrong(path, text, first, columns)) from error
            if len(values) != lines * columns or not np.isfinite(values).all():
                raise ValueError(_first_wrong(path, text, first, columns))
            first += lines
            yield values


def _first_wrong(path: str | os.PathLike[str], text: bytes, first: int, columns: int) -> str:
    """What is wrong with the first line of a text that does not have so many finite numbers."""
    expected = "one number" if columns == 1 else f"{columns} numbers"
    for line_number, line in enumerate(text.split(b"\n"), first):
        found = line.decode("ascii", "replace").strip()
        where = f"{path}, line {line_number}"
        if "*" in found:
            return f"{where}: {found!r}, a number that was too large for its column"
        try:
            values = parse_numbers(line)
        except ValueError:
            values = np.empty(0)
        if len(values) != columns:
            return f"{where}: {found!r} is not {expected}"
        if not np.isfinite(values).all():
            return f"{where}: {found!r} is not finite"
    return f"{path}, line {first}: there is something else than {expected}"


def write_vector(path: str | os.PathLike[str], values: np.ndarray) -> None:
    """Write numbers one a line, with all digits of a double.

    The file appears complete or not at all.

    Raises
    ------
    ValueError
        A value is NaN or infinite.
    """
    values = np.asarray(values, dtype=float).reshape(-1)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(f"value {bad[0]} for {path} is {values[bad[0]]}: give finite numbers")
    with atomic_write(path, "w") as stream:
        for start in range(0, len(values), _CHUNK):
            part = values[start : start + _CHUNK].tolist()
            stream.write("%.18e\n" * len(part) % tuple(part))
