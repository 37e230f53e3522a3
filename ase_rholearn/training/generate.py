"""Making reference densities for a list of structures, on several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from ..basis import Basis
from ..references import Reference
from ..references.pyscf import KohnSham, reference
from ..structures import check_atoms, read_structures
from .dataset import DataSet
from .options import GenerateOptions


@dataclass(frozen=True)
class Progress:
    """How far a generation is.

    Attributes
    ----------
    done, failed, total
        Structures with a reference (also from earlier runs), without one, and all.
    """

    done: int
    failed: int
    total: int


def generate(
    structures: Sequence[Atoms],
    dataset: DataSet,
    settings: KohnSham,
    *,
    workers: int = 1,
    keep_orbitals: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Run PySCF for every structure that the data set does not have yet.

    Each reference is written as soon as it is there, so that an interrupted job can be
    started again and loses only what was in flight. A structure that fails is listed in
    ``failures.jsonl``; the others go on.

    Parameters
    ----------
    structures
        Molecules.
    dataset
        Where the references go; made with the same ``settings``.
    settings
        Level of theory.
    workers
        Processes; each uses one core.
    keep_orbitals
        See :func:`~ase_rholearn.references.pyscf.reference`.
    on_progress
        Called after every structure.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}: give 1 or more")
    unique = {dataset.id_of(atoms): atoms for atoms in structures}
    known = set(dataset.ids)
    missing = [atoms for name, atoms in unique.items() if name not in known]
    done, failed = len(unique) - len(missing), 0
    report = on_progress or (lambda progress: None)
    report(Progress(done, failed, len(unique)))
    if not missing:
        return Progress(done, failed, len(unique))
    others = set(multiprocessing.active_children())
    processes: set[Any] = set()
    with _executor(min(workers, len(missing))) as executor:
        try:
            with _interrupts_held():
                jobs = {
                    executor.submit(_run, atoms, dataset.basis, settings, keep_orbitals): atoms
                    for atoms in missing
                }
                processes = set(multiprocessing.active_children()) - others
            for job in as_completed(jobs):
                error = job.exception()
                if error is None:
                    dataset.add(job.result())
                    done += 1
                else:
                    dataset.report_failure(jobs[job], f"{type(error).__name__}: {error}")
                    failed += 1
                report(Progress(done, failed, len(unique)))
        except KeyboardInterrupt:
            # what is in flight is lost; nobody waits for it
            executor.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            raise
    return Progress(done, failed, len(unique))


def _executor(workers: int) -> Executor:
    # torch's threads do not survive a fork
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_use_one_core)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Delay Ctrl-C while processes start: they inherit its being blocked, and stay silent."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _use_one_core() -> None:
    import torch
    from pyscf import lib

    torch.set_num_threads(1)
    lib.num_threads(1)


def _run(atoms: Atoms, basis: Basis, settings: KohnSham, keep_orbitals: bool) -> Reference:
    return reference(atoms, basis, settings, keep_orbitals=keep_orbitals)


def generate_from_options(
    options: GenerateOptions, *, on_progress: Callable[[Progress], None] | None = None
) -> Progress:
    """:func:`generate` for the options of a file: reads the structures, makes the data set."""
    structures = read_structures(options.structures)
    for index, atoms in enumerate(structures):
        check_atoms(atoms, argument=f"frame {index} of {options.structures}")
    species = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    settings = options.kohn_sham.settings()
    basis = options.basis.build(species, options.kohn_sham)
    dataset = DataSet.create(options.dataset, basis, settings.to_dict())
    return generate(
        structures,
        dataset,
        settings,
        workers=options.workers,
        keep_orbitals=options.keep_orbitals,
        on_progress=on_progress,
    )
