"""Figures of a trained network, and the model file that it becomes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import units

from ase_rholearn.density import Density
from ase_rholearn.model import DensityModel, load_model
from ase_rholearn.model.network import species_of
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import from_orbitals, orbital_molecule
from ase_rholearn.scf import one_shot
from ase_rholearn.training import DataSet
from ase_rholearn.training.evaluation import FIGURES, evaluate
from ase_rholearn.training.export import evaluate_run, export_run
from ase_rholearn.training.learning.history import read_history
from ase_rholearn.training.learning.prepare import prepare
from ase_rholearn.training.learning.samples import Batch, BlockOrder
from ase_rholearn.training.learning.train import load_network, train


@pytest.fixture(scope="module")
def finished(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run in a folder that may be written to."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    shutil.copytree(run.options.output, folder)
    return run.options.model_copy(update={"output": folder})


@pytest.fixture(scope="module")
def evaluation(finished: Any) -> dict[str, Any]:
    return evaluate_run(finished, "test", level=1)


@pytest.fixture(scope="module")
def model(finished: Any, evaluation: dict[str, Any], tmp_path_factory: Any) -> DensityModel:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    export_run(finished, path, "float64")
    return load_model(path, "cpu")


@pytest.fixture(scope="module")
def single(finished: Any, evaluation: dict[str, Any], tmp_path_factory: Any) -> DensityModel:
    """The same in the precision in which runs are evaluated."""
    path = tmp_path_factory.mktemp("single") / "model.pt"
    export_run(finished, path)
    return load_model(path, "cpu")


@pytest.fixture(scope="module")
def tested(finished: Any, dataset: DataSet) -> Reference:
    split = json.loads((finished.output / "split.json").read_text())
    return dataset.load(split["test"][0])


def test_exported_model_reproduces_the_network(
    finished: Any, dataset: DataSet, model: DensityModel, tested: Reference
) -> None:
    network = load_network(finished, dataset.basis)
    [sample] = prepare(dataset, [tested.id], network)
    outputs = [
        s.orthonormal(e) for s, e in zip(species_of(network), sample.expansions, strict=True)
    ]
    [vector] = Batch.of([sample]).split(outputs)
    order = BlockOrder(dataset.basis, tested.atoms.numbers, "overlap")
    [predicted] = model.coefficients([tested.atoms])
    np.testing.assert_allclose(predicted, order.to_flat(vector.detach().numpy()), atol=1e-10)


def test_single_precision(model: DensityModel, single: DensityModel, tested: Reference) -> None:
    assert single.dtype == "float32"
    [first], [second] = (m.coefficients([tested.atoms]) for m in (single, model))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_card(model: DensityModel, dataset: DataSet, evaluation: dict[str, Any]) -> None:
    """The file says what it is, on what it was trained and how good it is."""
    assert model.card.name == "tiny"
    assert model.card.level_of_theory["xc"] == "PBE"
    sizes = {"training_structures": 4, "validation_structures": 2, "test_structures": 2}
    assert sizes.items() <= model.card.training.items()
    assert model.card.errors == evaluation["mean"]
    assert model.card.licence == "CC-BY-4.0"
    assert model.basis == dataset.basis


def test_history(finished: Any, model: DensityModel) -> None:
    """Errors of stages and epochs travel with the file, on one scale."""
    history = model.card.history
    assert history is not None
    errors = json.loads((finished.output / "errors.json").read_text())
    assert history.part == "validation"
    assert history.stages == pytest.approx(errors, rel=1e-3)
    assert history.epochs == (0, 1, 2, 3)
    # weights of the best epoch are those that were judged after gradient training
    assert min(history.validation) == pytest.approx(errors["gradient"], rel=1e-3)


def test_history_of_a_long_training(tmp_path: Path) -> None:
    """Few epochs travel, the best one among them; those that diverged are left out."""
    losses = [1.0 + abs(k - 777) for k in range(1000)]
    lines = [
        {"epoch": k, "training_loss": 0.01 * loss, "validation_loss": 1e-4 * loss}
        for k, loss in enumerate(losses)
    ]
    lines += [{"epoch": 1000, "training_loss": float("nan"), "validation_loss": 1.0}]
    lines += [{"energy_epoch": 1, "energy_rmse_mev_per_atom": 3.0}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.jsonl").write_text(text)
    errors = {"start": 1.23456, "gradient": 1.0, "energy_rmse_mev_per_atom": 3.0}
    (tmp_path / "errors.json").write_text(json.dumps(errors))
    history = read_history(tmp_path, "validation")
    assert history.stages == {"start": 1.235, "gradient": 1.0}
    assert 190 < len(history.epochs) <= 200
    assert {0, 777, 999} <= set(history.epochs)
    best = history.epochs.index(777)
    assert (history.training[best], history.validation[best]) == (10.0, 1.0)
    assert len(json.dumps(dataclasses.asdict(history))) < 6000


def test_history_of_a_closed_form(plan: Any, tmp_path: Path) -> None:
    """A run without gradients and without a validation part has stages alone."""
    options = plan(tmp_path / "r", split={"validation": 0}, gradient={"epochs": 0})
    train(options)
    history = read_history(options.output, "training")
    assert set(history.stages) == {"start"}
    assert (history.epochs, history.training, history.validation) == ((), (), ())


def test_figures(finished: Any, evaluation: dict[str, Any]) -> None:
    """All of them side by side, for each structure, their mean and the worst."""
    unknown = {"energy_error_mev_per_atom", "force_error_mev_per_angstrom"}
    assert set(evaluation["mean"]) == set(FIGURES) - unknown
    assert evaluation["meaning"] == FIGURES
    assert len(evaluation["structures"]) == 2
    for name in evaluation["mean"]:
        column = [entry[name] for entry in evaluation["structures"]]
        assert evaluation["mean"][name] == pytest.approx(np.mean(column))
        assert evaluation["worst"][name] == max(column)
    stored = json.loads((finished.output / "evaluation-test" / "evaluation.json").read_text())
    assert stored["mean"] == evaluation["mean"]


def test_figures_against_pyscf_quadrature(
    evaluation: dict[str, Any], model: DensityModel, tested: Reference
) -> None:
    """(a) to (c), integrated on PySCF's grid with PySCF's density matrix."""
    from pyscf import dft

    molecule = orbital_molecule(tested)
    grids = dft.gen_grid.Grids(molecule)
    grids.level = 3
    grids.build()
    points = grids.coords * units.Bohr

    def values(coefficients: np.ndarray) -> np.ndarray:
        rho = Density(tested.atoms, model.basis, coefficients)
        return rho.evaluate(points) * units.Bohr**3

    predicted = values(model.coefficients([tested.atoms])[0])
    fitted = values(tested.coefficients)
    orbitals = dft.numint.eval_ao(molecule, grids.coords) @ tested.occupied_orbitals
    scf = (orbitals**2).sum(axis=1)
    [entry] = [e for e in evaluation["structures"] if e["id"] == tested.id]
    for name, first, second in (
        ("nmae_scf_percent", predicted, scf),
        ("nmae_fit_percent", predicted, fitted),
        ("nmae_floor_percent", fitted, scf),
    ):
        error = 100 * (grids.weights @ np.abs(first - second)) / (grids.weights @ second)
        assert entry[name] == pytest.approx(error, rel=0.02), name


def test_one_diagonalisation_improves_the_density(evaluation: dict[str, Any]) -> None:
    mean = evaluation["mean"]
    assert 0 < mean["nmae_one_shot_percent"] < mean["nmae_scf_percent"]
    assert 0 < mean["nmae_screened_percent"] < mean["nmae_one_shot_percent"]


def test_dipole_error(evaluation: dict[str, Any], model: DensityModel, tested: Reference) -> None:
    rho = Density(tested.atoms, model.basis, model.coefficients([tested.atoms])[0])
    [entry] = [e for e in evaluation["structures"] if e["id"] == tested.id]
    assert tested.dipole is not None
    error = np.linalg.norm(rho.dipole() - tested.dipole) / 0.2081943
    assert entry["dipole_error_debye"] == pytest.approx(error, rel=1e-3)
    # one oxygen a molecule
    assert entry["dipole_error_debye_per_heavy_atom"] == entry["dipole_error_debye"]


def test_dipole_and_energy_errors_after_one_diagonalisation(
    evaluation: dict[str, Any], single: DensityModel, tested: Reference
) -> None:
    """Those of the orbitals."""
    assert tested.energy is not None
    rho = Density(tested.atoms, single.basis, single.coefficients([tested.atoms])[0])
    level = tested.settings
    found = one_shot(tested.atoms, rho, level["xc"], level["orbital_basis"], grid_level=2)
    [entry] = [e for e in evaluation["structures"] if e["id"] == tested.id]
    for name, one in (("one_shot", found), ("screened", found.screened())):
        error = np.linalg.norm(one.dipole() - tested.dipole) / units.Debye
        assert entry[f"dipole_error_{name}_debye"] == pytest.approx(error, rel=1e-4, abs=1e-6)
        shift = 1000 * abs(one.energy - tested.energy) / len(tested.atoms)
        assert entry[f"energy_error_{name}_mev_per_atom"] == pytest.approx(shift, abs=1e-3)
    mean = evaluation["mean"]
    assert 0 < mean["dipole_error_screened_debye"] < mean["dipole_error_debye"]


def test_references_without_orbitals(model: DensityModel, tested: Reference) -> None:
    """Only what is known is judged."""
    bare = dataclasses.replace(tested, occupied_orbitals=None, dipole=None)
    calls: list[int] = []
    result = evaluate(model, [bare], level=0, on_progress=lambda: calls.append(1))
    assert set(result["mean"]) == {"nmae_fit_percent", "normalization_electrons"}
    assert calls == [1]


@pytest.mark.parametrize("basis", ["def2-svp", {"H": "def2-svp", "O": "def2-svp"}])
def test_references_from_elsewhere(model: DensityModel, tested: Reference, basis: Any) -> None:
    """No functional, perhaps no name of the basis: then without (d), perhaps without (a)."""
    assert tested.occupied_orbitals is not None
    orbitals = tested.occupied_orbitals
    made = from_orbitals(tested.atoms, model.basis, basis, orbitals, keep_orbitals=True)
    result = evaluate(model, [made], level=0)
    assert "nmae_one_shot_percent" not in result["mean"]
    assert ("nmae_scf_percent" in result["mean"]) == isinstance(basis, str)


def test_perfect_prediction(model: DensityModel, tested: Reference) -> None:
    exact = dataclasses.replace(tested, coefficients=model.coefficients([tested.atoms])[0])
    result = evaluate(model, [exact], level=0, one_shot=False)
    assert result["mean"]["nmae_fit_percent"] < 1e-10


def test_nothing_to_evaluate(model: DensityModel, finished: Any, plan: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"references is empty: there is nothing to evaluate"):
        evaluate(model, [])
    with pytest.raises(
        ValueError, match=r"part is 'all': give one of \['test', 'training', 'valid"
    ):
        evaluate_run(finished, "all")
    with pytest.raises(FileNotFoundError, match=r"holds no run \(split\.json is missing\)"):
        evaluate_run(plan(tmp_path), "test")


def test_empty_part(finished: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    shutil.copytree(finished.output, folder)
    (folder / "split.json").write_text('{"training": ["x"], "validation": [], "test": []}')
    with pytest.raises(ValueError, match=r"the test part of this run is empty: .*split"):
        evaluate_run(finished.model_copy(update={"output": folder}), "test")


def test_bad_export(finished: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'dtype is \'half\': give "float32" or "float64"'):
        export_run(finished, tmp_path / "m.pt", "half")
    with pytest.raises(OSError, match=r"cannot write .*m\.pt: No such file or directory in the fo"):
        export_run(finished, tmp_path / "missing" / "m.pt")
    assert not list(tmp_path.iterdir())
