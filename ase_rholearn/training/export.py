"""From a run to a model file: evaluation, card, export."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..basis import Basis
from ..model import ModelCard, export_model
from ..model.uncertainty import Uncertainty
from .data import DataSet
from .evaluation import FIGURES, Job, Reporting, Settings, evaluate_dataset
from .evaluation.command import report
from .evaluation.job import EVALUATION
from .generation import Progress, Workers
from .learning.energies.stage import load_energy, validation_figures
from .learning.history import read_history
from .learning.train import load_network
from .learning.uncertainty.run import run_uncertainty
from .options import TrainOptions


def export_run(
    options: TrainOptions,
    path: str | os.PathLike[str],
    dtype: str = "float32",
    *,
    uncertainty: bool = True,
    basis: Basis | None = None,
) -> None:
    """Write the network of a run that has ended as a model file.

    Parameters
    ----------
    options
        Those of the run.
    path
        The file.
    dtype
        ``"float32"`` or ``"float64"``.
    uncertainty
        Whether the file shall predict its errors, if the options say so too. They are found
        once, and kept in ``uncertainty.pt`` of the run's folder.
    basis
        That of the data set with radial functions, if these were not known there.
    """
    dataset = DataSet.open(options.dataset)
    network = load_network(options, dataset.basis)
    found = run_uncertainty(options, dataset, network) if uncertainty else None
    export_model(
        network,
        dataset.basis if basis is None else dataset.basis.with_functions(basis.shells),
        _card(options, dataset, found),
        path,
        dtype=dtype,  # type: ignore[arg-type]
        energy=load_energy(options.output, network),
        uncertainty=found,
    )


def evaluate_run(
    options: TrainOptions,
    part: str = "test",
    level: int = 2,
    one_shot: bool = True,
    *,
    workers: Workers | None = None,
    reporting: Reporting | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Judge the network of a run, as it is exported, on one part of its data set.

    The result is also written to ``evaluation-<part>/evaluation.json`` in the run's folder,
    with a page if ``reporting`` says so; the one of the test part goes into the card of models
    that are exported later. See :func:`~ase_rholearn.training.evaluation.evaluate_dataset`.
    """
    split = _split(options)
    if part not in split:
        raise ValueError(f"part is {part!r}: give one of {sorted(split)}")
    if not split[part]:
        raise ValueError(f"the {part} part of this run is empty: give split.{part} and train anew")
    reporting = reporting or Reporting(page=False)
    reporting.check()
    folder = evaluation_folder(options, part)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.pt"
        export_run(options, path)
        job = Job(path, options.dataset, Settings(level, one_shot), device="cpu")
        result = evaluate_dataset(
            job,
            split[part],
            folder=folder,
            training=split["training"],
            workers=workers,
            origin=str(options.output),
            on_progress=on_progress,
        )
        report(job, result, folder, reporting)
    return result


def evaluation_folder(options: TrainOptions, part: str) -> Path:
    """Where the evaluation of a run on one part of its data set is."""
    return options.output / f"evaluation-{part}"


def _card(options: TrainOptions, dataset: DataSet, uncertainty: Uncertainty | None) -> ModelCard:
    split = _split(options)
    training: dict[str, Any] = {f"{part}_structures": len(ids) for part, ids in split.items()}
    if uncertainty is not None:
        training["extrapolation_limit"] = round(float(uncertainty.limit), 6)
        training["extrapolation_false_alarms"] = options.uncertainty.false_alarms
    evaluation = evaluation_folder(options, "test") / EVALUATION
    errors: dict[str, float] = {}
    if evaluation.exists():
        mean = json.loads(evaluation.read_text())["mean"]
        errors = {name: mean[name] for name in FIGURES if name in mean}
    errors |= validation_figures(options.output)
    return ModelCard(
        name=options.name,
        description=options.card.description,
        level_of_theory=dataset.settings,
        training=training,
        errors=errors,
        charges=_charges(dataset, split["training"]),
        licence=options.card.licence,
        citation=options.card.citation,
        history=read_history(options.output, "validation" if split["validation"] else "training"),
    )


def _charges(dataset: DataSet, ids: Sequence[str]) -> tuple[int, ...]:
    """Total charges of some structures."""
    found = {int(dataset.notes(name)["info"].get("charge", 0)) for name in ids}
    return tuple(sorted(found)) or (0,)


def _split(options: TrainOptions) -> dict[str, list[str]]:
    path = options.output / "split.json"
    if not path.exists():
        raise FileNotFoundError(f"{options.output} holds no run (split.json is missing)")
    split: dict[str, list[str]] = json.loads(path.read_text())
    return split
