"""What a model file says about itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .history import TrainingHistory

#: Version of the model file: files of another major version are refused.
SCHEMA_VERSION = (1, 1)


@dataclass(frozen=True)
class ModelCard:
    """Description that travels inside ``model.pt``.

    Attributes
    ----------
    name
        Short name.
    description
        One or two sentences.
    level_of_theory
        Settings of the reference calculations and of the fit.
    training
        Data set, its size and split, and how the model was trained.
    errors
        Figures on held-out structures, each with its unit in the name.
    charges
        Total charges that the training structures had.
    licence
        Of the weights.
    citation
        What to cite.
    history
        Errors during training; None where the file does not say.
    """

    name: str
    description: str = ""
    level_of_theory: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    charges: tuple[int, ...] = (0,)
    licence: str = ""
    citation: str = ""
    history: TrainingHistory | None = None

    def to_json(self) -> str:
        """JSON with the schema version."""
        return json.dumps({"schema": list(SCHEMA_VERSION), **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """The inverse of :meth:`to_json`; unknown entries of later minor versions are ignored."""
        data = json.loads(text)
        major = data["schema"][0]
        if major != SCHEMA_VERSION[0]:
            version = ".".join(map(str, data["schema"]))
            change = "update ase_rholearn" if major > SCHEMA_VERSION[0] else "export it again"
            raise ValueError(
                f"the model {data.get('name')!r} has file version {version}, this ase_rholearn "
                f"reads {SCHEMA_VERSION[0]}.x: {change}"
            )
        known = {f.name for f in fields(cls)}
        kept = {key: value for key, value in data.items() if key in known}
        kept["charges"] = tuple(kept.get("charges", (0,)))
        if kept.get("history") is not None:
            kept["history"] = TrainingHistory.from_dict(kept["history"])
        return cls(**kept)
