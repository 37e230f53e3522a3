"""The command as users call it: in a process of its own for what needs one, else in this one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read, write

from ase_rholearn import Density, RhoCalculator


@pytest.fixture
def frames(tmp_path):
    """A file of three frames."""
    path = tmp_path / "frames.xyz"
    images = []
    for seed in range(3):
        atoms = molecule("H2O")
        atoms.rattle(0.01, seed=seed)
        images.append(atoms)
    write(path, images)
    return path


@pytest.fixture
def run(command):
    """Call the command in this process: exit status, standard output and standard error."""
    return command


def test_predict_writes_what_the_calculator_predicts(run, frames, tmp_path):
    out = tmp_path / "out"
    options = ("--cube", "--npz", "--spacing", 0.5, "--output", out, "--device", "cpu")
    status, output, error = run("predict", frames, *options)
    assert (status, error) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"frames_{i:05d}{suffix}" for i in range(3) for suffix in (".cube", ".npz")
    )
    calculator = RhoCalculator("water-pbe", device="cpu")
    for i, atoms in enumerate(read(frames, ":")):
        rho = Density.read(out / f"frames_{i:05d}.npz")
        np.testing.assert_allclose(
            rho.coefficients, calculator.get_density(atoms).coefficients, rtol=0, atol=2e-6
        )
        line = next(line for line in output.splitlines() if f"frames_{i:05d}" in line)
        np.testing.assert_allclose(
            [float(word) for word in line.split()[-3:]], rho.dipole(), atol=1e-5
        )
        assert "10.000000" in line


def test_predict_a_crystal(run, tmp_path):
    atoms = molecule("H2O", cell=[5, 5, 5], pbc=True)
    write(tmp_path / "ice.cif", atoms)
    path = tmp_path / "ice.cif"
    status, output, error = run("predict", path, "--cube", "--spacing", 0.5, "-o", tmp_path)
    assert (status, error) == (0, "")
    assert "periodic" in output
    assert (tmp_path / "ice.cube").exists()


def test_info_shows_the_card(run):
    status, output, _ = run("info", "water-pbe")
    assert status == 0
    for word in ("H, O", "PBE", "def2-tzvp", "CC-BY-4.0", "training_structures", "beta=2"):
        assert word in output
    assert "water-pbe" in run("info")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "{tmp}/nothing.xyz"], "there is no file"),
        (["predict", "{tmp}/bad.xyz"], "ASE cannot read"),
        (["predict", "{tmp}/bad.unknown"], "has a format that ASE does not know"),
        (["predict", "{frames}", "--model", "none"], "model is 'none': there is no such file"),
        (["predict", "{frames}", "--cube", "--spacing", "-1"], "spacing is -1.0: give a positive"),
        (["predict", "{frames}", "--device", "abacus"], "device is 'abacus': give one of"),
        (["predict", "{frames}", "--cube", "-o", "{frames}"], "frames.xyz"),
        (["info", "{frames}"], "is not a model file"),
    ],
)
def test_mistakes_end_with_one_line(run, frames, tmp_path, arguments, message):
    (tmp_path / "bad.xyz").write_text("3\n\nO 0 0\n")
    (tmp_path / "bad.unknown").write_text("nothing that anybody knows")
    status, _, error = run(*[a.format(tmp=tmp_path, frames=frames) for a in arguments])
    assert status == 1
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_every_frame_is_checked_before_any_work(run, tmp_path):
    """The last of the frames is wrong: nothing is written for the first one."""
    images = [molecule("H2O"), molecule("CH4")]
    write(tmp_path / "mixed.xyz", images)
    status, _, error = run("predict", tmp_path / "mixed.xyz", "--npz", "-o", tmp_path / "out")
    assert status == 1
    assert "mixed_00001: the model" in error
    assert not (tmp_path / "out").exists()


def test_interrupt_ends_cleanly(tmp_path):
    """Ctrl-C in the middle: status 130, one line, whole files only."""
    box = molecule("H2O", cell=[12, 12, 12], pbc=True)
    write(tmp_path / "many.xyz", [box] * 100)
    command = ["predict", tmp_path / "many.xyz", "--cube", "--spacing", "0.3", "-o", tmp_path]
    process = subprocess.Popen(
        [sys.executable, "-m", "ase_rholearn.cli", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*.cube")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    assert {path.suffix for path in tmp_path.iterdir()} == {".cube", ".xyz"}
    for path in tmp_path.glob("*.cube"):
        assert len(read(path)) == 3
