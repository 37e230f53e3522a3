"""The training commands as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ase.build import molecule
from ase.io import write

from ase_rholearn import cli
from ase_rholearn.model import load_model
from ase_rholearn.training import DataSet

Command = Callable[..., tuple[int, str, str]]

GENERATE = {
    "structures": "molecules.xyz",
    "dataset": "data",
    "kohn_sham": {"orbital_basis": "def2-svp", "grid_level": 0, "forces": False},
    "basis": {"name": "def2-universal-jfit", "deformation": False},
}


@pytest.fixture
def options_file(run: Any, tmp_path: Path) -> Path:
    """Options of the finished run."""
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(run.options.model_dump(mode="json")))
    return path


def one_line(text: str) -> str:
    """An error is one line, and no traceback."""
    assert text.count("\n") == 1, text
    assert text.startswith("ase-rholearn: ")
    return text.removeprefix("ase-rholearn: ").strip()


def test_train_evaluate_export(
    command: Command, options_file: Path, run: Any, tmp_path: Path
) -> None:
    """The run is there already, so that this is quick; nothing of it is repeated."""
    options = yaml.safe_load(options_file.read_text())
    assert command("train", options_file)[0] == 0
    status, out, err = command(
        "evaluate", options_file, "--level", "0", "--no-one-shot", "--no-page"
    )
    assert (status, err) == (0, "")
    assert "(a) NMAE against the SCF density, %" in out
    assert "(d)" not in out
    evaluation = Path(options["output"]) / "evaluation-test" / "evaluation.json"
    assert evaluation.exists()
    shutil.rmtree(evaluation.parent)
    path = tmp_path / "model.pt"
    status, out, err = command("export", options_file, "-o", path, "--dtype", "float64")
    assert (status, out, err) == (0, f"wrote {path}\n", "")
    assert load_model(path, "cpu").card.name == "tiny"
    newer = tmp_path / "newer.pt"
    status, out, err = command("update", path, "-o", newer)
    assert (status, out, err) == (0, f"wrote {newer}\n", "")
    assert load_model(newer, "cpu").card == load_model(path, "cpu").card


def test_train_from_the_start(command: Command, options_file: Path, tmp_path: Path) -> None:
    options = yaml.safe_load(options_file.read_text())
    options["output"], options["gradient"]["epochs"] = "fresh", 1
    options_file.write_text(yaml.safe_dump(options))
    status, out, err = command("train", options_file)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == f"weights: {tmp_path / 'fresh' / 'network.pt'}"
    assert "closed-form start: validation error" in out


def test_generate(command: Command, tmp_path: Path) -> None:
    """One molecule, and one that fails: status 1, and where to look."""
    write(tmp_path / "molecules.xyz", [molecule("H2"), molecule("OH")])
    options = tmp_path / "g.yaml"
    options.write_text(yaml.safe_dump(GENERATE))
    status, out, err = command("generate", options)
    assert (status, err) == (1, "")
    assert out.splitlines() == [
        "1 of 2 structures have a reference",
        "1 failed: see failures.jsonl in the data set",
    ]
    assert len(DataSet.open(tmp_path / "data")) == 1


@pytest.mark.parametrize("name", ["generate", "train", "evaluate", "export"])
def test_mistakes_are_one_line(command: Command, tmp_path: Path, name: str) -> None:
    status, out, err = command(name, tmp_path / "none.yaml")
    assert (status, out) == (1, "")
    assert one_line(err) == f"there is no options file {tmp_path / 'none.yaml'}"
    (tmp_path / "bad.yaml").write_text("dataset: data\nnmae: [")
    status, _, err = command(name, tmp_path / "bad.yaml")
    assert status == 1
    assert "is not a YAML file" in one_line(err)
    (tmp_path / "bad.yaml").write_text("datset: data\n")
    _, _, err = command(name, tmp_path / "bad.yaml")
    assert "datset is not an option: do you mean dataset?" in one_line(err)


def test_unfinished_run(command: Command, options_file: Path, tmp_path: Path) -> None:
    options = yaml.safe_load(options_file.read_text())
    options["output"] = "other"
    options_file.write_text(yaml.safe_dump(options))
    status, _, err = command("export", options_file)
    assert (status, one_line(err)[-29:]) == (1, "network.pt is missing: train first"[-29:])


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """In a session of its own, as the foreground job of a terminal has a process group."""
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-m", "ase_rholearn.cli", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Ctrl-C goes to all processes of the group; all of them must be gone soon."""
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return output
        assert time.monotonic() < deadline, "processes were left behind"
        time.sleep(0.05)


@pytest.mark.slow
def test_ctrl_c_in_training(options_file: Path, tmp_path: Path) -> None:
    """One line, status 130, and a run that can go on."""
    options = yaml.safe_load(options_file.read_text())
    options["output"], options["gradient"]["epochs"] = "long", 100_000
    options_file.write_text(yaml.safe_dump(options))
    process = start(["train", options_file.name], tmp_path)
    wait_for(lambda: (tmp_path / "long" / "checkpoints" / "last.ckpt").exists(), process)
    out, err = interrupt(process)
    assert process.returncode == 130
    assert one_line(err) == "interrupted"
    assert "closed-form start" in out
    metrics = (tmp_path / "long" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(metrics[0])["epoch"] == 0


@pytest.mark.slow
def test_ctrl_c_in_generation(tmp_path: Path) -> None:
    """Its processes end as well, silently; what is done stays."""
    structures = [molecule("H2"), *(molecule("C6H6") for _ in range(3))]
    for k, atoms in enumerate(structures):
        atoms.positions *= 1 + 0.01 * k
    write(tmp_path / "molecules.xyz", structures)
    slow = {**GENERATE, "kohn_sham": {"orbital_basis": "def2-tzvp", "density_fit": False}}
    (tmp_path / "g.yaml").write_text(yaml.safe_dump({**slow, "workers": {"count": 2}}))
    process = start(["generate", "g.yaml"], tmp_path)
    references = tmp_path / "data" / "references"
    wait_for(lambda: bool(list(references.glob("*.npz"))), process)
    out, err = interrupt(process)
    assert process.returncode == 130
    assert one_line(err) == "interrupted"
    assert out == ""
    assert len(list(references.glob("*.npz"))) == 1
    assert not (tmp_path / "data" / "failures.jsonl").exists()
