"""What all sections of options have in common."""

from __future__ import annotations

from inspect import isclass
from typing import get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Section(BaseModel):
    """Options that belong together: unknown keys are refused, and nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def section_of(entry: FieldInfo) -> type[BaseModel] | None:
    """The section that an option holds, if it is one; it may be left out."""
    for part in (entry.annotation, *get_args(entry.annotation)):
        # Python 3.10 takes list[int] for a class
        if get_origin(part) is None and isclass(part) and issubclass(part, BaseModel):
            return part
    return None
