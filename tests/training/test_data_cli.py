"""``ase-rholearn data`` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from data_examples import example, filled, flip

from ase_rholearn.training import DataSet

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data(command: Command) -> Command:
    """Run ``ase-rholearn data`` in this process: status, stdout, stderr."""
    return partial(command, "data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return filled(tmp_path / "d", 10).folder


def test_info(data: Command, folder: Path) -> None:
    status, out, err = data("info", folder)
    assert (status, err) == (0, "")
    assert "structures         10 (0 periodic)\n" in out
    assert "level of theory    code = " in out
    status, out, err = data("info", folder, "--json")
    assert json.loads(out)["structures"] == 10


def test_check(data: Command, folder: Path) -> None:
    for quick in ([], ["--quick"]):
        assert data("check", folder, *quick) == (0, f"{folder} is whole\n", "")
    [shard] = DataSet.open(folder).shards
    coefficients = example(3).coefficients.astype("<f4").tobytes()
    flip(shard.path, shard.path.read_bytes().index(coefficients))
    for quick in ([], ["--quick"]):
        status, out, err = data("check", folder, *quick)
        assert (status, err) == (1, "")
        assert out.splitlines() == [
            f"{shard.path.name}: the content does not match the file's name, a hash of it",
            f"{shard.path.name}: structure {example(3).id} is damaged",
        ]


def test_split_and_merge(data: Command, folder: Path, tmp_path: Path) -> None:
    split, output = tmp_path / "s.json", tmp_path / "m"
    command = ("split", folder, "-o", split, "--validation", "0.2", "--test", "0.3")
    assert data(*command)[1].split() == ["training", "5", "validation", "2", "test", "3"]
    first = split.read_text()
    data(*command, "--seed", "1")
    assert split.read_text() != first
    status, out, err = data(
        "merge", folder, "-o", output, "--ids", split, "--part", "test", "--no-orbitals"
    )
    assert (status, out, err) == (0, f"{output} has 3 references in 1 shards\n", "")
    assert all(reference.occupied_orbitals is None for reference in DataSet.open(output))
    assert data("merge", folder, output, "-o", tmp_path / "all")[0] == 0
    assert len(DataSet.open(tmp_path / "all")) == 10
    assert data(*command, "--group", "smiles")[0] == 0
    parts = json.loads(split.read_text())
    dataset = DataSet.open(folder)
    groups = [{dataset.notes(i)["info"]["smiles"] for i in ids} for ids in parts.values()]
    assert sum(map(len, groups)) == 3


def test_extended_split(data: Command, folder: Path, tmp_path: Path) -> None:
    """What came later joins training, but for molecules of the other parts."""
    dataset = DataSet.open(folder)
    by_group: dict[str, list[str]] = {}
    for name in dataset.ids:
        by_group.setdefault(dataset.notes(name)["info"]["smiles"], []).append(name)
    first, second, *_ = by_group.values()
    before = {"training": second[:1], "validation": first[:1], "test": []}
    split = tmp_path / "s.json"
    split.write_text(json.dumps(before))
    command = ("split", folder, "--extend", split)
    assert data(*command, "-o", tmp_path / "all.json")[0] == 0
    parts = json.loads((tmp_path / "all.json").read_text())
    assert {part: parts[part] for part in ("validation", "test")} == {
        "validation": first[:1],
        "test": [],
    }
    assert parts["training"][0] == second[0]
    assert sorted(parts["training"]) == sorted(set(dataset.ids) - {first[0]})
    status, out, err = data(*command, "-o", tmp_path / "fair.json", "--group", "smiles")
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].split() == ["left", "out", str(len(first) - 1)]
    fair = json.loads((tmp_path / "fair.json").read_text())
    assert set(fair["training"]) == set(dataset.ids) - set(first)


def test_export_and_import(data: Command, folder: Path, tmp_path: Path) -> None:
    path, new = tmp_path / "x.zip", tmp_path / "new"
    status, out, err = data("export", folder, path)
    assert (status, err) == (0, "")
    first, second, *rest = out.splitlines()
    assert first == f"wrote 10 structures to {path}"
    assert second == "in the options of metatrain, under training_set:"
    [target] = yaml.safe_load("\n".join(rest))["targets"].values()
    assert target["type"]["spherical"]["irreps"].keys() == {1, 8}
    assert data("import", path, new, "--basis", folder) == (0, f"10 new references in {new}\n", "")
    assert DataSet.open(new).ids == DataSet.open(folder).ids
    assert data("check", new)[0] == 0
    status, out, err = data("export", folder, tmp_path / "x.xyz")
    assert (status, out, err) == (0, f"wrote 10 structures to {tmp_path / 'x.xyz'}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("info none", "none holds no data set (dataset.json is missing): generate one first"),
        ("check none", "none holds no data set (dataset.json is missing): generate one first"),
        ("merge d none -o m", "none holds no data set"),
        ("merge d -o d", "output is d, one of the data sets to merge: give a new folder"),
        ("merge d -o m --ids none", "there is no file none"),
        ("split d --validation 2", "validation is 2.0 and test is 0.1: give fractions that leave"),
        ("split d --group charge", "group is 'charge': 10 of 10 structures have no such entry"),
        ("export d x.pdb", "x.pdb has no suffix of a known format: give .xyz, .extxyz or .zip"),
        ("import none.zip new --basis d", "there is no file none.zip"),
    ],
)
def test_mistakes_are_one_line(
    data: Command,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    message: str,
) -> None:
    monkeypatch.chdir(folder.parent)
    status, out, err = data(*arguments.split())
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"ase-rholearn: {message}")


def test_a_data_set_in_use(data: Command, folder: Path, tmp_path: Path) -> None:
    """Reading goes on, writing is refused."""
    with DataSet.open(folder).writing():
        assert data("info", folder)[0] == 0
        assert data("check", folder)[0] == 0
        filled(tmp_path / "other", 12)
        status, _, err = data("merge", tmp_path / "other", "-o", folder)
    assert status == 1
    assert err.startswith("ase-rholearn: another process writes into")
