"""Starting from the weights of a model file: what is kept, what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_rholearn.basis import Basis
from ase_rholearn.model import ModelCard, ModelFileError, export_model, load_model, load_network
from ase_rholearn.training import DataSet
from ase_rholearn.training.export import export_run
from ase_rholearn.training.learning.closed_form import ClosedForm
from ase_rholearn.training.learning.initial import fine_tuned, freeze, load_initial
from ase_rholearn.training.learning.prepare import prepare
from ase_rholearn.training.learning.readout import readout_corrections
from ase_rholearn.training.learning.samples import predictions
from ase_rholearn.training.learning.train import load_network as load_run
from ase_rholearn.training.learning.train import new_network, train
from ase_rholearn.training.options import TrainOptions


@pytest.fixture(scope="module")
def model_file(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    export_run(run.options, path, "float64")
    return path


@pytest.fixture
def tune(plan: Any, model_file: Path, tmp_path: Path) -> Any:
    """Options of a run that starts from the model file."""

    def make(name: str = "tuned", **sections: Any) -> TrainOptions:
        initial = {"model": model_file, **sections.pop("initial", {})}
        start = sections.pop("start", {})
        data = plan(tmp_path / name, initial=None, **sections).model_dump(exclude={"model"})
        start = {**data["start"], **start}
        return TrainOptions.model_validate({**data, "initial": initial, "start": start})

    return make


def test_network_of_a_file_is_the_one_that_was_exported(
    run: Any, model_file: Path, dataset: DataSet
) -> None:
    expected = load_run(run.options, dataset.basis).state_dict()
    trained = load_network(model_file)
    assert trained.options == run.options.model.network()
    assert trained.basis == dataset.basis
    for name, value in trained.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(
    "sections", [{"initial": {"freeze": ["readouts"]}}, {"start": {"iterations": 0}}]
)
def test_start_that_leaves_the_model_as_it_is(
    sections: dict[str, Any], run: Any, tune: Any, dataset: DataSet
) -> None:
    options = tune(gradient={"epochs": 0}, **sections)
    train(options)
    expected = load_run(run.options, dataset.basis).state_dict()
    for name, value in load_run(options, dataset.basis).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0, msg=name)


def test_frozen_parts_do_not_move(run: Any, tune: Any, dataset: DataSet) -> None:
    options = tune(gradient={"finish": False}, initial={"freeze": ["gates", "tensors"]})
    train(options)
    errors = json.loads((options.output / "errors.json").read_text())
    moved = torch.load(options.output / "checkpoints" / "last.ckpt", weights_only=False)
    expected = load_run(run.options, dataset.basis).state_dict()
    for name, value in moved["state_dict"].items():
        name = name.removeprefix("network.")
        if ".gates." in name and "product" not in name:
            torch.testing.assert_close(value, expected[name].float(), rtol=0, atol=0, msg=name)
    assert errors["gradient"] < 100


@pytest.mark.parametrize("part", ["gates", "tensors"])
def test_what_gates_and_tensors_are_made_of_is_frozen_with_them(
    plan: Any, dataset: DataSet, tmp_path: Path, part: str
) -> None:
    options = plan(tmp_path, model={"channels": 4, "messages": 2, "products": 2})
    network = new_network(options, dataset.basis)
    freeze(network, [part])
    for name, parameter in network.named_parameters():
        if ".messages." in name or ".mixing." in name or ".products." in name:
            assert not parameter.requires_grad, name
    assert any(parameter.requires_grad for parameter in network.parameters())


def test_tuning_is_repeatable_and_starts_below_a_new_run(run: Any, tune: Any) -> None:
    """Four new molecules are few; what the model knew helps."""
    said: list[str] = []
    options = tune(gradient={"epochs": 0}, split={"seed": 1})
    train(options, say=said.append)
    again = tune("again", gradient={"epochs": 0}, split={"seed": 1})
    train(again)
    first, second = (
        torch.load(o.output / "network.pt", weights_only=True) for o in (options, again)
    )
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0)
    new = json.loads((run.options.output / "errors.json").read_text())["start"]
    assert json.loads((options.output / "errors.json").read_text())["start"] < 2 * new


def test_correction_of_what_is_right_already_is_nothing(model_file: Path, dataset: DataSet) -> None:
    """With its own predictions for references, the network keeps its weights."""
    network = load_initial(model_file).network
    samples = prepare(dataset, dataset.ids[:3], network)
    with torch.no_grad():
        own = [
            dataclasses.replace(sample, target=prediction)
            for sample, prediction in zip(samples, predictions(network, samples), strict=True)
        ]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    closed_form = ClosedForm(components=20)
    next(readout_corrections(network, own, closed_form, [closed_form.ridge]))
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize(
    "model", [{}, {"channels": 4, "messages": 2}, {"messages": 2, "products": 3, "depth": 2}]
)
def test_new_species_change_nothing_for_the_old_ones(
    plan: Any, dataset: DataSet, tmp_path: Path, model: dict[str, Any], waters: list[Atoms]
) -> None:
    options = plan(tmp_path / "run", model=model, gradient={"epochs": 0})
    train(options)
    export_run(options, tmp_path / "old.pt", "float64")
    old = dataset.basis
    carbon = Basis.from_shells({"C": [(0, [5.0, 1.0]), (1, [0.9])]})
    shells = {**old.shells, **carbon.shells}
    densities = {**old.atomic_densities, 6: old.atomic_densities[8]}
    basis = Basis(shells=shells, atomic_densities=densities)
    network = fine_tuned(load_initial(tmp_path / "old.pt"), basis)
    export_model(network, basis, ModelCard("wider"), tmp_path / "new.pt", dtype="float64")
    first, second = (load_model(tmp_path / f"{name}.pt", "cpu") for name in ("old", "new"))
    for expected, actual in zip(
        first.coefficients(waters), second.coefficients(waters), strict=True
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-12)
    # the new species is there, without weights
    methane = Atoms("CH", [[0, 0, 0], [0, 0, 1.1]])
    assert np.isfinite(second.coefficients([methane])[0]).all()


def test_other_functions_are_refused(model_file: Path, tiny_basis: Basis) -> None:
    other = Basis(
        shells={**tiny_basis.shells, 1: tiny_basis.shells[1][:1]},
        atomic_densities=tiny_basis.atomic_densities,
    )
    with pytest.raises(ValueError, match="other auxiliary functions on H than the data set"):
        fine_tuned(load_initial(model_file), other)
    oxygen = Basis(
        shells={8: tiny_basis.shells[8]}, atomic_densities={8: tiny_basis.atomic_densities[8]}
    )
    with pytest.raises(ValueError, match="trained with H, which the basis of the data set lacks"):
        fine_tuned(load_initial(model_file), oxygen)


def test_architecture_of_the_file_wins(plan: Any, model_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="initial is given: leave out model"):
        plan(tmp_path, initial={"model": model_file})


def test_no_iterations_need_weights(plan: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"start\.iterations is 0, which needs weights"):
        plan(tmp_path, start={"iterations": 0})


def test_missing_file(tune: Any, tmp_path: Path) -> None:
    options = tune(initial={"model": tmp_path / "none.pt"})
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        train(options)


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("nothing")
    with pytest.raises(ModelFileError, match="not a model file"):
        load_network(tmp_path / "model.pt")


def test_no_iterations_need_weights_of_all_species(tune: Any, tiny_basis: Basis) -> None:
    """Of those that the file lacks there would be nothing to start from."""
    shells = {**tiny_basis.shells, 6: tiny_basis.shells[8]}
    densities = {**tiny_basis.atomic_densities, 6: tiny_basis.atomic_densities[8]}
    options = tune(start={"iterations": 0})
    with pytest.raises(
        ValueError, match=r"iterations is 0, but initial\.model has no weights for C"
    ):
        new_network(options, Basis(shells=shells, atomic_densities=densities))
