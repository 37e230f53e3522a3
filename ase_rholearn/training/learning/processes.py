"""Several processes that train together: who is first, and waiting for what it writes.

Lightning, torchrun and SLURM tell each process its rank by environment variables. The first
process alone prepares and finishes a run; the others wait for its files and take part in
gradient training.
"""

from __future__ import annotations

import time
from pathlib import Path

#: Seconds between looks at a file that another process will write.
_POLL = 0.5


def rank() -> int:
    """Number of this process among those that train together, 0 for the first."""
    from lightning.pytorch.utilities import rank_zero_only

    return int(getattr(rank_zero_only, "rank", None) or 0)


def is_first() -> bool:
    """Whether this process prepares and finishes the run."""
    return rank() == 0


def wait_for(path: Path) -> None:
    """Return once a file is there, which the first process writes."""
    while not path.exists():
        time.sleep(_POLL)
