"""The history of a run, for its model file: errors of stages and epochs, few enough to travel."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...model import TrainingHistory
from .loop import read_metrics

#: Stages of the density, whose errors are percentages; energies have others.
_STAGES = ("start", "gradient", "finish")

#: Most epochs that are kept, and digits of errors.
_EPOCHS, _DIGITS = 200, 4


def read_history(folder: Path, part: str) -> TrainingHistory:
    """What the files of a run that has ended say about its training.

    Parameters
    ----------
    folder
        Of the run, with ``errors.json`` and, after gradient training, ``metrics.jsonl``.
    part
        By which it was judged, ``"validation"`` or ``"training"``.
    """
    errors = json.loads((folder / "errors.json").read_text())
    names = dict.fromkeys(("training", part))
    entries = [
        entry for entry in map(_errors, read_metrics(folder)) if names.keys() <= entry.keys()
    ]
    kept = _some(entries, part)
    return TrainingHistory(
        part,
        {name: _rounded(errors[name]) for name in _STAGES if name in errors},
        tuple(int(entry["epoch"]) for entry in kept),
        **{name: tuple(entry[name] for entry in kept) for name in names},
    )


def _errors(line: Mapping[str, float]) -> dict[str, float]:
    """Epoch and errors in percent, from losses relative to that of free atoms.

    Without those of an epoch that diverged. Lines about energies have none.
    """
    losses = {name: line.get(f"{name}_loss", math.nan) for name in ("training", "validation")}
    errors = {
        name: _rounded(100 * math.sqrt(max(loss, 0.0)))
        for name, loss in losses.items()
        if math.isfinite(loss)
    }
    return {"epoch": line.get("epoch", math.nan), **errors}


def _some(entries: Sequence[Mapping[str, float]], judged: str) -> list[Mapping[str, float]]:
    """Not too many, evenly, with the first, the last and the best."""
    if len(entries) <= _EPOCHS:
        return list(entries)
    best = min(range(len(entries)), key=lambda k: entries[k][judged])
    chosen = np.linspace(0, len(entries) - 1, _EPOCHS - 1).round().astype(int)
    return [entries[k] for k in sorted({best, *chosen.tolist()})]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
