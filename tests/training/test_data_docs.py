"""The documented way to read a data set without this package."""

from __future__ import annotations

import hashlib
import shutil
import zlib
from pathlib import Path

import numpy as np
from markdown_pages import PageRunner, blocks_of
from typer.main import get_command

from ase_rholearn.cli import app
from ase_rholearn.training import DataSet

DOCS = Path(__file__).parents[2] / "docs" / "data-sets.md"


def test_the_snippet_of_the_docs(page_runner: PageRunner, dataset: DataSet) -> None:
    """Run as it stands on real water molecules."""
    made = DataSet.create(page_runner.folder / "data", dataset.basis, dataset.settings)
    made.extend(dataset)
    found = page_runner.run(DOCS)
    assert found["settings"] == made.settings
    last = made.load(found["name"].decode())
    np.testing.assert_array_equal(found["positions"], last.atoms.positions)
    np.testing.assert_array_equal(np.concatenate(found["of_atoms"]), last.coefficients)
    offsets = made.basis.offsets(last.atoms.numbers)
    assert [len(part) for part in found["of_atoms"]] == np.diff(offsets).tolist()
    assert found["notes"]["converged"] is True


def test_commands_of_the_docs_exist() -> None:
    """Each line of the shell block names a command that there is."""
    [block] = [block.text for block in blocks_of(DOCS) if block.language == "sh"]
    commands = get_command(app).commands["data"].commands  # type: ignore[attr-defined]
    for line in block.splitlines():
        words = line.split("#")[0].split()
        assert words[:2] == ["ase-rholearn", "data"]
        options = {name for p in commands[words[2]].params for name in (*p.opts, *p.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= options


def test_checksums_are_as_documented(tmp_path: Path, dataset: DataSet) -> None:
    """Name and CRC-32 computed anew with the standard library."""
    made = DataSet.create(tmp_path, dataset.basis, dataset.settings)
    made.extend(dataset)
    [shard] = made.shards
    assert hashlib.sha256(shard.path.read_bytes()).hexdigest().startswith(shard.path.stem)
    copy = shutil.copy(shard.path, tmp_path / "x.npz")
    arrays = dict(np.load(copy))
    names = [name for name in arrays if name not in ("header", "id", "crc")]
    for k, crc in enumerate(arrays["crc"]):
        value = 0
        for name in names:
            if name.endswith("_start"):
                continue
            start = arrays.get(f"{name}_start", np.arange(len(made) + 1))
            rows = arrays[name][start[k] : start[k + 1]]
            value = zlib.crc32(rows.tobytes(), value)
        assert value == crc
