"""Whole runs: stages, what they leave behind, and going on after an interruption."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ase_rholearn.model import build_network
from ase_rholearn.training import DataSet
from ase_rholearn.training.data import write_split
from ase_rholearn.training.learning import train as train_module
from ase_rholearn.training.learning.module import DensityTraining, loss_of_free_atoms, mean_loss
from ase_rholearn.training.learning.prepare import prepare
from ase_rholearn.training.learning.train import load_network, train


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def assert_same_weights(first: Path, second: Path) -> None:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=0, atol=0, msg=name)


def test_stages(run: Any) -> None:
    """Each one is judged on structures that it did not see, and none spoils the result."""
    assert run.said[0] == "preparing 6 structures"
    stages = [line.split(":")[0] for line in run.said[1:4]]
    assert stages == ["closed-form start", "gradient training", "readout solved again"]
    assert run.said[1].endswith("% of the deformation density")
    errors = json.loads((run.options.output / "errors.json").read_text())
    assert set(errors) == {"start", "gradient", "finish"}
    best = min(errors.values())
    kept = f"kept, as the smallest: validation error {best:.3f} % of the deformation density"
    assert run.said[4:] == ([] if best == errors["finish"] else [kept])
    # nothing would be 100 %
    assert 0 < errors["start"] < 30
    assert 0 < errors["gradient"] < 100


def test_folder(run: Any, dataset: DataSet) -> None:
    folder = run.options.output
    assert run.weights == folder / "network.pt"
    split = json.loads((folder / "split.json").read_text())
    assert {name: len(part) for name, part in split.items()} == {
        "training": 4,
        "validation": 2,
        "test": 2,
    }
    assert sorted(name for part in split.values() for name in part) == dataset.ids
    assert yaml.safe_load((folder / "options.yaml").read_text())["gradient"]["epochs"] == 4
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in metrics] == [0, 1, 2, 3]
    assert all({"training_loss", "validation_loss"} <= entry.keys() for entry in metrics)


def test_the_best_stage_is_kept(run: Any, dataset: DataSet) -> None:
    """A few steps of gradients on four molecules spoil what the closed form had reached."""
    errors = json.loads((run.options.output / "errors.json").read_text())
    network = load_network(run.options, dataset.basis)
    split = json.loads((run.options.output / "split.json").read_text())
    scale = loss_of_free_atoms(prepare(dataset, split["training"], network))
    loss = mean_loss(network, prepare(dataset, split["validation"], network))
    assert 100 * (loss / scale) ** 0.5 == pytest.approx(min(errors.values()), rel=1e-6)


def test_tables_and_transforms_keep_their_precision(run: Any, dataset: DataSet) -> None:
    """Gradient steps are in float32; what is not trained must not be rounded by them."""
    trained = load_network(run.options, dataset.basis)
    fresh = dict(build_network(run.options.model.network(), dataset.basis).named_buffers())
    for name, buffer in trained.named_buffers():
        assert buffer.dtype == torch.float64
        torch.testing.assert_close(buffer, fresh[name], rtol=0, atol=0)


def test_second_call_does_nothing(run: Any) -> None:
    said: list[str] = []
    assert train(run.options, say=said.append) == run.weights
    assert said == [f"{run.weights} is there already"]


def test_same_options_same_weights(run: Any, plan: Any, tmp_path: Path) -> None:
    assert_same_weights(train(plan(tmp_path / "again")), run.weights)


class Killed(Exception):  # noqa: N818
    """Not an error that any code would catch."""


@pytest.mark.parametrize("where", ["after the first epoch", "within the third", "at the end"])
def test_interrupted_run_ends_with_the_same_weights(
    run: Any, plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Order of batches, optimiser and learning rates go on as if nothing had been."""
    options = plan(tmp_path / "broken")
    with monkeypatch.context() as patch:
        if where == "at the end":

            def die(*args: Any) -> Any:
                if (options.output / "checkpoints").exists():
                    raise Killed
                return original(*args)

            original = train_module.readout_solutions
            patch.setattr(train_module, "readout_solutions", die)
        else:
            steps: list[int] = []
            last = 3 if where == "after the first epoch" else 6

            def step(self: Any, *args: Any) -> Any:
                steps.append(1)
                if len(steps) == last:
                    raise Killed
                return original_step(self, *args)

            original_step = DensityTraining.training_step
            patch.setattr(DensityTraining, "training_step", step)
        with pytest.raises(Killed):
            train(options)
    assert (options.output / "checkpoints" / "last.ckpt").exists()
    assert not (options.output / "network.pt").exists()
    assert_same_weights(train(options), run.weights)


def test_ctrl_c_comes_out_as_such(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning would end the process, and ignore any later Ctrl-C."""
    import signal

    def step(self: Any, *args: Any) -> Any:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(DensityTraining, "training_step", step)
    with pytest.raises(KeyboardInterrupt):
        train(plan(tmp_path / "broken"))
    assert signal.getsignal(signal.SIGINT) is handler


def test_progress_bar(plan: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(plan(tmp_path / "bar", gradient={"epochs": 1}), progress_bar=True)
    assert "validation_loss" in capfd.readouterr().out


def test_best_ridge_term_is_taken(plan: Any, tmp_path: Path) -> None:
    """As if each had been a run of its own; with initial weights, too."""
    ridges = [1e-1, 1e-4, 1e-8]

    def solved(name: str, ridge: Any, **sections: Any) -> tuple[float, Path, list[str]]:
        said: list[str] = []
        start, gradient = {"ridge": ridge}, {"epochs": 0}
        options = plan(tmp_path / name, start=start, gradient=gradient, **sections)
        path = train(options, say=said.append)
        errors = json.loads((options.output / "errors.json").read_text())
        return errors["start"], path, said

    single = [solved(f"one-{ridge}", ridge)[:2] for ridge in ridges]
    error, path, said = solved("all", ridges)
    best = min(single, key=lambda entry: entry[0])
    assert error == best[0]
    assert_same_weights(path, best[1])
    assert any(line.endswith("is the best of 3") for line in said)


def test_closed_form_alone(plan: Any, tmp_path: Path) -> None:
    options = plan(tmp_path / "r", gradient={"epochs": 0})
    assert_same_weights(train(options), options.output / "start.pt")


def test_without_validation(plan: Any, tmp_path: Path) -> None:
    """The best epoch is then chosen by the training error."""
    said: list[str] = []
    options = plan(tmp_path / "r", split={"validation": 0.0}, gradient={"epochs": 1})
    train(options, say=said.append)
    assert "training error" in said[-1]


@pytest.mark.parametrize("model", [{"tensors": 0}, {"linear": False}])
def test_other_architectures(plan: Any, tmp_path: Path, model: dict[str, Any]) -> None:
    """Linear models, and gated ones without a linear map, in the Coulomb metric."""
    said: list[str] = []
    options = plan(
        tmp_path / "r",
        model=model,
        loss={"coulomb": 1.0},
        gradient={"epochs": 1, "learning_rate": 1e-3},
    )
    train(options, say=said.append)
    assert float(said[-1].split("error ")[1].split(" %")[0]) < 50


def test_double_precision(plan: Any, tmp_path: Path) -> None:
    options = plan(tmp_path / "r", gradient={"epochs": 1, "precision": "float64"})
    assert train(options).exists()


def test_changed_options_are_refused(run: Any, plan: Any, tmp_path: Path) -> None:
    """A run goes on with its own options or not at all; paths and the card may change."""
    folder = tmp_path / "run"
    shutil.copytree(run.options.output, folder)
    changed = plan(folder, model={"gates": 5}, seed=1)
    with pytest.raises(ValueError, match=r"run with other options \(model, seed\): choose another"):
        train(changed)
    moved = plan(folder, card={"description": "other"})
    assert train(moved) == folder / "network.pt"


def test_runs_from_before_an_option_go_on(run: Any, plan: Any, tmp_path: Path) -> None:
    """What their files do not say has the default."""
    folder = tmp_path / "run"
    shutil.copytree(run.options.output, folder)
    written = yaml.safe_load((folder / "options.yaml").read_text())
    for section, option in (("model", "products"), ("model", "depth"), ("gradient", "start_ridge")):
        del written[section][option]
    (folder / "options.yaml").write_text(yaml.safe_dump(written))
    assert train(plan(folder)) == folder / "network.pt"


def test_missing_data_set(plan: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing holds no data set .* generate one first"):
        train(plan(tmp_path / "r", dataset=tmp_path / "nothing"))
    assert not (tmp_path / "r").exists()


def test_network_of_an_unfinished_run(plan: Any, tmp_path: Path, dataset: DataSet) -> None:
    with pytest.raises(FileNotFoundError, match=r"network\.pt is missing: train first"):
        load_network(plan(tmp_path), dataset.basis)


def test_split_of_a_file(plan: Any, tmp_path: Path, dataset: DataSet) -> None:
    """Ids that the file does not name belong to no part."""
    names = dataset.ids
    parts = {"training": names[:3], "validation": names[3:5], "test": []}
    write_split(tmp_path / "parts.json", parts)
    options = plan(
        tmp_path / "out",
        split={"file": tmp_path / "parts.json", "validation": 0.1, "test": 0.1},
        gradient={"epochs": 0},
    )
    train(options)
    assert json.loads((tmp_path / "out" / "split.json").read_text()) == parts
    train(options)  # goes on, though the saved options name all defaults


def test_split_by_groups(plan: Any, tmp_path: Path, dataset: DataSet) -> None:
    split = {"group": "molecule", "validation": 0.25, "test": 0.25}
    with pytest.raises(ValueError, match=r"group is 'molecule': 8 of 8 structures have no such"):
        train(plan(tmp_path, split=split))


def test_split_file_and_draw(plan: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split\.file is given: leave out split\.seed"):
        plan(tmp_path, split={"file": "x.json", "validation": 0.1, "test": 0.1, "seed": 3})
