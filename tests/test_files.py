"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ase_rholearn.files import append_json, atomic_write, temporary_sibling


def test_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x.bin"]


def test_text_mode(tmp_path: Path) -> None:
    with atomic_write(str(tmp_path / "x.txt"), "w") as stream:
        stream.write("line\n")
    assert (tmp_path / "x.txt").read_text() == "line\n"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_things_as_they_were(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_write(path) as stream:
            stream.write(b"half of it")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.bin"]


def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")
    script = (
        "import os, sys\n"
        "from ase_rholearn.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as stream:\n"
        "    stream.write(b'half of it'); stream.flush(); os.kill(os.getpid(), 9)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, path], check=False, cwd=Path(__file__).parents[1]
    )
    assert finished.returncode == -9
    assert path.read_bytes() == b"old"


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "ours") as stream:
        stream.write(b"")
    (tmp_path / "plain").write_bytes(b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")]
    assert modes[0] == modes[1]


def test_sibling_lies_in_the_same_folder(tmp_path: Path) -> None:
    """So that the rename cannot cross file systems."""
    with temporary_sibling(tmp_path / "model.pt") as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("content")
    assert (tmp_path / "model.pt").read_text() == "content"


def test_missing_folder(tmp_path: Path) -> None:
    message = r"cannot write .*x.bin: No such file or directory in the folder .*nowhere; give a"
    with pytest.raises(FileNotFoundError, match=message), atomic_write(tmp_path / "nowhere/x.bin"):
        pass


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = r"cannot write .*x.bin: Not a directory in the folder .*file; give a folder that"
    with pytest.raises(NotADirectoryError, match=message), atomic_write(tmp_path / "file/x.bin"):
        pass


@pytest.mark.parametrize("name", [".", ""])
def test_path_that_is_a_folder(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(IsADirectoryError, match="is a folder: give the name of a file"),
        atomic_write(tmp_path / name),
    ):
        pass


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests may run as root, to whom no folder is closed: the system call is replaced."""

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ase_rholearn.files.tempfile.mkstemp", refuse)
    message = r"cannot write .*x.bin: Permission denied in the folder .*; give a folder that"
    with pytest.raises(PermissionError, match=message), atomic_write(tmp_path / "x.bin"):
        pass


def test_lines_follow_what_a_kill_has_left(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    append_json(path, {"a": 1})
    append_json(path, {"b": "\u00e9"})
    path.write_bytes(path.read_bytes() + b'{"c": ')
    append_json(path, {"d": None})
    first, second, torn, last = path.read_text().splitlines()
    assert [json.loads(line) for line in (first, second, last)] == [
        {"a": 1},
        {"b": "\u00e9"},
        {"d": None},
    ]
    assert torn == '{"c": '
