"""How a network was trained, as it travels in a model file: errors of stages and epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class TrainingHistory:
    r"""Errors of a training run.

    All are root mean squares in the metric of the loss, in percent of the density that is to be
    predicted: :math:`100 \sqrt{L / L_0}`, where the loss :math:`L_0` is that of free atoms.

    Attributes
    ----------
    part
        By which stages and epochs were judged, ``"validation"`` or ``"training"``.
    stages
        Error of each stage, in their order; the network is that of the best one.
    epochs
        Epochs of the gradient training, from 0; of a long training only some.
    training, validation
        Errors in these epochs, the former while weights moved; the latter is empty without a
        validation part.

    Raises
    ------
    ValueError
        Numbers of epochs and errors differ, or an error is no number.
    """

    part: str
    stages: Mapping[str, float] = field(default_factory=dict)
    epochs: tuple[int, ...] = ()
    training: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.part not in ("validation", "training"):
            raise ValueError(f'part is {self.part!r}: give "validation" or "training"')
        for name in ("training", "validation"):
            count = len(getattr(self, name))
            if count != len(self.epochs) and not (name == "validation" and count == 0):
                raise ValueError(f"{name} has {count} errors, for {len(self.epochs)} epochs")
        errors = (*self.stages.values(), *self.training, *self.validation)
        if not all(math.isfinite(error) for error in errors):
            raise ValueError("the history of the training has errors that are no numbers")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingHistory:
        """The inverse of ``dataclasses.asdict``, also from JSON; unknown entries are ignored."""
        known: dict[str, Any] = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        for name in ("epochs", "training", "validation"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)
