"""Writing files so that they are whole or absent, and lines so that others stay whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` and rename it when the block ends well.

    After an exception, or a kill at any moment, ``path`` is as it was before.

    Raises
    ------
    OSError
        The folder does not exist or cannot be written; the message names both.
    """
    target = Path(path)
    with temporary_sibling(target) as temporary, temporary.open(mode) as stream:
        yield stream
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def temporary_sibling(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the name of a new file beside ``path``; it becomes ``path`` if the block ends well."""
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: give the name of a file")
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    except OSError as error:
        raise type(error)(
            f"cannot write {target}: {error.strerror} in the folder {target.parent.absolute()}; "
            "give a folder that exists and can be written to"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def append_json(path: str | os.PathLike[str], entry: Mapping[str, Any]) -> None:
    """Add a JSON object as a line of its own, after whatever a kill has left of the last one."""
    with Path(path).open("a+b") as stream:
        stream.seek(-min(1, stream.tell()), os.SEEK_END)
        start = b"" if stream.read(1) in (b"", b"\n") else b"\n"
        stream.write(start + json.dumps(entry).encode() + b"\n")


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
