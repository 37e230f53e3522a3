"""Options for people and editors: a commented YAML file, and the JSON schema."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .section import section_of

#: Width of comments.
_WIDTH = 92

#: How limits are written, by the name that pydantic gives them.
_LIMITS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def template(kind: type[BaseModel]) -> str:
    """A YAML file with every option at its default, explained.

    Options that have no default are left empty and marked as required; those that are left out
    by default are comments.

    >>> from ase_rholearn.training.options.train import LogOptions
    >>> print(template(LogOptions), end="")
    # Logs of gradient training besides metrics.jsonl and metrics.csv.
    <BLANKLINE>
    # write logs for TensorBoard (needs tensorboard)
    tensorboard: false
    # project of Weights & Biases (needs wandb)
    # wandb:
    """
    return "\n".join([*_comment(_summary(kind)), "", *_lines(kind)]) + "\n"


def schema(kind: type[BaseModel]) -> dict[str, Any]:
    """JSON schema of an options file, with which editors complete and check it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **kind.model_json_schema()}


def _lines(kind: type[BaseModel]) -> Iterator[str]:
    after_section = False
    for name, entry in kind.model_fields.items():
        section = section_of(entry)
        if section is None:
            if after_section:
                yield ""
            after_section = False
            yield from _comment(_explanation(entry))
            yield _assignment(name, entry)
            continue
        after_section = True
        yield ""
        yield from _comment(_explanation(entry) if entry.description else _summary(section))
        optional = entry.default is None
        lines = [f"{name}:", *(f"  {line}".rstrip() for line in _lines(section))]
        yield from (f"# {line}".rstrip() for line in lines) if optional else lines


def _assignment(name: str, entry: FieldInfo) -> str:
    """The line ``name: default``."""
    if entry.is_required():
        return f"{name}:"
    value = entry.get_default(call_default_factory=True)
    if value is None:
        return f"# {name}:"
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n")
    return f"{name}: {text.strip()}"


def _explanation(entry: FieldInfo) -> str:
    """Description, choices, limits, and whether it must be given."""
    parts = [entry.description or ""]
    choices = [
        c for part in (entry.annotation, *get_args(entry.annotation)) for c in _choices(part)
    ]
    if choices:
        parts.append("one of " + ", ".join(dict.fromkeys(choices)))
    limits = [
        f"{sign} {getattr(constraint, name)}"
        for constraint in entry.metadata
        for name, sign in _LIMITS.items()
        if getattr(constraint, name, None) is not None
    ]
    if limits:
        parts.append(", ".join(limits))
    if entry.default is PydanticUndefined and entry.default_factory is None:
        parts.append("required")
    return "; ".join(part for part in parts if part)


def _choices(annotation: Any) -> list[str]:
    return [str(c) for c in get_args(annotation)] if get_origin(annotation) is Literal else []


def _summary(kind: type[BaseModel]) -> str:
    """First paragraph of the docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].replace("``", "").split())


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH)]
