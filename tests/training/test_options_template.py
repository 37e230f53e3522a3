"""The commented template is a file of the defaults, and says everything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from ase_rholearn.training.options import (
    AimsOptions,
    FitOptions,
    GenerateOptions,
    TrainOptions,
    load_options,
)
from ase_rholearn.training.options.section import section_of
from ase_rholearn.training.options.template import schema, template

REQUIRED: dict[type[BaseModel], dict[str, Any]] = {
    AimsOptions: {"structures": "all.xyz", "runs": "runs"},
    GenerateOptions: {"dataset": "data", "structures": "all.xyz"},
    FitOptions: {"dataset": "data", "sources": ["a.chk"]},
    TrainOptions: {"name": "m", "dataset": "data", "output": "run"},
}
KINDS = pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.__name__)


def sections(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield kind
    for entry in kind.model_fields.values():
        section = section_of(entry)
        if section is not None:
            yield from sections(section)


@KINDS
def test_filled_in_it_gives_the_defaults(kind: type[BaseModel], tmp_path: Path) -> None:
    text = template(kind)
    for name, value in REQUIRED[kind].items():
        line = f"{name}: {yaml.safe_dump(value, default_flow_style=True).strip()}"
        line = line.removesuffix("\n...")
        text = re.sub(rf"^(# )?{name}:$", line, text, count=1, flags=re.M)
    (tmp_path / "template.yaml").write_text(text)
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(REQUIRED[kind]))
    assert load_options(kind, tmp_path / "template.yaml") == load_options(
        kind, tmp_path / "short.yaml"
    )


@KINDS
def test_every_key_is_there_and_described(kind: type[BaseModel]) -> None:
    text = template(kind)
    for section in sections(kind):
        for name, entry in section.model_fields.items():
            assert re.search(rf"^[# ]*{name}:", text, flags=re.M), name
            assert entry.description or section_of(entry), f"{section.__name__}.{name}"


@KINDS
def test_lines_are_short_and_clean(kind: type[BaseModel]) -> None:
    for line in template(kind).splitlines():
        assert len(line) <= 100
        assert line == line.rstrip()


def test_a_section_that_is_left_out_can_be_uncommented(tmp_path: Path) -> None:
    lines = template(GenerateOptions).splitlines()
    start = lines.index("# sampling:")
    stop = next(i for i in range(start, len(lines)) if not lines[i].startswith("#"))
    block = [line.removeprefix("#").removeprefix(" ") for line in lines[start:stop]]
    path = tmp_path / "o.yaml"
    path.write_text("\n".join(["dataset: d", "structures: s.xyz", *block]))
    assert load_options(GenerateOptions, path).sampling is not None


def test_schema_names_limits_and_refuses_unknown_keys() -> None:
    data = schema(TrainOptions)
    assert data["additionalProperties"] is False
    assert data["required"] == ["name", "dataset", "output"]
    cutoff = data["$defs"]["ModelOptions"]["properties"]["cutoff"]
    assert cutoff["exclusiveMinimum"] == 0
    assert "Angstrom" in cutoff["description"]


def test_the_command_prints_them(command: Callable[..., tuple[int, str, str]]) -> None:
    status, text, _ = command("options", "train")
    assert (status, text) == (0, template(TrainOptions))
    status, text, _ = command("options", "fit", "--schema")
    assert (status, json.loads(text)) == (0, schema(FitOptions))
    status, _, message = command("options", "predict")
    assert status == 2
    assert "generate" in message
