"""Models that come with the package."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).parents[2]

#: Where shipped models are: inside the wheel, or beside the package in a checkout.
_FOLDERS = (_PACKAGE / "models", _PACKAGE.parent / "models")


def shipped_models() -> dict[str, Path]:
    """Names and files of the models that come with the package."""
    found: dict[str, Path] = {}
    for folder in _FOLDERS:
        for path in sorted(folder.glob("*/model.pt")):
            found.setdefault(path.parent.name, path)
    return found


def find_model(model: str | os.PathLike[str]) -> Path:
    """The file of a shipped name or of a path; an existing path wins.

    Raises
    ------
    FileNotFoundError
        Neither exists; the message lists the shipped names.
    """
    path = Path(model)
    if path.is_file():
        return path
    models = shipped_models()
    if str(model) in models:
        return models[str(model)]
    known = ", ".join(models) or "none"
    raise FileNotFoundError(
        f"model is {os.fspath(model)!r}: there is no such file, and no such shipped model "
        f"(there are: {known})"
    )
