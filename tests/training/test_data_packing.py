"""Packing and writing: interrupted anywhere, watched by others, nothing is lost or doubled."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from data_examples import BASIS, SETTINGS, assert_same, example, examples, filled, flip

from ase_rholearn.references import settings_with_basis
from ase_rholearn.training import DataSet
from ase_rholearn.training.data import check
from ase_rholearn.training.data import dataset as module


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seven structures each."""
    monkeypatch.setattr(module, "SHARD_SIZE", 5_000)


def unpacked(folder: Path, count: int) -> DataSet:
    made = DataSet.create(folder, BASIS, SETTINGS)
    for reference in examples(count):
        made.add(reference)
    return made


def assert_holds(dataset: DataSet, count: int) -> None:
    """Exactly the first examples, whole, none in two places."""
    assert dataset.ids == sorted(reference.id for reference in examples(count))
    for reference in examples(count):
        assert reference.id in dataset
        assert_same(dataset.load(reference.id), reference)
    packed = Counter(name for shard in dataset.shards for name in shard.ids)
    assert not packed or max(packed.values()) == 1


def test_packing(tmp_path: Path) -> None:
    made = unpacked(tmp_path, 30)
    assert len(made.unpacked) == 30
    made.pack()
    assert not made.unpacked
    assert len(made.shards) > 2
    assert_holds(made, 30)
    assert_holds(DataSet.open(tmp_path), 30)
    made.pack()  # nothing to do
    assert_holds(made, 30)


def test_growing(tmp_path: Path) -> None:
    """Packed, not packed and new ones; what is there is not written again."""
    made = filled(tmp_path, 12)
    before = {shard.path.name for shard in made.shards}
    assert made.extend(examples(20)) == 8
    made.add(example(3))
    assert not made.unpacked
    for seed in range(20, 25):
        made.add(example(seed))
    assert made.extend(examples(25)) == 0
    assert_holds(made, 25)
    assert before < {shard.path.name for shard in made.shards}
    made.pack()
    assert_holds(DataSet.open(tmp_path), 25)


def test_empty(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    made.pack()
    assert made.extend([]) == 0
    assert (len(made), made.ids, list(made), made.shards) == (0, [], [], [])
    assert list(made.records()) == []
    with pytest.raises(KeyError, match="has no reference x"):
        made.load("x")
    assert list(check(tmp_path)) == []


def test_one_that_is_there_twice_enters_once(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    assert made.extend([example(1), example(2), example(1)]) == 2
    assert len(made) == 2


class Interrupted(BaseException):
    """Like KeyboardInterrupt."""


@pytest.mark.parametrize("after", [False, True])
def test_interrupted_at_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Before or after any operation on the disk; then packing again completes it."""
    step = 0
    while True:
        folder = tmp_path / str(step)
        made = unpacked(folder, 10)
        if _interrupt_at(step, made.pack, monkeypatch, after):
            break
        assert_holds_all(folder, 10)
        DataSet.open(folder).pack()
        assert not DataSet.open(folder).unpacked
        assert_holds(DataSet.open(folder), 10)
        assert list(check(folder)) == []
        step += 1
    assert step > 12  # shards are written and flushed, files are removed


def assert_holds_all(folder: Path, count: int) -> None:
    """Opened after an interruption: all are there, perhaps in both places."""
    opened = DataSet.open(folder)
    assert opened.ids == sorted(reference.id for reference in examples(count))
    assert list(check(folder)) == []
    for reference in opened:
        assert reference.energy is not None


def _interrupt_at(
    step: int, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch, after: bool
) -> bool:
    """Run up to one operation on the disk; True if there is no such operation any more."""
    calls = 0

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            now = calls == step + 1
            try:
                return original(*args, **options) if after or not now else None
            finally:
                if now:
                    raise Interrupted

        return call

    with monkeypatch.context() as patch:
        for name in ("fsync", "replace", "mkdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        try:
            action()
        except Interrupted:
            return False
    return True


WRITER = """
import sys
from ase_rholearn.training.data import DataSet, dataset
from data_examples import BASIS, SETTINGS, examples
dataset.SHARD_SIZE = 10_000
made = DataSet.create(sys.argv[1], BASIS, SETTINGS)
print("ready", flush=True)
with made.writing():
    for number, reference in enumerate(examples(4000)):
        made.add(reference)
        print(number, flush=True)
        if number % 5 == 4:
            made.pack()
"""


def test_killed(tmp_path: Path) -> None:
    """kill -9 at any moment: what was said to be stored is there, and the next run goes on."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    chance = random.Random(0)
    stored = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.05, 0.4))
            process.send_signal(signal.SIGKILL)
            lines = process.stdout.read().splitlines()
        stored = max(stored, *(int(line) + 1 for line in lines if line.isdigit()), 0)
        opened = DataSet.open(tmp_path)
        assert {reference.id for reference in examples(stored)} <= set(opened.ids)
        assert list(check(tmp_path)) == []
        with opened.writing():  # the lock went with the process
            pass
    assert stored > 5
    opened.pack()
    assert_holds(opened, len(opened))


def test_reading_while_another_packs(tmp_path: Path) -> None:
    """References move under the reader; at no moment is one missing."""
    count = 60
    writer = unpacked(tmp_path, count)
    reader = DataSet.open(tmp_path)
    names = reader.ids
    done = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for seed in range(count, count + 40):
                writer.add(example(seed))
                writer.pack()
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=write)
    thread.start()
    rounds = 0
    while not done.is_set() or rounds == 0:
        assert set(names) <= set(reader.ids)
        assert {name for name, _ in reader.records()} >= set(names)
        for name in names:
            assert name in reader
            assert reader.load(name).id == name
        rounds += 1
    thread.join()
    assert not failures
    assert len(reader) == count + 40


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    first = unpacked(tmp_path, 3)
    second = DataSet.open(tmp_path)
    with first.writing(), first.writing():  # may be nested
        first.pack()
        for action in (second.pack, lambda: second.extend([example(9)])):
            with pytest.raises(RuntimeError, match=r"another process writes into .* merge them"):
                action()
    second.extend([example(9)])
    assert len(first) == 4


def test_stale_instances_do_not_double(tmp_path: Path) -> None:
    """One that was opened before the other packed."""
    first = unpacked(tmp_path, 5)
    stale = DataSet.open(tmp_path)
    first.pack()
    stale.add(example(2))
    assert stale.extend(examples(6)) == 1
    stale.pack()
    assert_holds(DataSet.open(tmp_path), 6)


def test_in_two_shards(tmp_path: Path) -> None:
    """As after copying shards from elsewhere: counted once, and named by check."""
    filled(tmp_path / "a", 8)
    made = filled(tmp_path / "b", 4)
    [foreign] = DataSet.open(tmp_path / "a").shards
    (made.folder / "shards" / foreign.path.name).write_bytes(foreign.path.read_bytes())
    opened = DataSet.open(tmp_path / "b")
    assert len(opened) == len(list(opened)) == len(list(opened.records())) == 8
    assert len(list(check(tmp_path / "b"))) == 4
    assert all("is in" in problem for problem in check(tmp_path / "b"))


def test_a_shard_of_another_data_set(tmp_path: Path) -> None:
    made = filled(tmp_path / "a", 3)
    other = DataSet.create(tmp_path / "b", BASIS, {"code": "other"})
    [shard] = made.shards
    (other.folder / "shards").mkdir()
    (other.folder / "shards" / shard.path.name).write_bytes(shard.path.read_bytes())
    with pytest.raises(ValueError, match=r"other settings .*code: 'other' and 'none'.*: remove it"):
        DataSet.open(other.folder)
    assert any("made with other settings" in problem for problem in check(other.folder))


def test_damaged_files_stay(tmp_path: Path) -> None:
    """Packing names what it cannot read, and removes nothing."""
    made = unpacked(tmp_path, 4)
    path = made.path(example(2).id)
    flip(path, 300)
    with pytest.raises(ValueError, match=rf"{path.name} is not a reference file"):
        made.pack()
    assert len(made.unpacked) == 4


def test_files_are_kept_if_their_shard_is_damaged(tmp_path: Path) -> None:
    """A kill between writing and removing, then damage to the shard."""
    made = filled(tmp_path, 4)
    for reference in examples(4):
        (tmp_path / "references").mkdir(exist_ok=True)
        reference.save(made.path(reference.id))
    [shard] = made.shards
    coefficients = example(1).coefficients.astype("<f4").tobytes()
    flip(shard.path, shard.path.read_bytes().index(coefficients))
    with pytest.raises(ValueError, match=rf"structure {example(1).id} is damaged: run ase-rho"):
        DataSet.open(tmp_path).pack()
    assert len(made.unpacked) == 4


def test_a_file_with_the_wrong_name(tmp_path: Path) -> None:
    made = unpacked(tmp_path, 1)
    made.path(example(0).id).rename(made.path("0" * 16))
    with pytest.raises(ValueError, match=rf"holds the reference {example(0).id}: rename it"):
        made.pack()


def test_leftovers_of_killed_processes_go(tmp_path: Path) -> None:
    """But not what may still be in use."""
    made = unpacked(tmp_path, 1)
    old, new = (tmp_path / "references" / f".x.npz.{name}.tmp" for name in ("old", "new"))
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (0, 0))
    made.pack()
    assert (old.exists(), new.exists()) == (False, True)


def test_folders_that_a_repository_does_not_keep(tmp_path: Path) -> None:
    """Empty ones are lost in a clone."""
    DataSet.create(tmp_path, BASIS, SETTINGS)
    (tmp_path / "references").rmdir()
    made = DataSet.open(tmp_path)
    made.add(example(0))
    made.pack()
    (tmp_path / "references").rmdir()
    assert len(DataSet.open(tmp_path)) == 1


def test_settings_that_json_changes(tmp_path: Path) -> None:
    """Tuples come back as lists."""
    settings = {"k-points": (2, 2, 2)}
    made = DataSet.create(tmp_path, BASIS, settings)
    made.extend([example(0, settings=settings_with_basis(settings, BASIS))])
    assert len(DataSet.create(tmp_path, BASIS, settings)) == 1


def test_failures_after_a_cut_line(tmp_path: Path) -> None:
    made = filled(tmp_path, 2)
    made.report_failure(example(5).atoms, "first")
    path = tmp_path / "failures.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "\xff')
    made.report_failure(example(6).atoms, "second")
    made.report_failure(example(1).atoms, "done since")
    failures = made.failures()
    assert failures.keys() == {example(5).id, example(6).id}
    assert failures[example(6).id]["reason"] == "second"
    assert list(check(tmp_path)) == ["failures.jsonl: line 2 is damaged"]
    assert json.loads(path.read_text(errors="replace").splitlines()[2])["reason"] == "second"


def test_sent_to_another_process(tmp_path: Path) -> None:
    """As loaders of training data do."""
    made = filled(tmp_path, 5)
    copy = pickle.loads(pickle.dumps(made))
    assert copy.ids == made.ids
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        [reference] = pool.map(made.load, [example(3).id])
    assert_same(reference, example(3))
