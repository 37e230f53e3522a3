"""Reading options files, and saying what is wrong with them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .section import section_of

Options = TypeVar("Options", bound=BaseModel)


def load_options(kind: type[Options], path: str | os.PathLike[str]) -> Options:
    """Read and check a YAML file. Relative paths in it start from the file's folder.

    Raises
    ------
    FileNotFoundError, ValueError
        No such file, or something in it is wrong; the message names the key.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no options file {path}")
    try:
        data = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not a YAML file: {reason}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds no options: give `key: value` lines")
    try:
        options = kind.model_validate(data)
    except ValidationError as error:
        raise ValueError(f"{path}: {_explain(error, kind)}") from error
    return _with_paths_from(options, path.parent)


def _with_paths_from(options: Options, folder: Path) -> Options:
    """The same options, their relative paths starting from a folder."""
    moved: dict[str, Any] = {}
    for name, value in options:
        if isinstance(value, Path):
            moved[name] = folder / value  # an absolute one stays
        elif isinstance(value, list):
            moved[name] = [folder / v if isinstance(v, Path) else v for v in value]
        elif isinstance(value, BaseModel):
            moved[name] = _with_paths_from(value, folder)
    return options.model_copy(update=moved)


def _explain(error: ValidationError, kind: type[BaseModel]) -> str:
    """Each mistake as "key: what is wrong", with the nearest known name of an unknown key."""
    lines = []
    for entry in error.errors():
        key = ".".join(str(part) for part in entry["loc"])
        if not key:
            # a check of several options together, which names them
            lines.append(entry["msg"].removeprefix("Value error, "))
        elif entry["type"] == "extra_forbidden":
            names = list(_known_keys(kind))
            near = difflib.get_close_matches(key, names, n=1, cutoff=0.0)
            lines.append(f"{key} is not an option: do you mean {near[0]}?")
        elif entry["type"] == "missing":
            lines.append(f"{key} is missing")
        else:
            lines.append(f"{key} is {entry['input']!r}: {entry['msg']}")
    return "; ".join(lines)


def _known_keys(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, entry in kind.model_fields.items():
        yield prefix + name
        section = section_of(entry)
        if section is not None:
            yield from _known_keys(section, f"{prefix}{name}.")
