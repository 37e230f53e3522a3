"""What long commands show of their progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from tqdm import tqdm

if TYPE_CHECKING:
    from ..training.generation import Progress

#: Seconds between lines about the progress of a job in a log file.
_LOG_INTERVAL = 60.0


@contextmanager
def following(what: str) -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a long job: a bar on a terminal, a line now and then in a log."""
    bar: Any = None
    first, started, told = 0, 0.0, 0.0

    def show(progress: Progress) -> None:
        nonlocal bar, first, started, told
        count, now = progress.done + progress.failed, time.monotonic()
        if bar is None:
            # what earlier runs did says nothing about the rate
            first, started, told = count, now, now
            bar = tqdm(desc=what, total=progress.total, initial=first, disable=None, smoothing=0.05)
        if not bar.disable:
            bar.update(count - bar.n)
        elif now - told > _LOG_INTERVAL:
            told = now
            total, elapsed = progress.total, now - started
            typer.echo(tqdm.format_meter(count, total, elapsed, initial=first, prefix=what))

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def counting() -> Iterator[Callable[[], None]]:
    """Count structures on a terminal."""
    with tqdm(unit="structure", disable=None, leave=False) as bar:

        def count() -> None:
            bar.update()

        yield count
