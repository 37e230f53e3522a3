"""Sampling on an executor: what is done for an input is kept, and feeds the generation."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

from ase_rholearn.training import DataSet
from ase_rholearn.training.generation import Progress
from ase_rholearn.training.generation import sampled as sampled_module
from ase_rholearn.training.generation.job import generate_from_options
from ase_rholearn.training.generation.sampled import sampled_structures
from ase_rholearn.training.options import GenerateOptions
from ase_rholearn.training.sampling import Rattle, SamplingPlan, Smiles, sample

PLAN = SamplingPlan(rattle=Rattle(copies=3))
WATER = molecule("H2O", info={"name": "water", "charge": 0, "temperature": np.int64(300)})
#: Two atoms in one place.
BAD = Atoms("H2")


def test_the_same_as_in_one_process(tmp_path: Path) -> None:
    seen: list[Progress] = []
    inputs = [WATER, BAD, molecule("NH3")]
    with ThreadPoolExecutor(2) as executor:
        found, failed = sampled_structures(
            inputs, PLAN, 5, tmp_path, executor, on_progress=seen.append
        )
    expected = list(sample(inputs, plan=PLAN, seed=5))
    assert found == [entry.atoms for entry in expected if hasattr(entry, "atoms")]
    assert [entry.info for entry in found[:3]] == [expected[0].atoms.info] * 3
    assert [entry.reason for entry in failed] == [
        entry.reason for entry in expected if hasattr(entry, "reason")
    ]
    assert seen[-1] == Progress(3, 0, 3)


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(1) as executor:
        first = sampled_structures([WATER, BAD], PLAN, 5, tmp_path, executor)
    asked: list[Any] = []

    def spy(tasks: Any, workers: Any) -> Any:
        asked.extend(tasks)
        return iter(())

    monkeypatch.setattr(sampled_module, "run_tasks", lambda t, w: (x for x in spy(t, w)))
    assert sampled_structures([WATER, BAD], PLAN, 5, tmp_path) == first
    assert asked == []
    for changed in ((PLAN, 6), (SamplingPlan(rattle=Rattle(copies=2)), 5)):
        sampled_structures([WATER], *changed, tmp_path)
    assert len(asked) == 2


def test_damaged_result(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        sampled_structures([WATER], PLAN, 5, tmp_path, executor)
    [path] = tmp_path.iterdir()
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match=r"\.json is damaged: delete it, and it is sampled again"):
        sampled_structures([WATER], PLAN, 5, tmp_path)


def options(folder: Path, **changes: Any) -> GenerateOptions:
    level = {"xc": "LDA,VWN", "orbital_basis": "sto-3g", "grid_level": 0, "forces": False}
    plain = {"dataset": folder / "data", "kohn_sham": level, "retry": True}
    basis = {"name": "def2-universal-jfit", "deformation": False}
    return GenerateOptions.model_validate({**plain, "basis": basis, **changes})


def test_from_structures_to_references(tmp_path: Path) -> None:
    write(tmp_path / "start.xyz", [molecule("H2")])
    plan = {"rattle": {"copies": 2, "original": True}}
    end = generate_from_options(options(tmp_path, structures=tmp_path / "start.xyz", sampling=plan))
    assert end == Progress(3, 0, 3)
    sources = [made.atoms.info.get("source", "") for made in DataSet.open(tmp_path / "data")]
    assert sorted(sources) == ["", "rattling", "rattling"]


def test_from_smiles_to_references(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    (tmp_path / "molecules.smi").write_text("[H][H] hydrogen\nC1CC bad\n")
    with pytest.raises(ValueError, match=r"line 2|molecules\.smi"):
        generate_from_options(options(tmp_path, smiles=tmp_path / "molecules.smi", sampling={}))
    (tmp_path / "molecules.smi").write_text("[H][H] hydrogen\n")
    end = generate_from_options(options(tmp_path, smiles=tmp_path / "molecules.smi", sampling={}))
    assert end == Progress(1, 0, 1)
    [made] = DataSet.open(tmp_path / "data")
    assert made.atoms.info["name"] == "hydrogen"


def test_sampling_without_any_result(tmp_path: Path) -> None:
    write(tmp_path / "start.xyz", [molecule("H2")])
    plan = {"rattle": {"stdev": 1.0, "closest": 1.0}}
    try:
        end = generate_from_options(
            options(tmp_path, structures=tmp_path / "start.xyz", sampling=plan)
        )
        assert end.total == 1  # by luck the atoms stayed apart
    except ValueError as error:
        assert "sampling gave no structure at all" in str(error)  # noqa: PT017
        lines = (tmp_path / "data" / "sampling-failures.jsonl").read_text().splitlines()
        assert "rattle" in json.loads(lines[0])["reason"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"structures is missing: give it, or smiles and sampling"),
        ({"smiles": "x.smi"}, r"smiles is given without sampling"),
        (
            {
                "structures": "x.xyz",
                "sampling": {"dynamics": {"timestep_fs": 1, "spacing_fs": 0.5}},
            },
            r"spacing_fs is 0\.5: give at least timestep_fs",
        ),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(tmp_path, **given)


def test_smiles_are_told_apart(tmp_path: Path) -> None:
    key = sampled_module._key
    assert key(Smiles("CCO", "a"), PLAN, 0) != key(Smiles("CCO", "b"), PLAN, 0)
    assert key(WATER, PLAN, 0) == key(WATER.copy(), PLAN, 0)
