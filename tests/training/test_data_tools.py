"""Merging, checking, summing up and dividing data sets."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from data_examples import (
    BASIS,
    COMPLETE,
    FULL,
    SETTINGS,
    assert_same,
    example,
    examples,
    filled,
    flip,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn.basis import Shell
from ase_rholearn.references import Reference
from ase_rholearn.training import DataSet, split_ids
from ase_rholearn.training.data import (
    check,
    groups_by,
    info,
    info_lines,
    merge,
    read_ids,
    read_split,
    write_split,
)
from ase_rholearn.training.data import dataset as module
from ase_rholearn.training.data.shard import to_record, write_shard


def smuggled(folder: Path, *references: Reference, names: list[str] | None = None) -> DataSet:
    """A data set with references that it would refuse, but whose checksums are right."""
    made = DataSet.create(folder, BASIS, SETTINGS)
    (folder / "shards").mkdir()
    names = names or [reference.id for reference in references]
    records = [(name, to_record(r)) for name, r in zip(names, references, strict=True)]
    write_shard(folder / "shards", COMPLETE, records)
    return made


# merge ---------------------------------------------------------------------------------


def test_merge(tmp_path: Path) -> None:
    """Packed and unpacked ones, each once; again changes nothing."""
    first = filled(tmp_path / "a", 8)
    second = DataSet.create(tmp_path / "b", BASIS, SETTINGS)
    second.extend(example(seed) for seed in range(5, 10))
    second.add(example(10))
    for _ in range(2):
        result = merge([first.folder, second.folder], tmp_path / "c")
        assert result.ids == sorted(reference.id for reference in examples(11))
        for reference in examples(11):
            assert_same(result.load(reference.id), reference)
    assert len(result.shards) == 1
    assert list(check(tmp_path / "c")) == []


def test_merge_compacts(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path / "a", BASIS, SETTINGS)
    for reference in examples(6):
        made.extend([reference])
    assert len(made.shards) == 6
    result = merge([made.folder], tmp_path / "b")
    assert len(result.shards) == 1
    assert result.ids == made.ids
    assert result.settings == made.settings


def test_merge_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted between two shards."""
    monkeypatch.setattr(module, "SHARD_SIZE", 5_000)
    made = filled(tmp_path / "a", 30)
    seen = 0

    def interrupt() -> None:
        nonlocal seen
        seen += 1
        if seen == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge([made.folder], tmp_path / "b", on_progress=interrupt)
    written = {shard.path.name for shard in DataSet.open(tmp_path / "b").shards}
    assert 0 < len(DataSet.open(tmp_path / "b")) < 30
    result = merge([made.folder], tmp_path / "b")
    assert result.ids == made.ids
    assert written < {shard.path.name for shard in result.shards}
    assert sum(map(len, result.shards)) == 30


def test_merge_without_orbitals_and_of_some(tmp_path: Path) -> None:
    made = filled(tmp_path / "a", 6)
    chosen = [example(2).id, example(4).id]
    result = merge([made.folder], tmp_path / "b", orbitals=False, ids=chosen)
    assert result.ids == sorted(chosen)
    for seed in (2, 4):
        assert_same(result.load(example(seed).id), example(seed, occupied_orbitals=None))
    with pytest.raises(ValueError, match=r"1 of 2 ids are in none of the data sets, .* is absent"):
        merge([made.folder], tmp_path / "c", ids=["absent", chosen[0]])
    assert not (tmp_path / "c").exists()


def test_merge_with_and_without_forces(tmp_path: Path) -> None:
    """The result has none, and the ids of its own settings; what is in both is there once."""
    with_forces, without = (
        DataSet.create(tmp_path / str(forces), BASIS, {**SETTINGS, "forces": forces})
        for forces in (True, False)
    )
    with_forces.extend(example(seed, settings=with_forces.settings) for seed in range(4))
    parts = tuple(name for name in FULL if name != "forces")
    without.extend(example(seed, parts, settings=without.settings) for seed in range(3, 6))
    result = merge([with_forces.folder, without.folder], tmp_path / "c")
    assert result.settings == without.settings
    assert len(result) == 6
    for seed in range(6):
        expected = example(seed, parts, settings=without.settings)
        assert_same(result.load(expected.id), expected)
    assert list(check(tmp_path / "c")) == []
    alone = merge([with_forces.folder], tmp_path / "d", forces=False)
    assert alone.settings == without.settings
    assert set(alone.ids) < set(result.ids)


def test_merge_of_bases_from_two_machines(tmp_path: Path) -> None:
    first = filled(tmp_path / "a", 2)
    shells = {
        z: tuple(Shell.normalized(s.l, [a * (1 + 1e-15) for a in s.exponents]) for s in shells)
        for z, shells in BASIS.shells.items()
    }
    elsewhere = DataSet.create(tmp_path / "b", replace(BASIS, shells=shells), SETTINGS)
    assert elsewhere.settings != first.settings
    elsewhere.extend([example(2, settings=elsewhere.settings)])
    result = merge([first.folder, elsewhere.folder], tmp_path / "c")
    assert result.ids == sorted(example(seed).id for seed in range(3))
    assert_same(result.load(example(2).id), example(2))


def test_merge_of_what_does_not_fit(tmp_path: Path) -> None:
    filled(tmp_path / "a", 2)
    DataSet.create(tmp_path / "b", BASIS, {**SETTINGS, "kohn_sham": {"xc": "LDA"}})
    with pytest.raises(ValueError, match=r"different settings \(kohn_sham.xc: 'PBE' and 'LDA'\)"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    DataSet.create(tmp_path / "d", replace(BASIS, name="other"), SETTINGS)
    with pytest.raises(ValueError, match=r"basis.name: 'small' and 'other'; basis.sha256"):
        merge([tmp_path / "a", tmp_path / "d"], tmp_path / "c")
    with pytest.raises(ValueError, match="folders is empty"):
        merge([], tmp_path / "c")
    with pytest.raises(ValueError, match="one of the data sets to merge: give a new folder"):
        merge([tmp_path / "a"], tmp_path / "b" / ".." / "a")
    with pytest.raises(FileNotFoundError, match="holds no data set"):
        merge([tmp_path / "a", tmp_path / "none"], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_merge_does_not_launder_damage(tmp_path: Path) -> None:
    """A copy would get a checksum of its own."""
    made = filled(tmp_path / "a", 4)
    [shard] = made.shards
    coefficients = example(2).coefficients.astype("<f4").tobytes()
    flip(shard.path, shard.path.read_bytes().index(coefficients))
    with pytest.raises(ValueError, match=rf"structure {example(2).id} is damaged"):
        merge([made.folder], tmp_path / "b")


def test_merge_takes_failures_along(tmp_path: Path) -> None:
    made = filled(tmp_path / "a", 2)
    made.report_failure(example(7).atoms, "no convergence")
    other = filled(tmp_path / "b", 4)
    other.report_failure(example(8).atoms, "time limit")
    made.report_failure(example(3).atoms, "done in the other")
    for _ in range(2):
        result = merge([made.folder, other.folder], tmp_path / "c")
        assert result.failures().keys() == {example(7).id, example(8).id}
    assert len((tmp_path / "c" / "failures.jsonl").read_text().splitlines()) == 2


# check ---------------------------------------------------------------------------------


def test_a_whole_data_set(tmp_path: Path) -> None:
    made = filled(tmp_path, 6)
    made.extend([example(7, ())])
    made.add(example(8))
    made.report_failure(example(9).atoms, "no convergence")
    counted = []
    assert list(check(tmp_path, on_progress=lambda: counted.append(1))) == []
    assert len(counted) == 8
    assert list(check(tmp_path, quick=True)) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"converged": False}, "not known to have converged"),
        ({"converged": None}, "not known to have converged"),
        ({"coefficients": np.zeros(5)}, r"coefficients has shape \(5,\) but this basis has 21"),
        ({"coefficients": np.full(21, np.nan)}, "coefficients contains 21 NaN or infinity"),
        ({"energy": np.inf}, "energy contains 1 NaN or infinity"),
        ({"forces": np.full((3, 3), np.nan)}, "forces contains 9 NaN"),
        ({"forces": np.zeros((2, 3))}, r"forces has shape \(2, 3\), not \(3, 3\)"),
        ({"projections": np.zeros(3)}, r"projections has shape \(3,\), not \(21,\)"),
        ({"occupied_orbitals": np.full((2, 2), np.inf)}, "occupied_orbitals contains 4 NaN"),
        ({"atoms": Atoms("OH2", np.full((3, 3), np.nan))}, "positions contains 9 NaN"),
    ],
)
def test_references_that_make_no_sense(
    tmp_path: Path, changes: dict[str, object], problem: str
) -> None:
    """Named with shard and structure, each way that a foreign program may get it wrong."""
    good, bad = example(0), example(1, ("energy",))
    given = {"coefficients": np.zeros(21), **changes}
    made = smuggled(tmp_path, good, replace(bad, **given), names=[good.id, bad.id])  # type: ignore[arg-type]
    [shard] = DataSet.open(tmp_path).shards
    found = [text for text in check(tmp_path) if "belong to the id" not in text]
    assert found
    for text in found:
        assert text.startswith(f"{shard.path.name}: structure {bad.id}: ")
    assert any(re.search(problem, text) for text in found), found
    assert list(check(tmp_path, quick=True)) == []
    assert made.folder == tmp_path


def test_an_id_that_does_not_match(tmp_path: Path) -> None:
    smuggled(tmp_path, example(1), names=["0" * 16])
    [found] = check(tmp_path)
    assert found.endswith(
        f"structure {'0' * 16}: structure and settings belong to the id {example(1).id}"
    )


def test_files_that_are_not_packed(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    example(1).save(made.path("wrong"))
    example(2, settings={**COMPLETE, "code": "other"}).save(made.path("stray"))
    example(3, converged=False).save(made.path(example(3).id))
    made.path("damaged").write_bytes(b"PK")
    found = "\n".join(check(tmp_path))
    assert f"wrong.npz: structure and settings belong to the id {example(1).id}" in found
    assert "stray.npz: made with other settings or another basis than the data set" in found
    assert f"{example(3).id}.npz: not known to have converged" in found
    assert "damaged.npz is not a reference file" in found


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    """One bad file does not hide the next, nor does a damaged description."""
    made = filled(tmp_path, 3)
    [shard] = made.shards
    (tmp_path / "shards" / "foreign.npz").write_bytes(b"")
    (tmp_path / "shards" / f"{'0' * 20}.npz").write_bytes(shard.path.read_bytes())
    (tmp_path / "dataset.json").write_text("{")
    (tmp_path / "failures.jsonl").write_text('{"id": 3}\nnonsense\n')
    found = "\n".join(check(tmp_path))
    assert "dataset.json is damaged" in found
    assert "foreign.npz is not a shard" in found
    assert f"{'0' * 20}.npz: the content does not match the file's name" in found
    assert f"{shard.path.name}: structure {example(1).id} is in {'0' * 20}.npz too" in found
    assert "failures.jsonl: line 1 is damaged" in found
    assert "failures.jsonl: line 2 is damaged" in found
    with pytest.raises(FileNotFoundError, match="holds no data set"):
        list(check(tmp_path / "none"))


# info ----------------------------------------------------------------------------------


def test_info(tmp_path: Path) -> None:
    made = filled(tmp_path, 5)
    ion = Atoms("OH", [[0, 0, 0], [0, 0, 1]], info={"charge": -1}, cell=[4, 4, 4], pbc=True)
    made.add(example(0, (), atoms=ion, coefficients=np.zeros(BASIS.size([8, 1]))))
    for seed, reason in ((20, "slow"), (21, "slow"), (22, "open\nshell"), (3, "done since")):
        made.report_failure(example(seed).atoms, reason)
    found = info(tmp_path)
    symbols = [symbol for seed in range(5) for symbol in example(seed).atoms.symbols] + ["O", "H"]
    assert found["structures"] == 6
    assert found["periodic"] == 1
    assert found["atoms"] == len(symbols)
    assert found["elements"] == Counter(symbols)
    assert found["charges"] == {"-1": 1, "0": 5}
    assert found["sizes"] == {"min": 2, "mean": found["atoms"] / 6, "max": 4}
    assert found["quantities"] == {
        "coefficients": 6, "energy": 5, "dipole": 5, "forces": 5, "projections": 5,
        "occupied_orbitals": 5,
    }  # fmt: skip
    assert found["settings"] == SETTINGS
    assert found["basis"]["functions"] == {"H": 5, "O": 11}
    assert (found["shards"], found["unpacked"], found["failures"]) == (1, 1, 3)
    assert found["failure_reasons"] == {"slow": 2, "open\nshell": 1}
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert found["bytes"] == size
    assert json.loads(json.dumps(found)) == found
    lines = "\n".join(f"{title}: {text}" for title, text in info_lines(found))
    assert "structures: 6 (1 periodic)" in lines
    assert 'level of theory: code = "none"\n: kohn_sham.xc = "PBE"' in lines
    assert "2 times: slow" in lines
    assert "1 times: open shell" in lines


def test_info_of_nothing(tmp_path: Path) -> None:
    DataSet.create(tmp_path, BASIS, SETTINGS)
    found = info(tmp_path)
    assert (found["structures"], found["sizes"], found["elements"]) == (0, {}, {})
    assert dict(info_lines(found))["charges"] == "none"


# split ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=4, max_size=30),
    st.floats(0.05, 0.3),
    st.floats(0, 0.3),
    st.integers(0, 1000),
)
def test_groups_stay_together(sizes: list[int], validation: float, test: float, seed: int) -> None:
    groups = {f"{g}-{i}": f"group {g}" for g, size in enumerate(sizes) for i in range(size)}
    try:
        parts = split_ids(list(groups), validation, test, seed, groups=groups)
    except ValueError as error:
        assert "groups are too few" in str(error)  # noqa: PT017
        return
    found = {part: {groups[name] for name in names} for part, names in parts.items()}
    assert sum(map(len, found.values())) == len(sizes)
    assert sorted(name for names in parts.values() for name in names) == sorted(groups)
    for part, fraction in (("validation", validation), ("test", test)):
        # as near as a whole group
        assert abs(len(parts[part]) - fraction * len(groups)) <= max(sizes) + 0.5


def test_split_of_many_is_quick() -> None:
    names = [f"{i:016x}" for i in range(100_000)]
    parts = split_ids(names, 0.1, 0.1, 0)
    assert [len(part) for part in parts.values()] == [80_000, 10_000, 10_000]


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0), (0.5, 0.5), (1, 0), (float("nan"), 0)])
def test_fractions_that_make_no_sense(validation: float, test: float) -> None:
    with pytest.raises(ValueError, match="give fractions that leave something for training"):
        split_ids(["a", "b", "c"], validation, test, 0)


def test_groups_by(tmp_path: Path) -> None:
    made = filled(tmp_path, 6)
    assert groups_by(made, "smiles")[example(1).id] == groups_by(made, "smiles")[example(4).id]
    made.add(example(7, atoms=Atoms("OH2", np.eye(3))))
    with pytest.raises(
        ValueError, match=r"group is 'smiles': 1 of 7 structures have no such entry in atoms.info"
    ):
        groups_by(made, "smiles")


def test_split_files(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    parts = split_ids([f"{i}" for i in range(10)], 0.2, 0.2, 0)
    write_split(path, parts)
    assert read_split(path) == parts
    assert read_split(path, [f"{i}" for i in range(12)]) == parts
    assert read_ids(path, "test") == parts["test"]
    with pytest.raises(ValueError, match=r"1 of 10 ids are not in the data set, the first is '9'"):
        read_split(path, [f"{i}" for i in range(9)])
    with pytest.raises(ValueError, match="part is 'tests': give one of training, validation, test"):
        read_ids(path, "tests")
    with pytest.raises(ValueError, match="looks like a split: say which part of it"):
        read_ids(path)
    with pytest.raises(FileNotFoundError, match="there is no split file"):
        read_split(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "is no split: give JSON"),
        ("[]", "is no split: give JSON"),
        ('{"training": ["a"]}', "is no split: give JSON"),
        ('{"training": ["a"], "validation": 3, "test": []}', "is no split: give JSON"),
        ('{"training": ["a"], "validation": ["a"], "test": []}', "the id 'a' is there more than"),
        ('{"training": [], "validation": ["a"], "test": []}', "the training part is empty"),
    ],
)
def test_splits_that_are_none(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_split(tmp_path / "s.json")


def test_ids_from_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("a\nb\n\n")
    assert read_ids(tmp_path / "ids") == ["a", "b"]
    (tmp_path / "ids").write_text("\n")
    with pytest.raises(ValueError, match="is empty: give one id a line"):
        read_ids(tmp_path / "ids")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_ids(tmp_path / "none")
