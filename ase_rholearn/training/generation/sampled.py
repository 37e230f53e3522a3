"""Sampling of structures on an executor; what is done for one input is kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from ase import Atoms
from ase.io.jsonio import decode, encode

from ...files import atomic_write
from ...references import reference_id
from ..sampling import Failed, Sampled, SamplingPlan, Smiles, sample_smiles, sample_structure
from .executors import Workers
from .progress import Progress
from .tasks import run_tasks
from .worker import Task


def sampled_structures(
    inputs: Sequence[Atoms | Smiles],
    plan: SamplingPlan,
    seed: int,
    folder: Path,
    workers: Workers | Executor | None = None,
    *,
    timeout: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[list[Atoms], list[Failed]]:
    """Sample every input, or read what an earlier run made of it.

    Parameters
    ----------
    inputs
        Structures and molecules to start from.
    plan, seed
        See :func:`~ase_rholearn.training.sampling.sample`.
    folder
        Where the result of each input is kept, one file each.
    workers
        Where inputs are sampled; left out: one process of this machine.
    timeout
        Seconds that an input may take.
    on_progress
        Called after every input.

    Returns
    -------
    tuple of list
        The structures, in the order of the inputs, and what failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {folder / f"{_key(item, plan, seed)}.json": item for item in inputs}
    report = on_progress or (lambda progress: None)
    missing = {path: item for path, item in paths.items() if not path.exists()}
    done, failed = len(paths) - len(missing), 0
    report(Progress(done, failed, len(paths)))
    failures = []
    if missing:
        tasks = (
            Task(_sample, (item, plan, seed), timeout, label=str(path))
            for path, item in missing.items()
        )
        with closing(run_tasks(tasks, workers or Workers())) as outcomes:
            for task, outcome in outcomes:
                item = task.arguments[0]
                if outcome.reason is None:
                    _write(Path(task.label), outcome.result)
                    done += 1
                else:
                    failures.append(Failed(_name(item), outcome.reason))
                    failed += 1
                report(Progress(done, failed, len(paths)))
    results = [entry for path in paths if path.exists() for entry in _read(path)]
    structures = [entry.atoms for entry in results if isinstance(entry, Sampled)]
    return structures, failures + [entry for entry in results if isinstance(entry, Failed)]


def _sample(item: Atoms | Smiles, plan: SamplingPlan, seed: int) -> list[Sampled | Failed]:
    """All that comes of one input."""
    if isinstance(item, Smiles):
        return list(sample_smiles(item, plan, seed))
    return list(sample_structure(item, plan, seed))


def _write(path: Path, results: Sequence[Sampled | Failed]) -> None:
    data = [
        {"name": entry.name, "atoms": entry.atoms}
        if isinstance(entry, Sampled)
        else {"name": entry.name, "reason": entry.reason}
        for entry in results
    ]
    with atomic_write(path, "w") as stream:
        stream.write(encode(data))


def _read(path: Path) -> list[Sampled | Failed]:
    try:
        return [
            Sampled(entry["name"], entry["atoms"])
            if "atoms" in entry
            else Failed(entry["name"], entry["reason"])
            for entry in decode(path.read_text())
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: delete it, and it is sampled again") from error


def _key(item: Atoms | Smiles, plan: SamplingPlan, seed: int) -> str:
    """Digits that stand for an input and what is made of it."""
    identity = asdict(item) if isinstance(item, Smiles) else reference_id(item, {})
    text = json.dumps([identity, asdict(plan), seed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(item: Atoms | Smiles) -> str:
    return item.name or item.smiles if isinstance(item, Smiles) else item.get_chemical_formula()
