"""Generation of data sets: what is done stays done, what fails does not stop the rest."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.io import write

from ase_rholearn.basis import Basis
from ase_rholearn.references.pyscf import KohnSham, PySCF, reference
from ase_rholearn.training import DataSet
from ase_rholearn.training.generation import Progress, Workers, generate
from ase_rholearn.training.generation.job import generate_from_options
from ase_rholearn.training.options import GenerateOptions

LEVEL = KohnSham("LDA,VWN", "sto-3g", grid_level=0, forces=False)
BASIS = Basis.from_shells({"H": [(0, [2.0, 0.5])], "He": [(0, [3.0, 0.8])]})
CODE = PySCF(BASIS, LEVEL)
H2, HE = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), Atoms("He")
#: An open shell, which is refused.
LONELY_H = Atoms("H", [[1, 0, 0]])


def new_set(folder: Path, code: PySCF = CODE) -> DataSet:
    return DataSet.create(folder, code.basis, code.settings())


class Refusing(Executor):
    """An executor that must not be used."""

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        raise AssertionError("a task was submitted")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, Progress, list[Progress]]:
    """Three structures in two processes; one of them fails, one is there twice."""
    made = new_set(tmp_path_factory.mktemp("g"))
    seen: list[Progress] = []
    structures = [LONELY_H, H2, HE, H2]
    end = generate(structures, made, CODE, Workers(count=2), on_progress=seen.append)
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
    assert not made.unpacked


def test_failures_are_listed_with_the_reason(
    generated: tuple[DataSet, Progress, list[Progress]],
) -> None:
    made, _, _ = generated
    [entry] = made.failures().values()
    assert entry["id"] == made.id_of(LONELY_H)
    assert entry["reason"].startswith("ValueError: H with charge 0 has 1 electrons, an open shell")


def test_processes_give_what_one_call_gives(
    generated: tuple[DataSet, Progress, list[Progress]],
) -> None:
    made, _, _ = generated
    direct = reference(H2, BASIS, LEVEL, keep_orbitals=True)
    stored = made.load(made.id_of(H2))
    assert stored.coefficients == pytest.approx(direct.coefficients, abs=1e-7)
    assert stored.energy == pytest.approx(direct.energy, abs=1e-6)
    assert stored.occupied_orbitals is not None


def test_second_run_does_nothing(
    generated: tuple[DataSet, Progress, list[Progress]],
) -> None:
    made, _, _ = generated
    assert generate([H2, HE], made, CODE, Refusing()) == Progress(2, 0, 2)


def test_failed_structures_are_tried_again_or_not(
    generated: tuple[DataSet, Progress, list[Progress]],
) -> None:
    made, _, _ = generated
    end = generate([H2, LONELY_H], made, CODE, Refusing(), retry=False)
    assert end == Progress(done=1, failed=1, total=2)
    with ThreadPoolExecutor() as executor:
        assert generate([LONELY_H], made, CODE, executor) == Progress(0, 1, 1)


def test_run_without_convergence_never_enters(tmp_path: Path) -> None:
    code = PySCF(BASIS, KohnSham("LDA,VWN", "6-31g", grid_level=0, forces=False, max_cycle=1))
    made = new_set(tmp_path, code)
    with ThreadPoolExecutor() as executor:
        assert generate([H2], made, code, executor) == Progress(0, 1, 1)
    assert len(made) == 0
    [failure] = made.failures().values()
    assert failure["reason"].startswith(
        "NotConvergedError: LDA,VWN/6-31g did not converge for H2 in 1 cycles"
    )


def test_structure_that_takes_too_long(tmp_path: Path) -> None:
    """The time-out ends it, and the next one gets a new process."""
    made = new_set(tmp_path)
    chain = Atoms("H40", [[0, 0, 0.8 * k] for k in range(40)])
    end = generate([chain], made, CODE, timeout=0.5)
    assert end == Progress(0, 1, 1)
    [failure] = made.failures().values()
    assert failure["reason"] == "TimeoutError: not done after 0.5 s"


def test_only_one_job_writes(tmp_path: Path) -> None:
    made = new_set(tmp_path)
    with made.writing(), pytest.raises(RuntimeError, match=r"another process writes into .*: wait"):
        generate([H2], DataSet.open(tmp_path), CODE, Refusing())


class Breaking(ThreadPoolExecutor):
    """Loses its first task and then takes no more."""

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        if self._broken:
            raise RuntimeError("no more")
        self._broken = "x"
        lost: Future[Any] = Future()
        lost.set_exception(MemoryError("node is gone"))
        return lost


def test_engine_that_breaks_down(tmp_path: Path) -> None:
    made = new_set(tmp_path)
    with (
        Breaking() as executor,
        pytest.raises(RuntimeError, match=r"the executor takes no more tasks .*no more.*: start"),
    ):
        generate([H2, HE], made, CODE, executor)


def test_task_that_an_engine_loses(tmp_path: Path) -> None:
    made = new_set(tmp_path)
    with Breaking() as executor:
        assert generate([H2], made, CODE, executor) == Progress(0, 1, 1)
    [failure] = made.failures().values()
    assert failure["reason"] == "the executor lost the task (MemoryError: node is gone)"


class Counting(ThreadPoolExecutor):
    """Notes how many tasks are in its hands."""

    def __init__(self) -> None:
        super().__init__(1)
        self.lock, self.held, self.most = threading.Lock(), 0, 0

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        with self.lock:
            self.held += 1
            self.most = max(self.most, self.held)
        future = super().submit(*args, **kwargs)
        future.add_done_callback(self._less)
        return future

    def _less(self, future: Future[Any]) -> None:
        with self.lock:
            self.held -= 1


def test_the_queue_of_an_executor_stays_short(tmp_path: Path) -> None:
    made = new_set(tmp_path)
    structures = [Atoms("H", [[0, 0, k]]) for k in range(300)]
    with Counting() as executor:
        assert generate(structures, made, CODE, executor).failed == 300
    assert executor.most <= 64


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
