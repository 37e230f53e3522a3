"""What evaluation computes, against independent code, and how a job behaves."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units

from ase_rholearn.basis import Basis
from ase_rholearn.density import Density
from ase_rholearn.model import DensityModel, load_model
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import metric_matrix, reference
from ase_rholearn.training import DataSet
from ase_rholearn.training.evaluation import Job, Settings, evaluate_dataset, job, judge
from ase_rholearn.training.evaluation.blocks import blocks
from ase_rholearn.training.evaluation.compatibility import check_agreement, same_basis
from ase_rholearn.training.evaluation.integrals import integrate
from ase_rholearn.training.evaluation.summary import summarize
from ase_rholearn.training.evaluation.surroundings import training_distances
from ase_rholearn.training.export import export_run
from ase_rholearn.training.generation import Workers

COARSE = Settings(level=0, one_shot=False)


@pytest.fixture(scope="module")
def model_file(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    export_run(run.options, path, "float64")
    return path


@pytest.fixture(scope="module")
def model(model_file: Path) -> DensityModel:
    return load_model(model_file, "cpu")


@pytest.fixture(scope="module")
def first(dataset: DataSet) -> Reference:
    return dataset.load(dataset.ids[0])


# figures ---------------------------------------------------------------------------------


def test_errors_of_atoms_against_pyscf_quadrature(model: DensityModel, first: Reference) -> None:
    """Stockholder parts, integrated on PySCF's grid."""
    from pyscf import dft, gto

    entry = judge(model, first, Settings(level=2, one_shot=False))
    atoms = first.atoms
    molecule = gto.M(
        atom=[
            (s, tuple(r)) for s, r in zip(atoms.symbols, atoms.positions / units.Bohr, strict=True)
        ],
        unit="B",
        basis="sto-3g",
    )
    grids = dft.gen_grid.Grids(molecule)
    grids.level = 3
    grids.build()
    free = np.array(
        [
            model.basis.atomic_densities[int(z)].value(np.linalg.norm(grids.coords - r, axis=1))
            for z, r in zip(atoms.numbers, atoms.positions / units.Bohr, strict=True)
        ]
    )
    shares = free / np.maximum(free.sum(axis=0), 1e-14)
    vectors = model.coefficients([atoms])[0], first.coefficients
    predicted, fitted = (Density(atoms, model.basis, vector) for vector in vectors)
    change = (predicted - fitted).evaluate(grids.coords * units.Bohr) * units.Bohr**3
    expected = shares @ (grids.weights * np.abs(change))
    found = entry["per_atom"]["error_electrons"]
    np.testing.assert_allclose(found, expected, rtol=0.02)
    # together they are figure (b)
    assert sum(found) == pytest.approx(entry["nmae_fit_percent"] / 100 * 10, rel=1e-6)
    assert entry["squared_error"] == pytest.approx(grids.weights @ change**2, rel=0.02)


def test_blocks_are_onsite_squared_errors(dataset: DataSet, first: Reference) -> None:
    """Against PySCF's overlap matrix of the same functions."""
    basis, numbers = dataset.basis, first.atoms.numbers
    predicted = first.coefficients + np.random.default_rng(0).normal(size=len(first.coefficients))
    overlap = metric_matrix(first.atoms, basis, "overlap")
    layout = basis.layout(numbers)
    error = predicted - first.coefficients
    found = list(blocks(basis, numbers, predicted, first.coefficients))
    assert [(block.z, block.l) for block in found] == [(1, 0), (1, 1), (8, 0), (8, 1), (8, 2)]
    for block in found:
        total = 0.0
        for atom in np.flatnonzero(numbers == block.z):
            own = (layout.atom == atom) & (layout.l == block.l)
            total += error[own] @ overlap[np.ix_(own, own)] @ error[own]
        assert block.squared_error == pytest.approx(total, rel=1e-10)


def test_multipoles_of_one_atom(tiny_basis: Basis) -> None:
    """An atom alone has all of the density: by l, the squares are those of its coefficients."""
    coefficients = np.random.default_rng(1).normal(size=tiny_basis.size([8]))
    atoms = Atoms("O")
    rho, none = (
        Density(atoms, tiny_basis, vector, normalize=False)
        for vector in (coefficients, 0 * coefficients)
    )
    change = rho - none
    found = integrate(
        lambda r: {"x": change.evaluate(r * units.Bohr) * units.Bohr**3}, atoms, 3, tiny_basis, "x"
    )
    expected = [
        b.squared_error for b in blocks(tiny_basis, atoms.numbers, coefficients, 0 * coefficients)
    ]
    assert found.multipoles is not None
    np.testing.assert_allclose(found.multipoles[0], [*expected, 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.squared["x"], sum(expected), rtol=1e-4)


def test_perfect_model(model: DensityModel, first: Reference) -> None:
    exact = dataclasses.replace(first, coefficients=model.coefficients([first.atoms])[0])
    entry = judge(model, exact, COARSE)
    assert entry["nmae_fit_percent"] == 0
    assert entry["nmae_scf_percent"] == entry["nmae_floor_percent"]
    assert entry["per_atom"]["error_electrons"] == [0, 0, 0]
    assert all(block["squared_error"] == 0 for block in entry["blocks"])
    summary = summarize([entry])
    assert [row["share_percent"] for row in summary["species"]] == [0, 0]
    assert all(value == 0 for row in summary["shares"] for value in row["l"])


def test_shares_add_up(model: DensityModel, dataset: DataSet) -> None:
    summary = summarize([judge(model, dataset.load(name), COARSE) for name in dataset.ids[:2]])
    assert sum(row["share_percent"] for row in summary["species"]) == pytest.approx(100)
    assert sum(sum(row["l"]) for row in summary["shares"]) == pytest.approx(100)
    assert [len(row["l"]) for row in summary["shares"]] == [4, 4]  # s, p, d and higher
    assert [row["atoms"] for row in summary["species"]] == [4, 2]
    unasked = {"it was not asked for": 2}
    assert summary["missing"] == {
        "nmae_one_shot_percent": unasked,
        "nmae_screened_percent": unasked,
    }


def test_some_references_with_orbitals(model: DensityModel, dataset: DataSet) -> None:
    """Judged by what is known of all of them."""
    whole, other = (dataset.load(name) for name in dataset.ids[:2])
    bare = dataclasses.replace(other, occupied_orbitals=None)
    summary = summarize([judge(model, one, COARSE) for one in (whole, bare)])
    assert summary["headline"] == "nmae_fit_percent"
    assert summary["known"]["nmae_scf_percent"] == 1
    assert list(summary["missing"]["nmae_scf_percent"].values()) == [1]


def test_crystals(model: DensityModel, first: Reference) -> None:
    """A molecule in a large cell has the errors that it has without one."""
    atoms = first.atoms.copy()
    atoms.set_cell([12, 12, 12])
    atoms.pbc = True
    boxed = dataclasses.replace(first, atoms=atoms, occupied_orbitals=None)
    alone, periodic = (judge(model, one, Settings(level=1)) for one in (first, boxed))
    assert periodic["nmae_fit_percent"] == pytest.approx(alone["nmae_fit_percent"], rel=0.02)
    np.testing.assert_allclose(
        periodic["per_atom"]["error_electrons"], alone["per_atom"]["error_electrons"], rtol=0.03
    )
    assert "dipole_error_debye" not in periodic
    assert "the structure is periodic" in periodic["missing"]["nmae_scf_percent"]


class Knowing:
    """A model that has energies and uncertainties too."""

    has_energy = knows_uncertainty = True

    def __init__(self, model: DensityModel) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def potential(self, atoms: Atoms) -> Any:
        return SimpleNamespace(energy=-1.0, forces=np.zeros((len(atoms), 3)))

    def uncertainty(self, structures: list[Atoms]) -> list[Any]:
        return [
            SimpleNamespace(errors=np.linspace(0.1, 0.2, len(a)), extrapolation=np.ones(len(a)))
            for a in structures
        ]


def test_energies_and_uncertainties(model: DensityModel, dataset: DataSet) -> None:
    known = [
        dataclasses.replace(dataset.load(name), energy=-1.3, forces=np.full((3, 3), 0.2))
        for name in dataset.ids
    ]
    entries = [judge(Knowing(model), one, COARSE) for one in known]  # type: ignore[arg-type]
    assert entries[0]["energy_error_mev_per_atom"] == pytest.approx(100)
    assert entries[0]["force_error_mev_per_angstrom"] == pytest.approx(200)
    summary = summarize(entries)
    assert summary["energies"] == pytest.approx(
        {
            "energy_rmse_mev_per_atom": 100,
            "energy_mae_mev_per_atom": 100,
            "forces_rmse_mev_per_angstrom": 200,
            "forces_mae_mev_per_angstrom": 200,
        }
    )
    [hydrogen, oxygen] = summary["calibration"]
    assert (hydrogen["species"], hydrogen["atoms"], oxygen["atoms"]) == ("H", 16, 8)
    assert oxygen["rank_correlation"] is None  # all are expected to have the same error
    assert -1 <= hydrogen["rank_correlation"] <= 1
    assert sum(part["atoms"] for part in hydrogen["bins"]) == 16


def test_distances_from_the_training_set(waters: list[Atoms]) -> None:
    turned = waters[0].copy()
    turned.rotate(70, (1, 2, 3))
    stretched = [turned.copy() for _ in range(2)]
    for atoms, by in zip(stretched, (0.05, 0.4), strict=True):
        atoms.set_distance(0, 1, atoms.get_distance(0, 1) + by, fix=0)
    found = training_distances([turned, *stretched, Atoms("N")], waters[:1], 4.0)
    assert found[0] == pytest.approx(0, abs=1e-9)
    assert found[0] < found[1] < found[2] < found[3] == np.inf


# agreement of model and data -------------------------------------------------------------


def other_data(folder: Path, basis: Basis, settings: dict[str, Any]) -> DataSet:
    return DataSet.create(folder, basis, {k: v for k, v in settings.items() if k != "basis"})


def test_other_level_of_theory(model: DensityModel, dataset: DataSet, tmp_path: Path) -> None:
    other = other_data(tmp_path / "pbe0", dataset.basis, {**dataset.settings, "xc": "PBE0"})
    with pytest.raises(ValueError, match=r"other levels of theory \(xc: 'PBE' and 'PBE0'\)"):
        check_agreement(model, other, other_basis=True)
    tight = other_data(tmp_path / "tight", dataset.basis, {**dataset.settings, "conv_tol": 1e-10})
    [note] = check_agreement(model, tight, other_basis=False).notes
    assert note == "Model and data set differ in conv_tol: 1e-08 and 1e-10."


def test_free_atoms_fitted_elsewhere(tiny_basis: Basis) -> None:
    def scaled(by: float) -> Basis:
        return tiny_basis.with_atomic_densities(
            {
                z: dataclasses.replace(rho, amplitudes=tuple(by * a for a in rho.amplitudes))
                for z, rho in tiny_basis.atomic_densities.items()
            }
        )

    assert same_basis(tiny_basis, scaled(1 + 1e-9))
    assert not same_basis(tiny_basis, scaled(1.001))


@pytest.fixture(scope="module")
def larger(
    dataset: DataSet, tiny_basis: Basis, level: Any, tmp_path_factory: pytest.TempPathFactory
) -> DataSet:
    """One of the molecules, fitted in another basis."""
    shells = {z: list(shells) for z, shells in tiny_basis.shells.items()}
    basis = Basis({**shells, 1: shells[1][:-1]}, tiny_basis.atomic_densities, name="other")
    made = DataSet.create(tmp_path_factory.mktemp("other"), basis, level.to_dict())
    made.add(reference(dataset.load(dataset.ids[0]).atoms, basis, level, keep_orbitals=True))
    return made


def test_other_basis(model_file: Path, dataset: DataSet, larger: DataSet, tmp_path: Path) -> None:
    """Refused, or compared with the SCF density alone."""
    with pytest.raises(ValueError, match=r"has tiny, all-.* has other, all-.*--other-basis"):
        evaluate_dataset(Job(model_file, larger.folder, COARSE), folder=tmp_path)
    wanted = Job(model_file, larger.folder, COARSE, other_basis=True)
    found = evaluate_dataset(wanted, folder=tmp_path)
    own = evaluate_dataset(Job(model_file, dataset.folder, COARSE), dataset.ids, folder=tmp_path)
    [same] = [s for s in own["structures"] if s["formula"] and _same_dipole(s, found)]
    assert found["headline"] == "nmae_scf_percent"
    assert found["mean"]["nmae_scf_percent"] == pytest.approx(same["nmae_scf_percent"])
    assert set(found["missing"]) == {
        "nmae_fit_percent",
        "nmae_floor_percent",
        "nmae_one_shot_percent",
        "nmae_screened_percent",
    }
    assert found["blocks"] == []


def _same_dipole(entry: dict[str, Any], other: dict[str, Any]) -> bool:
    expected = other["structures"][0]["dipole_debye"]["predicted"]
    return np.allclose(entry["dipole_debye"]["predicted"], expected)


# jobs ------------------------------------------------------------------------------------

#: Kills itself without any warning after two structures.
KILLED = """
import os, signal, sys
from pathlib import Path
from ase_rholearn.training.evaluation import Job, Settings, evaluate_dataset

def die(progress):
    if progress.done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

model, data, folder = sys.argv[1:]
job = Job(model, Path(data), Settings(0, False))
evaluate_dataset(job, folder=Path(folder), on_progress=die)
"""


def test_goes_on_after_a_kill(
    model_file: Path, dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", KILLED, str(model_file), str(dataset.folder), str(tmp_path)]
    ended = subprocess.run(command, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    [kept] = tmp_path.glob("*.jsonl")
    with kept.open("a") as stream:
        stream.write('{"id": "cut off')
    judged: list[str] = []
    original = job.judge

    def counted(model: Any, reference: Any, *rest: Any, **options: Any) -> Any:
        judged.append(reference.id)
        return original(model, reference, *rest, **options)

    monkeypatch.setattr(job, "judge", counted)
    progress: list[int] = []
    wanted = Job(model_file, dataset.folder, COARSE)
    found = evaluate_dataset(wanted, folder=tmp_path, on_progress=lambda p: progress.append(p.done))
    assert len(judged) == 6
    assert progress == [2, 3, 4, 5, 6, 7, 8]
    assert [entry["id"] for entry in found["structures"]] == dataset.ids
    # another time there is nothing to do, and other settings have results of their own
    again = evaluate_dataset(wanted, folder=tmp_path)
    assert len(judged) == 6
    assert again["structures"] == found["structures"]
    finer = dataclasses.replace(wanted, settings=Settings(1, False))
    evaluate_dataset(finer, dataset.ids[:1], folder=tmp_path)
    assert len(judged) == 7
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_other_processes(model_file: Path, dataset: DataSet, tmp_path: Path) -> None:
    """One structure, so that one of them is enough."""
    wanted, names = Job(model_file, dataset.folder, COARSE), dataset.ids[:1]
    alone, together = (
        evaluate_dataset(wanted, names, folder=tmp_path / str(count), workers=Workers(count=count))
        for count in (1, 2)
    )
    for name, value in alone["mean"].items():
        assert together["mean"][name] == pytest.approx(value, rel=1e-9)
    assert together["processes"]["count"] == 2


def test_what_is_known_of_the_training_set(
    model_file: Path, dataset: DataSet, tmp_path: Path
) -> None:
    wanted, names = Job(model_file, dataset.folder, COARSE), dataset.ids
    found = evaluate_dataset(wanted, names[:3], folder=tmp_path, training=names[2:])
    assert found["data"]["seen_in_training"] == 1
    distances = [entry["training_distance"] for entry in found["structures"]]
    assert distances[2] == pytest.approx(0, abs=1e-9)
    assert min(distances[:2]) > 0
    json.dumps(found, allow_nan=False)
    assert found["model"]["training_structures"] == 4
    assert found["model"]["fingerprint"] == load_model(model_file, "cpu").fingerprint


def test_bad_choices(model_file: Path, dataset: DataSet, tiny_basis: Basis, tmp_path: Path) -> None:
    wanted = Job(model_file, dataset.folder, COARSE)
    with pytest.raises(ValueError, match=r"1 of 1 ids are not in .*, the first is 'no'"):
        evaluate_dataset(wanted, ["no"], folder=tmp_path / "out")
    with pytest.raises(ValueError, match="ids is empty: there is nothing to judge"):
        evaluate_dataset(wanted, [], folder=tmp_path / "out")
    empty = other_data(tmp_path / "empty", tiny_basis, dataset.settings)
    with pytest.raises(ValueError, match="is empty: there is nothing to judge"):
        evaluate_dataset(Job(model_file, empty.folder), folder=tmp_path / "out")
    with pytest.raises(ValueError, match="level is 7: give 0"):
        Settings(level=7)
    assert not (tmp_path / "out").exists()
