"""The one place that calls ASE's functions for FHI-aims' files.

ASE announces that they will move to a plugin; what uses them here need not know where they are.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ase import Atoms
from ase.io.aims import read_aims


@contextmanager
def announced_move() -> Iterator[None]:
    """Silence ASE's announcement that its functions for FHI-aims will move."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="FHI-aims IO is moving", category=FutureWarning)
        yield


def parse_geometry(text: str) -> Atoms:
    """The structure of a ``geometry.in`` whose species are elements."""
    with announced_move():
        return read_aims(io.StringIO(text))
