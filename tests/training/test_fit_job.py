"""Fits of finished calculations: one data set with what generate makes, and nothing twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase import Atoms, units

from ase_rholearn import cli
from ase_rholearn.references.pyscf import PySCF, refit
from ase_rholearn.training import DataSet
from ase_rholearn.training.fitting.job import fit_from_options
from ase_rholearn.training.generation import Progress, generate
from ase_rholearn.training.generation import fill as fill_module
from ase_rholearn.training.generation.worker import close_children
from ase_rholearn.training.options import FitOptions, load_options

LEVEL = {"xc": "LDA,VWN", "orbital_basis": "def2-svp", "grid_level": 0, "forces": False}
BASIS = {"beta": 3.0, "l_max": 1}
H2, HEH, HE = (
    Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]),
    Atoms("HHe", [[0, 0, 0], [0, 0, 0.77]], info={"charge": 1}),
    Atoms("He", [[0.5, 0.25, 0]]),
)


def run(atoms: Atoms, checkpoint: Path | None = None, **options: Any) -> Any:
    """The calculation of ``LEVEL`` in plain PySCF."""
    from pyscf import dft, gto

    molecule = gto.M(
        atom=[(a.symbol, a.position) for a in atoms],
        basis=LEVEL["orbital_basis"],
        charge=atoms.info.get("charge", 0),
        verbose=0,
        **options,
    )
    mean_field = dft.RKS(molecule, xc=LEVEL["xc"]).density_fit()
    mean_field.grids.level = LEVEL["grid_level"]
    mean_field.chkfile = None if checkpoint is None else str(checkpoint)
    mean_field._chkfile = None
    mean_field.kernel()
    return mean_field


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One calculation of each kind. Do not write into the folder."""
    from pyscf.tools import molden

    folder = tmp_path_factory.mktemp("runs")
    run(H2, folder / "h2.chk")
    molden.from_scf(run(HEH), str(folder / "heh.molden"))
    helium = run(HE)
    np.savez(
        folder / "he.npz",
        numbers=HE.numbers,
        positions=HE.positions,
        energy=helium.e_tot,
        mo_occ_coeff=helium.mo_coeff[:, :1].astype(np.float32),
    )
    return folder


Plan = Callable[..., FitOptions]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Options as a file gives them."""

    def make(*sources: Any, **changes: Any) -> FitOptions:
        options = {
            "sources": [str(source) for source in sources],
            "dataset": "data",
            "kohn_sham": LEVEL,
            "basis": BASIS,
            "converged": True,
            "charge": 1,
            **changes,
        }
        text = yaml.safe_dump({k: v for k, v in options.items() if v is not None})
        (tmp_path / "fit.yaml").write_text(text)
        return load_options(FitOptions, tmp_path / "fit.yaml")

    return make


Job = Callable[..., Progress]


@pytest.fixture(scope="module")
def job() -> Iterator[Job]:
    """The job, in one process for all tests: starting one takes seconds."""
    with ThreadPoolExecutor(1) as executor:
        yield partial(fit_from_options, workers=executor)
    close_children()


class Refusing(Executor):
    """An executor that must not be used."""

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        raise AssertionError("a task was submitted")


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any fit fails the test."""

    def refuse(tasks: Any, workers: Any) -> Any:
        for task in tasks:
            raise AssertionError(f"{task.arguments[0].name} was fitted")
        yield from ()

    monkeypatch.setattr(fill_module, "run_tasks", refuse)


def test_every_kind_of_file(runs: Path, plan: Plan) -> None:
    """They fill one data set, and generate has nothing left to do."""
    seen: list[Progress] = []
    reading: list[Progress] = []
    options = plan(runs / "*", workers={"count": 2})
    end = fit_from_options(options, on_progress=seen.append, on_reading=reading.append)
    assert end == Progress(3, 0, 3)
    assert (seen[0], seen[-1], reading[-1]) == (Progress(0, 0, 3), end, end)
    made = DataSet.open(options.dataset)
    assert not made.unpacked
    files = {made.load(name).provenance["file"] for name in made.ids}
    assert files == {"h2.chk", "heh.molden", "he.npz"}
    assert made.load(made.id_of(HEH)).atoms.info == {"charge": 1}
    level = options.kohn_sham.settings()
    code = PySCF(made.basis, level)
    same = DataSet.create(options.dataset, code.basis, code.settings())
    assert generate([H2, HEH, HE], same, code, Refusing()) == Progress(3, 0, 3)
    computed = code.reference(HE)
    stored = made.load(made.id_of(HE))
    assert stored.coefficients == pytest.approx(computed.coefficients, abs=1e-4)
    assert stored.energy == pytest.approx(computed.energy, abs=1e-5)


def test_the_guard_of_these_tests(job: Job, runs: Path, plan: Plan, no_fit: None) -> None:
    """Without references, there is something to fit."""
    with pytest.raises(AssertionError, match=r"h2\.chk was fitted"):
        job(plan(runs / "h2.chk"))


def test_resumed_job_goes_on(
    job: Job,
    runs: Path,
    plan: Plan,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """What is there is known by structure and settings, without a fit."""
    # species of the first run are those of the data set
    assert job(plan(runs / "heh.molden")) == Progress(1, 0, 1)
    assert job(plan(runs / "*")) == Progress(3, 0, 3)
    request.getfixturevalue("no_fit")
    assert job(plan(runs / "*")) == Progress(3, 0, 3)


def test_interruption_keeps_what_is_done(
    job: Job, runs: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    options = plan(runs / "*")
    with pytest.raises(KeyboardInterrupt):
        job(options, on_progress=interrupt)
    made = DataSet.open(options.dataset)
    assert len(made) == 2
    assert job(options) == Progress(3, 0, 3)


def test_failures_have_the_name_of_the_file(
    job: Job, runs: Path, plan: Plan, tmp_path: Path
) -> None:
    """A file that cannot be read, one of another level of theory; the others are done."""
    (tmp_path / "cut.molden").write_text("[Molden Format]\n[Atoms] AU\n")
    wrong = np.load(runs / "he.npz")
    shifted = {**wrong, "positions": wrong["positions"] + 1.0}
    np.savez(tmp_path / "bad.npz", **{**shifted, "mo_occ_coeff": 2 * wrong["mo_occ_coeff"]})
    options = plan(tmp_path / "cut.molden", runs / "h2.chk", tmp_path / "bad.npz", runs / "he.npz")
    assert job(options) == Progress(2, 2, 4)
    made = DataSet.open(options.dataset)
    reasons = sorted(entry["reason"] for entry in made.failures().values())
    assert len(reasons) == 2
    assert reasons[0].startswith("ValueError: ")
    assert "bad.npz" in reasons[0] + reasons[1]
    assert "cut.molden" in reasons[0] + reasons[1]
    # repaired, they are no failures any more
    (tmp_path / "cut.molden").write_text((runs / "heh.molden").read_text())
    np.savez(tmp_path / "bad.npz", **shifted)
    assert job(options) == Progress(4, 0, 4)
    assert made.failures() == {}
    lines = (options.dataset / "failures.jsonl").read_text().splitlines()
    assert all(set(json.loads(line)) >= {"id", "formula", "reason"} for line in lines)


def test_failure_in_the_fit(job: Job, runs: Path, plan: Plan) -> None:
    """The level of theory is another: seen only when the orbitals are used."""
    options = plan(runs / "h2.chk", kohn_sham={**LEVEL, "orbital_basis": "6-311g"})
    assert job(options) == Progress(0, 1, 1)
    [entry] = DataSet.open(options.dataset).failures().values()
    assert entry["formula"] == "H2"
    assert "h2.chk is not in the basis '6-311g'" in entry["reason"]
    again = plan(runs / "h2.chk", kohn_sham={**LEVEL, "orbital_basis": "6-311g"}, retry=False)
    assert job(again) == Progress(0, 1, 1)


def test_one_structure_in_two_files(job: Job, runs: Path, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "copy.chk").write_bytes((runs / "h2.chk").read_bytes())
    options = plan(runs / "h2.chk", tmp_path / "copy.chk", runs / "h2.chk")
    assert job(options) == Progress(1, 0, 1)
    made = DataSet.open(options.dataset)
    assert made.load(made.ids[0]).provenance == {"file": "h2.chk"}


def test_without_a_level_of_theory(job: Job, runs: Path, plan: Plan) -> None:
    options = plan(runs / "h2.chk", kohn_sham=None)
    assert job(options) == Progress(1, 0, 1)
    settings = {k: v for k, v in DataSet.open(options.dataset).settings.items() if k != "basis"}
    assert settings == {
        "code": "pyscf",
        "source": "checkpoint",
        "orbital_basis": "def2-svp",
        "metric": "coulomb",
    }


def test_sources_of_different_kinds_need_a_level(job: Job, runs: Path, plan: Plan) -> None:
    options = plan(runs / "h2.chk", runs / "heh.molden", kohn_sham=None)
    message = r"h2\.chk and .*heh\.molden do not belong into one data set \(.*source: 'checkpoint'"
    with pytest.raises(ValueError, match=message):
        job(options)
    assert not options.dataset.exists()


def test_another_basis_for_a_data_set(job: Job, runs: Path, plan: Plan) -> None:
    """From kept orbitals, without a run and without saying anything again."""
    first = plan(runs / "*")
    job(first)
    old = DataSet.open(first.dataset)
    options = plan(
        first.dataset, dataset="other", basis={"beta": 2.5}, kohn_sham=None, converged=None
    )
    assert job(options) == Progress(3, 0, 3)
    new = DataSet.open(options.dataset)
    assert {k: v for k, v in new.settings.items() if k != "basis"} == {
        k: v for k, v in old.settings.items() if k != "basis"
    }
    expected = refit(old.load(old.id_of(H2)), new.basis)
    stored = new.load(new.id_of(H2))
    assert stored.coefficients == pytest.approx(expected.coefficients, abs=1e-5)
    assert stored.provenance == {"file": "h2.chk"}
    # the level may be said again, but no other one
    assert job(options.model_copy(update={"kohn_sham": first.kohn_sham})).done == 3
    other = plan(first.dataset, dataset="third", kohn_sham={**LEVEL, "xc": "PBE"})
    with pytest.raises(ValueError, match=r"was made at another level of theory than kohn_sham"):
        job(other)


# mistakes, before any work --------------------------------------------------------------


def test_convergence_must_be_stated(job: Job, runs: Path, plan: Plan) -> None:
    message = r"h2\.chk does not record whether its run had converged.* state `converged: true`"
    with pytest.raises(ValueError, match=message):
        job(plan(runs / "h2.chk", converged=False))


def test_pattern_without_files(job: Job, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"sources: nothing matches .*none/\*\.chk"):
        job(plan("none/*.chk"))


def test_unknown_format(job: Job, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "a.wfx").write_text("<Title>")
    message = r"a\.wfx has a format that is not known: give PySCF checkpoint \(\.chk, .*Molden"
    with pytest.raises(ValueError, match=message):
        job(plan("a.wfx"))
    with pytest.raises(ValueError, match=r"holds no data set .* give a pattern such as .*\*\.chk"):
        job(plan("."))


def test_format_by_content(job: Job, runs: Path, plan: Plan, tmp_path: Path) -> None:
    """Names say little: programs write Molden files under many."""
    (tmp_path / "h2").write_bytes((runs / "h2.chk").read_bytes())
    (tmp_path / "heh.input").write_text("\n" + (runs / "heh.molden").read_text())
    (tmp_path / "he.dat").write_bytes((runs / "he.npz").read_bytes())
    assert job(plan("h2", "heh.input", "he.dat")) == Progress(3, 0, 3)


def test_nothing_can_be_read(job: Job, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "a.chk").write_bytes(b"")
    message = r"none of 1 can be read; .*a\.chk: ValueError: .*a\.chk is not a PySCF checkpoint"
    with pytest.raises(ValueError, match=message):
        job(plan("a.chk"))


def test_orbitals_without_basis(job: Job, runs: Path, plan: Plan) -> None:
    with pytest.raises(ValueError, match=r"he\.npz does not name the basis .*give kohn_sham"):
        job(plan(runs / "he.npz", kohn_sham=None))


def test_species_that_the_data_set_lacks(job: Job, runs: Path, plan: Plan) -> None:
    job(plan(runs / "h2.chk"))
    with pytest.raises(ValueError, match=r"data has a basis for H, the structures have He too"):
        job(plan(runs / "*"))


# the command ---------------------------------------------------------------------------


def test_command(
    runs: Path,
    plan: Plan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cut.chk").write_bytes(b"")
    plan(runs / "*", "cut.chk")
    monkeypatch.setattr(sys, "argv", ["ase-rholearn", "fit", str(tmp_path / "fit.yaml")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    captured = capfd.readouterr()
    assert end.value.code == 1
    assert captured.out.splitlines() == [
        "3 of 4 structures have a reference",
        "1 failed: see failures.jsonl in the data set",
    ]
    assert captured.err == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: d\n", "sources is missing"),
        ("sources: []\ndataset: d\n", "sources is []"),
        (
            "sources: [a]\ndataset: d\nkohn_sham: {functional: PBE}\n",
            "kohn_sham.functional is not an option: do you mean kohn_sham.",
        ),
    ],
)
def test_mistakes_in_the_options(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "o.yaml").write_text(text)
    with pytest.raises(ValueError, match=message.replace("[", r"\[").replace(".", r"\.")):
        load_options(FitOptions, tmp_path / "o.yaml")


def test_energies_and_forces_arrive(job: Job, runs: Path, plan: Plan, tmp_path: Path) -> None:
    arrays = dict(np.load(runs / "he.npz"))
    np.savez(tmp_path / "f.npz", **arrays, gradient=np.array([[0.1, 0, 0]]), smiles="[He]")
    options = plan("f.npz")
    job(options)
    made = DataSet.open(options.dataset)
    [reference] = made
    assert reference.forces[0, 0] == pytest.approx(-0.1 * units.Hartree / units.Bohr, rel=1e-6)
    assert reference.energy == pytest.approx(float(arrays["energy"]) * units.Hartree)
    assert reference.atoms.info == {"smiles": "[He]"}


def test_another_basis_without_orbitals(job: Job, runs: Path, plan: Plan, tmp_path: Path) -> None:
    """What is left of a data set without orbitals is enough."""
    job(plan(runs / "h2.chk", keep_orbitals=False))
    first = DataSet.open(tmp_path / "data")
    changes = {"dataset": "other", "basis": {"name": "def2-universal-jfit", "deformation": False}}
    end = job(plan(tmp_path / "data", kohn_sham=None, **changes))
    assert end.done == 1
    made = DataSet.open(tmp_path / "other")
    assert made.settings["projected_from"] == first.settings["basis"]
