"""Making reference densities for many structures, on any executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from ase import Atoms

from ...references import ReferenceCode
from ..data import DataSet
from .executors import Workers
from .fill import Item, fill
from .progress import Progress


def generate(
    structures: Sequence[Atoms],
    dataset: DataSet,
    code: ReferenceCode,
    workers: Workers | Executor | None = None,
    *,
    timeout: float | None = None,
    retry: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Compute every structure that the data set does not have yet.

    Parameters
    ----------
    structures
        What to compute; one that is there twice is computed once.
    dataset
        Where the references go; made with the basis and settings of ``code``.
    code
        The reference code.
    workers, timeout, retry, on_progress
        As for :func:`~ase_rholearn.training.generation.fill.fill`.

    Raises
    ------
    RuntimeError
        Another process writes into the data set, or the executor broke down.
    """
    items = (Item(atoms, code.reference, (atoms,)) for atoms in structures)
    with dataset.writing():
        return fill(dataset, items, workers, timeout=timeout, retry=retry, on_progress=on_progress)
