"""Generation of data sets: what is done stays done, what fails does not stop the rest."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.io import write

from ase_rholearn.basis import Basis
from ase_rholearn.references.pyscf import KohnSham, reference
from ase_rholearn.training import DataSet
from ase_rholearn.training import generate as generate_module
from ase_rholearn.training.generate import Progress, generate, generate_from_options
from ase_rholearn.training.options import GenerateOptions

LEVEL = KohnSham("LDA,VWN", "sto-3g", grid_level=0, forces=False)
BASIS = Basis.from_shells({"H": [(0, [2.0, 0.5])], "He": [(0, [3.0, 0.8])]})
H2, HE = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), Atoms("He")
#: An open shell, which is refused.
LONELY_H = Atoms("H", [[1, 0, 0]])


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, Progress, list[Progress]]:
    """Three structures in two processes; one of them fails, one is there twice."""
    made = DataSet.create(tmp_path_factory.mktemp("g"), BASIS, LEVEL.to_dict())
    seen: list[Progress] = []
    end = generate([LONELY_H, H2, HE, H2], made, LEVEL, workers=2, on_progress=seen.append)
    return made, end, seen


def test_each_structure_is_done_or_failed(
    generated: tuple[DataSet, Progress, list[Progress]],
) -> None:
    made, end, seen = generated
    assert end == Progress(done=2, failed=1, total=3)
    assert seen[0] == Progress(0, 0, 3)
    assert seen[-1] == end
    assert len(seen) == 4
    assert {reference.atoms.get_chemical_formula() for reference in made} == {"H2", "He"}


def test_failures_are_listed_with_the_reason(
    generated: tuple[DataSet, Progress, list[Progress]],
) -> None:
    made, _, _ = generated
    entry = json.loads((made.folder / "failures.jsonl").read_text())
    assert entry["id"] == made.id_of(LONELY_H)
    assert entry["reason"].startswith("ValueError: H with charge 0 has 1 electrons, an open shell")


def test_processes_give_what_one_call_gives(
    generated: tuple[DataSet, Progress, list[Progress]],
) -> None:
    made, _, _ = generated
    direct = reference(H2, BASIS, LEVEL, keep_orbitals=True)
    stored = made.load(made.id_of(H2))
    assert stored.coefficients == pytest.approx(direct.coefficients, abs=1e-8)
    assert stored.energy == pytest.approx(direct.energy, abs=1e-6)
    assert stored.occupied_orbitals is not None


def test_second_run_does_nothing(
    generated: tuple[DataSet, Progress, list[Progress]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(workers: int) -> Any:
        raise AssertionError("a process was started")

    monkeypatch.setattr(generate_module, "_executor", refuse)
    made, _, _ = generated
    assert generate([H2, HE], made, LEVEL) == Progress(2, 0, 2)


def test_run_without_convergence_never_enters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a process would take seconds to start
    monkeypatch.setattr(generate_module, "_executor", ThreadPoolExecutor)
    level = KohnSham("LDA,VWN", "6-31g", grid_level=0, forces=False, max_cycle=1)
    made = DataSet.create(tmp_path, BASIS, level.to_dict())
    assert generate([H2], made, level) == Progress(0, 1, 1)
    assert len(made) == 0
    reason = json.loads((tmp_path / "failures.jsonl").read_text())["reason"]
    assert reason.startswith("NotConvergedError: LDA,VWN/6-31g did not converge for H2 in 1 cycles")


def test_workers(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path, BASIS, LEVEL.to_dict())
    with pytest.raises(ValueError, match=r"workers is 0: give 1 or more"):
        generate([H2], made, LEVEL, workers=0)


def options(folder: Path, **changes: Any) -> GenerateOptions:
    level = {"xc": "LDA,VWN", "orbital_basis": "sto-3g", "grid_level": 0, "forces": False}
    return GenerateOptions.model_validate(
        {
            "structures": folder / "molecules.xyz",
            "dataset": folder / "data",
            "kohn_sham": {**level, **changes.pop("kohn_sham", {})},
            "basis": {"name": "def2-universal-jfit", "deformation": False},
            **changes,
        }
    )


def test_structures_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "molecules.xyz"
    with pytest.raises(FileNotFoundError, match=r"structures: there is no file .*molecules\.xyz"):
        generate_from_options(options(tmp_path))
    path.write_text("3\n\nH 0 0 0\n")
    with pytest.raises(ValueError, match=r"structures: ASE cannot read .*molecules\.xyz: "):
        generate_from_options(options(tmp_path))
    other = tmp_path / "molecules.unknown"
    other.write_text("?")
    with pytest.raises(ValueError, match=r"molecules\.unknown has a format that ASE does not know"):
        generate_from_options(options(tmp_path, structures=other))
    # nothing was made before the mistake was found
    assert not (tmp_path / "data").exists()


def test_bad_frame_is_named(tmp_path: Path) -> None:
    write(tmp_path / "molecules.xyz", [H2, Atoms("H2", [[0, 0, 0], [0, 0, 0.1]])])
    with pytest.raises(ValueError, match=r"frame 1 of .*molecules\.xyz: atoms 0 and 1 overlap"):
        generate_from_options(options(tmp_path))


def test_bad_level_of_theory(tmp_path: Path) -> None:
    write(tmp_path / "molecules.xyz", [H2])
    with pytest.raises(ValueError, match=r"xc is 'PBEE', which PySCF does not know"):
        generate_from_options(options(tmp_path, kohn_sham={"xc": "PBEE"}))
    assert not (tmp_path / "data").exists()
