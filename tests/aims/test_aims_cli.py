"""``ase-rholearn aims``: from structures to a data set, and from a prediction back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.build import molecule
from ase.io import write
from test_seeded import Model, product_basis

from ase_rholearn.aims.judge import judge
from ase_rholearn.cli import aims as commands
from ase_rholearn.density import read_grid
from ase_rholearn.training import DataSet

Command = Callable[..., tuple[int, str, str]]
STRUCTURES = [molecule("H2O"), molecule("CH4")]


@pytest.fixture
def job(tmp_path: Path, species: Path, command_line: str) -> Path:
    """An options file."""
    write(tmp_path / "all.xyz", STRUCTURES)
    options: dict[str, Any] = {
        "structures": "all.xyz",
        "runs": "runs",
        "dataset": "data",
        "command": command_line,
        "species_directory": str(species),
    }
    path = tmp_path / "aims.yaml"
    path.write_text(yaml.safe_dump(options))
    return path


class Predictor(Model):
    """A model that knows coefficients of the stand-in's product basis."""

    def check(self, atoms: Any, *, argument: str) -> None:
        assert argument.startswith("frame")

    def coefficients(self, structures: list[Any]) -> list[np.ndarray]:
        return [self.get_density(atoms, normalize=False).raw_coefficients for atoms in structures]


@pytest.mark.parametrize("version", [240925, 221103])
def test_from_structures_to_a_data_set_and_back(
    job: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    behave: Callable[..., None],
    version: int,
) -> None:
    behave(version=version)
    status, out, _ = command("aims", "setup", job)
    assert (status, out) == (0, f"2 structures are set up in {job.parent / 'runs'}\n")
    status, out, _ = command("aims", "status", job)
    assert (status, out) == (0, "scf      2 ready\nfit      2 ready\n")
    status, out, _ = command("aims", "collect", job)
    assert status == 1
    status, out, _ = command("aims", "run", job)
    assert (status, out) == (0, "2 of 2 structures are done\n")
    status, out, _ = command("aims", "status", job, "--json")
    found = json.loads(out)
    assert [entry["state"] for entry in found] == ["done"] * 4
    assert (found[0]["scf_cycles"], found[0]["version"]) == (12, version)
    status, out, err = command("aims", "collect", job)
    assert (status, out) == (0, f"2 new references in {job.parent / 'data'}\n"), err
    dataset = DataSet.open(job.parent / "data")
    assert dataset.settings["product_accuracy"] == 1e-5
    assert len(dataset) == 2

    monkeypatch.setattr(commands, "load_model", lambda *_: Predictor(product_basis()))
    status, out, err = command("aims", "seed", job, "--model", "mine.pt")
    assert status == 0, err
    assert f"ase-rholearn aims run {job} --step rebuild" in out
    status, out, _ = command("aims", "run", job, "--step", "rebuild")
    assert (status, out) == (0, "2 of 2 structures are done\n")
    status, out, _ = command("aims", "status", job, "--step", "rebuild", "--json")
    entry = json.loads(out)[0]
    assert (entry["nmae_to_scf"], entry["nmae_to_fit"]) == (pytest.approx(1.0), 0.0)
    output = judge(job.parent / "runs/000000/rebuild", "rebuild").output
    assert output is not None
    values = np.sin(
        np.arange(product_basis().size(STRUCTURES[0].numbers)) + STRUCTURES[0].positions.sum()
    )
    expected = -2000.0 + np.arange(len(values)) @ values
    assert output.total_energy == pytest.approx(expected, abs=1e-5)  # xyz has eight decimals


def test_failures_are_listed(job: Path, command: Command, behave: Callable[..., None]) -> None:
    command("aims", "setup", job)
    behave(fail="crash")
    status, out, _ = command("aims", "run", job, "--step", "scf")
    assert status == 1
    assert "000000 scf: it ended with status 1: *** out of memory\n" in out
    status, out, _ = command("aims", "status", job, "--step", "scf")
    assert status == 1
    assert out.startswith("scf      2 failed\n000000/scf: it ended with status 1")
    status, out, _ = command("aims", "run", job, "--step", "scf")
    assert (status, out) == (0, "2 of 2 structures are done\n")


@pytest.mark.slow
def test_ctrl_c_ends_what_runs_and_the_job_goes_on(
    job: Path, command: Command, behave: Callable[..., None]
) -> None:
    command("aims", "setup", job)
    behave(fail="hang")
    program = [sys.executable, "-m", "ase_rholearn.cli", "aims", "run", str(job)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output = job.parent / "runs/000000/scf/aims.out"
    for _ in range(600):
        if output.exists() and "FHI-aims version" in output.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    behave()
    # the lock is gone, and so FHI-aims is too
    status, out, _ = command("aims", "run", job)
    assert (status, out) == (0, "2 of 2 structures are done\n")


def test_a_model_of_another_basis_is_refused(
    job: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("aims", "setup", job)
    command("aims", "run", job)
    counts = {"O": (3, 2), "H": (2, 1), "C": (3, 2, 1)}
    monkeypatch.setattr(commands, "load_model", lambda *_: Predictor(product_basis(counts)))
    status, _, err = command("aims", "seed", job)
    assert status == 1
    assert "the model has (3, 2) radial functions" in err


def test_spin_is_refused_where_one_density_is_predicted(job: Path, command: Command) -> None:
    options = yaml.safe_load(job.read_text())
    options.update(keywords={"xc": "pbe", "spin": "collinear"}, experimental=True)
    job.write_text(yaml.safe_dump(options))
    status, _, err = command("aims", "seed", job)
    assert status == 1
    assert "keywords have spin" in err


def test_a_cube_without_fhi_aims(job: Path, command: Command) -> None:
    command("aims", "setup", job)
    command("aims", "run", job)
    basis = product_basis()
    (job.parent / "basis.json").write_text(basis.to_json())
    cube = job.parent / "rho.cube"
    status, out, err = command(
        *("aims", "cube", job.parent / "runs/000000/fit", "--basis", job.parent / "basis.json"),
        *("--spacing", "0.5", "-o", cube),
    )
    assert (status, out) == (0, f"wrote {cube}\n"), err
    _, grid = read_grid(cube)
    rho = Model(basis).get_density(STRUCTURES[0], normalize=False)
    np.testing.assert_allclose(grid.values, rho.on_grid(spacing=0.5).values, rtol=1e-3, atol=1e-4)


def test_mistakes_in_options(job: Path, command: Command) -> None:
    options = yaml.safe_load(job.read_text())
    for change, message in (
        ({"quantity": "homo"}, "experimental=True"),
        ({"keywords": {"xc": "pbe", "charge": 1}}, 'atoms.info["charge"] decides'),
        ({"comand": "aims.x"}, "do you mean command"),
    ):
        job.write_text(yaml.safe_dump({**options, **change}))
        status, _, err = command("aims", "setup", job)
        assert status == 1
        assert message in err
