"""Judging a model file on a data set: in several processes, resumable."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ...files import atomic_write
from ...model import DensityModel, load_model
from ..data import DataSet
from ..generation import Progress, Workers
from ..generation.tasks import run_tasks
from ..generation.worker import Task
from .compatibility import check_agreement, same_basis
from .results import Results
from .structure import Settings, judge, warm_up
from .summary import summarize
from .surroundings import training_distances

#: Version of ``evaluation.json``.
SCHEMA_VERSION = (1, 1)

#: The file of an evaluation in its folder.
EVALUATION = "evaluation.json"

#: Packages whose versions are recorded.
_PACKAGES = ("ase-rholearn", "torch", "metatomic-torch", "pyscf", "numpy", "ase")

#: Structures of a training set that distances are measured from, at most.
_TRAINING = 5000

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Job:
    """One model on one data set.

    Attributes
    ----------
    model
        Shipped name or path of a model file.
    dataset
        Folder of the data set.
    settings
        How structures are judged.
    other_basis
        Whether the data set may be fitted in another basis than the model's; then
        predictions are compared with SCF densities alone.
    basis
        For models of other programs: a file of their basis.
    device
        Where predictions run.
    """

    model: str | Path
    dataset: Path
    settings: Settings = field(default_factory=Settings)
    other_basis: bool = False
    basis: str | Path | None = None
    device: str | None = None

    def open(self) -> tuple[DensityModel, DataSet]:
        """Load both."""
        model = load_model(self.model, self.device, basis=self.basis)
        return model, DataSet.open(self.dataset)


def evaluate_dataset(
    job: Job,
    ids: Sequence[str] | None = None,
    *,
    folder: Path,
    training: Sequence[str] = (),
    workers: Workers | None = None,
    origin: str = "",
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Judge a model file on references of a data set.

    Results of structures are kept in the folder as they come, so that a job that is started
    again goes on where it was interrupted.

    Parameters
    ----------
    job
        What is judged on what, and how.
    ids
        Which references; all of them if left out.
    folder
        For the results; it is made if need be.
    training
        Ids of the references in the same data set that the model was trained on, if they are
        known: then distances from them are measured.
    workers
        Processes; left out, everything runs in this one.
    origin
        Where the model comes from, to be recorded instead of the name of its file.
    on_progress
        Called after each structure, first with what earlier runs have done.

    Returns
    -------
    dict
        Plain data, see docs/evaluation.md.

    Raises
    ------
    ValueError
        Level of theory or basis of model and data set differ, an id is not there, nothing is
        to be judged, or the model cannot predict a structure.
    """
    model, dataset = job.open()
    agreement = check_agreement(model, dataset, other_basis=job.other_basis)
    names = _selected(dataset, ids)
    results = Results(folder, _identity(job, model, dataset))
    known = results.read()
    missing = [name for name in names if name not in known]
    _check_structures(model, dataset, missing)
    folder.mkdir(parents=True, exist_ok=True)
    if workers is None or workers.count == 1:
        judged = _judged_here(_Opened(model, dataset, agreement.same_basis), missing, job.settings)
    else:
        judged = _judged_elsewhere(job, missing, workers)
    known |= _stored(judged, results, len(names) - len(missing), len(names), on_progress)
    structures = [known[name] for name in names]
    _add_distances(structures, model, dataset, training)
    summary = summarize(structures)
    return {
        "schema": list(SCHEMA_VERSION),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "model": _describe_model(job, model, origin),
        "data": _describe_data(job, dataset, names, training),
        "settings": asdict(job.settings),
        "notes": list(agreement.notes),
        "versions": _versions(),
        "processes": {"count": workers.count if workers else 1, "machine": platform.machine()},
        **summary,
        "structures": structures,
    }


def write_evaluation(
    folder: Path, evaluation: Mapping[str, Any], models: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Write ``evaluation.json``, without the coefficients that only parity plots need.

    Parameters
    ----------
    folder
        Where.
    evaluation
        Of :func:`evaluate_dataset`.
    models
        Evaluations of all models that were compared, of which the means are written.
    """
    structures = [
        {key: value for key, value in entry.items() if key != "coefficients"}
        for entry in evaluation["structures"]
    ]
    compared = [
        {**one["model"], **{kind: one[kind] for kind in ("mean", "median", "worst")}}
        for one in (models or (evaluation,))
    ]
    content = {**evaluation, "models": compared, "structures": structures}
    with atomic_write(folder / EVALUATION, "w") as stream:
        json.dump(content, stream, indent=1, allow_nan=False)


@dataclass(frozen=True)
class _Opened:
    """What structures are judged with."""

    model: DensityModel
    dataset: DataSet
    same_basis: bool

    def judge(self, name: str, settings: Settings) -> dict[str, Any]:
        reference = self.dataset.load(name)
        return judge(self.model, reference, settings, same_basis=self.same_basis)


def judge_one(job: Job, name: str) -> dict[str, Any]:
    """Judge one structure of a job, in a process that does nothing else."""
    return _opened(job).judge(name, job.settings)


@lru_cache(maxsize=1)
def _opened(job: Job) -> _Opened:
    """Model and data set, which each process opens once."""
    model, dataset = job.open()
    warm_up(model)
    return _Opened(model, dataset, same_basis(model.basis, dataset.basis))


def _judged_here(
    opened: _Opened, names: Sequence[str], settings: Settings
) -> Iterator[dict[str, Any]]:
    if names:
        warm_up(opened.model)
    yield from (opened.judge(name, settings) for name in names)


def _judged_elsewhere(job: Job, names: Sequence[str], workers: Workers) -> Iterator[dict[str, Any]]:
    tasks = (Task(judge_one, (job, name), label=name) for name in names)
    with closing(run_tasks(tasks, workers)) as outcomes:
        for task, outcome in outcomes:
            if outcome.reason is not None:
                raise RuntimeError(f"structure {task.label}: {outcome.reason}")
            yield outcome.result


def _stored(
    judged: Iterable[dict[str, Any]],
    results: Results,
    done: int,
    total: int,
    on_progress: OnProgress | None,
) -> dict[str, dict[str, Any]]:
    """Results by id, each written as soon as it is there."""
    report = on_progress or (lambda progress: None)
    report(Progress(done, 0, total))
    found = {}
    for entry in judged:
        results.append(entry)
        found[entry["id"]] = entry
        report(Progress(done + len(found), 0, total))
    return found


def _selected(dataset: DataSet, ids: Iterable[str] | None) -> list[str]:
    """Ids to judge, in the order given, each once."""
    if ids is None:
        names = dataset.ids
        if not names:
            raise ValueError(f"the data set {dataset.folder} is empty: there is nothing to judge")
        return names
    names = list(dict.fromkeys(ids))
    if not names:
        raise ValueError("ids is empty: there is nothing to judge")
    dataset.select(names)
    return names


def _check_structures(model: DensityModel, dataset: DataSet, names: Sequence[str]) -> None:
    for name in names:
        model.check(dataset.load(name).atoms, argument=f"structure {name} of {dataset.folder}")


def _identity(job: Job, model: DensityModel, dataset: DataSet) -> dict[str, Any]:
    """What the result of a structure depends on."""
    return {
        "model": model.fingerprint,
        "data": dataset.settings,
        "settings": asdict(job.settings),
    }


def _add_distances(
    structures: Sequence[dict[str, Any]],
    model: DensityModel,
    dataset: DataSet,
    training: Sequence[str],
) -> None:
    if not training:
        return
    # a part of a large set is as good to find the order of structures
    chosen = training[:: -(-len(training) // _TRAINING)]
    found = training_distances(
        (dataset.load(entry["id"]).atoms for entry in structures),
        (dataset.load(name).atoms for name in chosen),
        model.cutoff,
    )
    for entry, distance in zip(structures, found, strict=True):
        if np.isfinite(distance):  # a species that the training set lacks
            entry["training_distance"] = distance


def _describe_model(job: Job, model: DensityModel, origin: str) -> dict[str, Any]:
    return {
        "name": model.card.name,
        "file": origin or str(job.model),
        "fingerprint": model.fingerprint,
        "card": asdict(model.card),
        "basis": str(model.basis),
        "cutoff_angstrom": model.cutoff,
        "dtype": model.dtype,
        "device": str(model.device),
        "training_structures": model.card.training.get("training_structures"),
    }


def _describe_data(
    job: Job, dataset: DataSet, names: Sequence[str], training: Sequence[str]
) -> dict[str, Any]:
    seen = set(training)
    return {
        "folder": str(job.dataset),
        "settings": dataset.settings,
        "basis": str(dataset.basis),
        "structures": len(names),
        "training_structures": len(training) or None,
        # None where nobody said what the model was trained on
        "seen_in_training": sum(name in seen for name in names) if training else None,
    }


def _versions() -> Mapping[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
