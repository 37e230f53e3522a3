"""From a run to a model file: evaluation, card, export."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files import atomic_write
from ..model import ModelCard, export_model, load_model
from ..model.uncertainty import Uncertainty
from .data import DataSet
from .evaluation import FIGURES, evaluate
from .learning.run_uncertainty import run_uncertainty
from .learning.train import load_network
from .options import TrainOptions


def export_run(
    options: TrainOptions,
    path: str | os.PathLike[str],
    dtype: str = "float32",
    *,
    uncertainty: bool = True,
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
    """
    dataset = DataSet.open(options.dataset)
    network = load_network(options, dataset.basis)
    found = run_uncertainty(options, dataset, network) if uncertainty else None
    card = _card(options, dataset, found)
    export_model(network, dataset.basis, card, path, dtype=dtype, uncertainty=found)  # type: ignore[arg-type]


def evaluate_run(
    options: TrainOptions,
    part: str = "test",
    level: int = 2,
    one_shot: bool = True,
    *,
    on_progress: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Judge the network of a run, as it is exported, on one part of its data set.

    The result is also written to ``evaluation-<part>.json`` in the run's folder; the one of
    the test part goes into the card of models that are exported later. See
    :func:`~ase_rholearn.training.evaluation.evaluate`.
    """
    split = _split(options)
    if part not in split:
        raise ValueError(f"part is {part!r}: give one of {sorted(split)}")
    if not split[part]:
        raise ValueError(f"the {part} part of this run is empty: give split.{part} and train anew")
    dataset = DataSet.open(options.dataset)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        export_run(options, path, uncertainty=False)
        model = load_model(path, "cpu")
        references = (dataset.load(name) for name in split[part])
        result = evaluate(
            model, references, level=level, one_shot=one_shot, on_progress=on_progress
        )
    with atomic_write(options.output / f"evaluation-{part}.json", "w") as stream:
        json.dump(result, stream, indent=1)
    return result


def _card(options: TrainOptions, dataset: DataSet, uncertainty: Uncertainty | None) -> ModelCard:
    split = _split(options)
    training: dict[str, Any] = {f"{part}_structures": len(ids) for part, ids in split.items()}
    if uncertainty is not None:
        training["extrapolation_limit"] = round(float(uncertainty.limit), 6)
        training["extrapolation_false_alarms"] = options.uncertainty.false_alarms
    evaluation = options.output / "evaluation-test.json"
    errors: dict[str, float] = {}
    if evaluation.exists():
        mean = json.loads(evaluation.read_text())["mean"]
        errors = {name: mean[name] for name in FIGURES if name in mean}
    return ModelCard(
        name=options.name,
        description=options.card.description,
        level_of_theory=dataset.settings,
        training=training,
        errors=errors,
        licence=options.card.licence,
        citation=options.card.citation,
    )


def _split(options: TrainOptions) -> dict[str, list[str]]:
    path = options.output / "split.json"
    if not path.exists():
        raise FileNotFoundError(f"{options.output} holds no run (split.json is missing)")
    split: dict[str, list[str]] = json.loads(path.read_text())
    return split
