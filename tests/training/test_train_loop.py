"""The gradient training: several processes, kills, averages, logs, precision."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from ase_rholearn.training import DataSet
from ase_rholearn.training.learning.loop import MetricsFiles, read_metrics
from ase_rholearn.training.learning.module import loss_of_free_atoms, mean_loss
from ase_rholearn.training.learning.prepare import prepare
from ase_rholearn.training.learning.train import load_network, train
from ase_rholearn.training.options import TrainOptions


def write_options(path: Path, options: TrainOptions) -> Path:
    path.write_text(yaml.safe_dump(options.model_dump(mode="json")))
    return path


def command(path: Path) -> list[str]:
    return [sys.executable, "-m", "ase_rholearn.cli", "train", str(path)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "network.pt", weights_only=True)


def losses(folder: Path) -> np.ndarray:
    names = ("training_loss", "validation_loss")
    return np.array([[entry[name] for name in names] for entry in read_metrics(folder)])


def test_two_processes_are_one_with_the_doubled_batch(plan: Any, tmp_path: Path) -> None:
    """DDP over gloo: the same loss curve, and the same weights."""
    precise = {"precision": "float64", "epochs": 3}
    alone = plan(tmp_path / "alone", gradient={**precise, "batch_size": 2})
    train(alone)
    two = plan(
        tmp_path / "two",
        gradient={**precise, "batch_size": 1},
        hardware={"accelerator": "cpu", "devices": 2},
    )
    path = write_options(tmp_path / "two.yaml", two)
    done = subprocess.run(command(path), env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    np.testing.assert_allclose(losses(two.output), losses(alone.output), rtol=1e-6)
    expected = weights(alone.output)
    for name, value in weights(two.output).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-9)
    # one of them speaks
    assert done.stdout.count("closed-form start") == 1
    assert done.stdout.count("weights:") == 1


def test_killed_at_random_and_gone_on(plan: Any, tmp_path: Path) -> None:
    """kill -9 during gradient training; the second run ends with the same weights."""
    gradient = {"epochs": 30, "batch_size": 1}
    whole = plan(tmp_path / "whole", gradient=gradient)
    train(whole)
    broken = plan(tmp_path / "broken", gradient=gradient)
    path = write_options(tmp_path / "broken.yaml", broken)
    process = subprocess.Popen(command(path), env=environment(), stdout=subprocess.DEVNULL)
    patience = 20 + int(np.random.default_rng().integers(10))
    while len(read_metrics(broken.output)) < patience - 20:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken.output / "network.pt").exists()
    train(broken)
    expected = weights(whole.output)
    for name, value in weights(broken.output).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)
    assert [entry["epoch"] for entry in read_metrics(broken.output)] == list(range(30))


def test_csv_says_the_same(run: Any) -> None:
    with (run.options.output / "metrics.csv").open() as stream:
        rows = [{name: float(v) for name, v in row.items()} for row in csv.DictReader(stream)]
    assert rows == read_metrics(run.options.output)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_schedules(plan: Any, tmp_path: Path, schedule: str) -> None:
    options = plan(tmp_path / "r", gradient={"schedule": schedule})
    train(options)
    rates = [entry["learning_rate"] for entry in read_metrics(options.output)]
    assert rates == sorted(rates, reverse=True)
    if schedule == "constant":
        np.testing.assert_allclose(rates, options.gradient.learning_rate)
    else:
        assert 0 < rates[0] < options.gradient.learning_rate
        assert rates[-1] == pytest.approx(0, abs=1e-12)


def test_average_of_weights(plan: Any, tmp_path: Path, dataset: DataSet) -> None:
    """The averaged weights, which lag behind those of the last step, are judged and kept."""
    gradient = {"schedule": "constant", "average": 0.9, "precision": "float64"}
    options = plan(tmp_path / "r", gradient=gradient)
    train(options)
    last = torch.load(options.output / "checkpoints" / "last.ckpt", weights_only=False)
    averaged, current = last["state_dict"], last["current_model_state"]
    assert any(not torch.equal(averaged[name], current[name]) for name in averaged)
    network = load_network(options, dataset.basis)
    network.load_state_dict({k.removeprefix("network."): v for k, v in averaged.items()})
    split = json.loads((options.output / "split.json").read_text())
    samples = {part: prepare(dataset, split[part], network) for part in split}
    scale = loss_of_free_atoms(samples["training"])
    expected = mean_loss(network, samples["validation"]) / scale
    assert losses(options.output)[-1, 1] == pytest.approx(expected, rel=1e-5)


def test_patience(plan: Any, tmp_path: Path) -> None:
    """A learning rate that spoils the closed-form start ends soon."""
    options = plan(
        tmp_path / "r",
        gradient={"epochs": 50, "learning_rate": 3.0, "schedule": "constant", "patience": 2},
    )
    train(options)
    epochs = len(read_metrics(options.output))
    assert epochs < 50
    # the last checkpoint is that of the last epoch, not of the best
    saved = {
        name: torch.load(options.output / "checkpoints" / f"{name}.ckpt", weights_only=False)
        for name in ("best", "last")
    }
    assert saved["last"]["epoch"] == epochs - 1
    assert saved["best"]["epoch"] < epochs - 1


def test_divergence_is_survived(plan: Any, tmp_path: Path) -> None:
    """A loss that is no number ends gradient training; the start is kept."""
    said: list[str] = []
    options = plan(
        tmp_path / "r",
        gradient={"epochs": 50, "learning_rate": 1e30, "schedule": "constant", "clip": 1e30},
    )
    train(options, say=said.append)
    assert len(read_metrics(options.output)) < 50
    assert said[-1] == (
        "gradient training diverged and is dropped: make gradient.learning_rate smaller"
    )
    assert set(json.loads((options.output / "errors.json").read_text())) == {"start"}


@pytest.mark.parametrize("model", [{}, {"channels": 4, "messages": 2}])
def test_mixed_precision(plan: Any, tmp_path: Path, model: dict[str, Any]) -> None:
    options = plan(tmp_path / "r", model=model, gradient={"precision": "bfloat16"})
    train(options)
    assert np.isfinite(losses(options.output)).all()
    assert all(w.dtype == torch.float64 for w in weights(options.output).values())


def test_tensorboard(plan: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    options = plan(tmp_path / "r", logs={"tensorboard": True})
    train(options)
    assert list((options.output / "tensorboard").glob("events*"))


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Weights & Biases without a server, an account or settings of whoever runs the tests."""
    package = pytest.importorskip("wandb")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("HOME", "NETRC", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "nobody"))
    package.teardown()
    yield package
    package.teardown()


def test_wandb(wandb: Any, plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted training goes on in the same run; nothing is left open."""
    options = plan(tmp_path / "r", logs={"wandb": "densities"})
    write = MetricsFiles.on_train_epoch_end

    def broken(self: MetricsFiles, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise OSError("the disk is full")
        write(self, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(MetricsFiles, "on_train_epoch_end", broken)
        with pytest.raises(OSError, match="the disk is full"):
            train(options)
    assert wandb.run is None
    train(options)
    assert wandb.run is None
    assert [entry["epoch"] for entry in read_metrics(options.output)] == [0, 1, 2, 3]
    runs = {path.stem for path in options.output.glob("wandb/offline-run-*/*.wandb")}
    assert runs == {f"run-{(options.output / 'wandb-run-id').read_text()}"}


def test_wandb_without_an_account(
    wandb: Any, plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said before any work."""
    monkeypatch.setenv("WANDB_MODE", "online")
    options = plan(tmp_path / "r", logs={"wandb": "densities"})
    with pytest.raises(ValueError, match=r"logs\.wandb is 'densities', but .* `wandb login`, set"):
        train(options)
    assert not (options.output / "start.pt").exists()


@pytest.mark.parametrize("logs", [{"wandb": "densities"}, {"tensorboard": True}])
def test_logs_without_their_package(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, *logs, None)
    options = plan(tmp_path / "r", logs=logs)
    with pytest.raises(ImportError, match=r"pip install 'ase-rholearn\[logs\]'"):
        train(options)
    assert not (options.output / "start.pt").exists()


def test_more_devices_than_structures(plan: Any, tmp_path: Path) -> None:
    options = plan(tmp_path / "r", hardware={"accelerator": "cpu", "devices": 8})
    with pytest.raises(ValueError, match=r"8 devices with gradient\.batch_size 2 need more than"):
        train(options)


def test_readouts_alone(plan: Any, tmp_path: Path) -> None:
    """Gates and tensors stay as the start made them; readouts move, and come out better."""
    said: list[str] = []
    options = plan(
        tmp_path / "r",
        model={"linear": False},
        start={"ridge": 1e-2},
        gradient={"train": "readouts", "epochs": 60, "finish": False},
    )
    train(options, say=said.append)
    start = torch.load(options.output / "start.pt", weights_only=True)
    moved = {
        name.split(".", 3)[-1]
        for name, value in weights(options.output).items()
        if not torch.equal(value, start[name])
    }
    assert moved
    assert moved <= {f"{l}.{part}" for l in range(3) for part in ("weight", "bias")}
    losses_of_epochs = losses(options.output)
    assert losses_of_epochs[-1, 0] < losses_of_epochs[0, 0]


def test_readouts_of_a_trained_model(plan: Any, tmp_path: Path) -> None:
    sections = {"initial": {"model": "water-pbe"}, "gradient": {"train": "readouts"}}
    data = plan(tmp_path).model_dump(exclude={"model", "gradient"})
    with pytest.raises(ValueError, match=r"leave out initial, or set initial\.freeze"):
        TrainOptions.model_validate({**data, **sections})
