"""How far a long job is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    done, failed, total
        Items with a result (also from earlier runs), without one, and all.
    """

    done: int
    failed: int
    total: int
