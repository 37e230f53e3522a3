"""Setting up, running, judging, going on: with a program that speaks FHI-aims' files."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from ase_rholearn.aims import read_ri_fit
from ase_rholearn.aims.basis_keywords import check_same_basis
from ase_rholearn.aims.grid_files import read_grid_density
from ase_rholearn.aims.judge import judge, status
from ase_rholearn.aims.orbital_weights import EnergyWindow
from ase_rholearn.aims.run import Outcome, run_all, run_structure
from ase_rholearn.aims.settings import AimsSettings
from ase_rholearn.aims.setup import set_up

WATER, METHANE = molecule("H2O"), molecule("CH4")
STEPS = ("scf", "fit")


def states(root: Path) -> list[str]:
    return [verdict.state for verdict in status(root, STEPS)]


class TestRun:
    @pytest.mark.parametrize("version", [240925, 221103])
    def test_all_steps(
        self,
        tmp_path: Path,
        settings: AimsSettings,
        command_line: str,
        behave: Callable[..., None],
        version: int,
    ) -> None:
        behave(version=version)
        first, second = set_up([WATER, METHANE], tmp_path, settings)
        assert states(tmp_path) == ["ready"] * 4
        seen: list[Outcome] = []
        outcomes = run_all(tmp_path, STEPS, command=command_line, on_outcome=seen.append)
        assert [(o.structure, o.done, o.reason) for o in outcomes] == [
            (first, True, ""),
            (second, True, ""),
        ]
        assert sorted(seen, key=lambda o: o.structure) == outcomes
        assert states(tmp_path) == ["done"] * 4
        scf = judge(first / "scf", "scf").output
        assert scf is not None
        assert (scf.version, scf.scf_cycles, scf.scf_converged) == (version, 12, True)
        fit = read_ri_fit(first / "fit")
        assert fit.basis.by_label(["O", "H", "H"]) == {"O": (3, 2, 1), "H": (2, 1)}
        expected = np.sin(np.arange(fit.basis.size) + WATER.positions.sum())
        np.testing.assert_allclose(fit.coefficients, expected, rtol=0, atol=1e-12)
        assert fit.residual() < 1e-12
        assert read_grid_density(first / "fit").nmae() == pytest.approx(1.0)

    def test_what_is_done_is_not_run_again(
        self, tmp_path: Path, settings: AimsSettings, command_line: str
    ) -> None:
        set_up([WATER], tmp_path, settings)
        run_all(tmp_path, STEPS, command=command_line)
        before = (tmp_path / "000000/fit/aims.out").stat().st_mtime_ns
        set_up([WATER, METHANE], tmp_path, settings)
        outcomes = run_all(tmp_path, STEPS, command=command_line)
        assert [o.done for o in outcomes] == [True, True]
        assert (tmp_path / "000000/fit/aims.out").stat().st_mtime_ns == before

    @pytest.mark.parametrize(
        ("fail", "reason"),
        [
            ("crash", r"scf: it ended with status 1: \*\*\* out of memory"),
            ("unconverged", "self-consistency was not reached"),
            ("truncated", "does not end with"),
        ],
    )
    def test_failures_are_named_and_tried_again(
        self,
        tmp_path: Path,
        settings: AimsSettings,
        command_line: str,
        behave: Callable[..., None],
        fail: str,
        reason: str,
    ) -> None:
        behave(fail=fail)
        set_up([WATER], tmp_path, settings)
        (outcome,) = run_all(tmp_path, ("scf",), command=command_line)
        assert not outcome.done
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(outcome.reason)
        assert states(tmp_path)[0] == "failed"
        (outcome,) = run_all(tmp_path, ("scf",), command=command_line, retry=False)
        assert not outcome.done
        (outcome,) = run_all(tmp_path, ("scf",), command=command_line)
        assert outcome.done

    def test_a_run_that_takes_too_long(
        self,
        tmp_path: Path,
        settings: AimsSettings,
        command_line: str,
        behave: Callable[..., None],
    ) -> None:
        behave(fail="hang")
        set_up([WATER], tmp_path, settings)
        (outcome,) = run_all(tmp_path, ("scf",), command=command_line, timeout=1.0)
        assert outcome.reason == "scf: it was stopped after 1 seconds"

    def test_convergence_is_more_than_its_marker(
        self, tmp_path: Path, settings: AimsSettings, command_line: str
    ) -> None:
        set_up([WATER], tmp_path, settings)
        run_all(tmp_path, ("scf",), command=command_line)
        output = tmp_path / "000000/scf/aims.out"
        text = "\n".join(
            line.replace("          12", "           0")
            for line in output.read_text().splitlines()
            if "Begin" not in line
        )
        assert "Self-consistency cycle converged." in text
        output.write_text(text)
        verdict = judge(tmp_path / "000000/scf", "scf")
        assert (verdict.state, verdict.reason) == ("failed", "not self-consistent after 0 cycles")

    def test_lost_files_are_found(
        self, tmp_path: Path, settings: AimsSettings, command_line: str
    ) -> None:
        set_up([WATER], tmp_path, settings)
        run_all(tmp_path, STEPS, command=command_line)
        fit = tmp_path / "000000/fit"
        for name, message in (
            ("ri_ovlp.npy", "ri_ovlp.npy is truncated or damaged"),
            ("ri_projections.out", "but the basis"),
        ):
            content = (fit / name).read_bytes()
            (fit / name).write_bytes(content[: content[:-1].rfind(b"\n") + 1])
            assert message in judge(fit, "fit").reason
            (fit / name).write_bytes(content)
        assert judge(fit, "fit").state == "done"
        (fit / "basis_info.out").unlink()
        assert "there is no" in judge(fit, "fit").reason
        scf = tmp_path / "000000/scf"
        (scf / "D_spin_01_kpt_000001.csc").unlink()  # large, and of no more use
        assert judge(scf, "scf").state == "done"
        (fit / "ri_restart_coeffs.out").unlink()
        assert "density matrix" in judge(tmp_path / "000000/scf", "scf").reason

    @pytest.mark.parametrize(
        ("name", "text", "reason"),
        [
            ("ri_ovlp.out", "*****", r"ri_ovlp\.out, line 3: '\*\*\*\*\*'"),
            (
                "ri_restart_coeffs.out",
                "NaN",
                r"ri_restart_coeffs\.out, line 3: 'NaN' is not finite",
            ),
            ("ri_projections.out", "77.0", r"S c = w does not hold: function 2"),
        ],
    )
    def test_a_fit_is_read_when_its_run_ends(
        self,
        tmp_path: Path,
        settings: AimsSettings,
        command_line: str,
        behave: Callable[..., None],
        name: str,
        text: str,
        reason: str,
    ) -> None:
        """What is wrong with its numbers is known then, not when they are needed."""
        set_up([WATER], tmp_path, settings)
        behave(spoil=[name, text])
        (outcome,) = run_all(tmp_path, STEPS, command=command_line)
        assert re.search(reason, outcome.reason)
        fit = tmp_path / "000000/fit"
        assert judge(fit, "fit").state == "failed"
        behave()
        (outcome,) = run_all(tmp_path, STEPS, command=command_line)
        assert outcome.done
        assert not (fit / "ri_ovlp.out").exists()
        assert np.load(fit / "ri_ovlp.npy").shape == (24, 24)
        assert judge(fit, "fit").state == "done"

    def test_the_text_of_an_overlap_may_stay(
        self, tmp_path: Path, settings: AimsSettings, command_line: str
    ) -> None:
        set_up([WATER], tmp_path, settings)
        (outcome,) = run_all(tmp_path, STEPS, command=command_line, keep_overlap_text=True)
        assert outcome.done
        fit = tmp_path / "000000/fit"
        assert (fit / "ri_ovlp.out").exists()
        assert (fit / "ri_ovlp.npy").exists()
        assert judge(fit, "fit").state == "done"

    def test_a_fit_of_a_density_that_did_not_converge_is_not_used(
        self, tmp_path: Path, settings: AimsSettings, command_line: str
    ) -> None:
        set_up([WATER], tmp_path, settings)
        run_all(tmp_path, STEPS, command=command_line)
        output = tmp_path / "000000/scf/aims.out"
        text = output.read_text()
        for wrong in (
            text.replace("Self-consistency cycle converged.", ""),
            text.replace("Have a nice day.", ""),
        ):
            output.write_text(wrong)
            assert judge(tmp_path / "000000/fit", "fit").state == "failed"
        output.write_text(text)
        assert judge(tmp_path / "000000/fit", "fit").state == "done"

    def test_a_command_that_does_not_exist(self, tmp_path: Path, settings: AimsSettings) -> None:
        set_up([WATER], tmp_path, settings)
        (outcome,) = run_all(tmp_path, STEPS, command="no-such-program")
        assert "cannot be run" in outcome.reason
        with pytest.raises(ValueError, match="leave redirections out"):
            run_all(tmp_path, STEPS, command="aims.x > aims.out")
        with pytest.raises(FileNotFoundError, match="no runs"):
            run_all(tmp_path / "empty", STEPS, command="aims.x")

    @pytest.mark.slow
    def test_a_directory_never_has_two_runs(
        self,
        tmp_path: Path,
        settings: AimsSettings,
        command_line: str,
        behave: Callable[..., None],
    ) -> None:
        """Also not if the first run's parent was killed, while FHI-aims goes on."""
        behave(fail="hang")
        set_up([WATER], tmp_path, settings)
        script = (
            "import sys; from ase_rholearn.aims.run import run_all; "
            "run_all(sys.argv[1], ('scf',), command=sys.argv[2])"
        )
        parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), command_line])
        output = tmp_path / "000000/scf/aims.out"
        for _ in range(600):
            if output.exists() and "FHI-aims version" in output.read_text():
                break
            time.sleep(0.1)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        (outcome,) = run_all(tmp_path, ("scf",), command=command_line)
        assert outcome.reason == "scf: it is running elsewhere"
        child = next(
            int(p.name)
            for p in Path("/proc").glob("[0-9]*")
            if _working_directory(p) == str(output.parent)
        )
        os.kill(child, signal.SIGKILL)
        for _ in range(100):
            (outcome,) = run_all(tmp_path, ("scf",), command=command_line)
            if outcome.done:
                break
            time.sleep(0.1)
        assert outcome.done


def _working_directory(process: Path) -> str:
    try:
        return os.readlink(process / "cwd")
    except OSError:
        return ""


_SHELL = """#!/bin/sh
# a file says how the first run of a directory fails
echo x >> count
if [ -e fails ] && [ ! -e failed ]; then
  : > failed
  read -r how < fails
  case $how in
    exit) exit 3;;
    kill) kill -9 $$;;
    truncate) head -n 20 "{template}"; exit 0;;
  esac
fi
: > D_spin_01_kpt_000001.csc
cat "{template}"
"""

_REASONS = {
    "exit": "scf: it ended with status 3",
    "kill": "scf: it was ended by signal SIGKILL",
    "truncate": 'scf: aims.out does not end with "Have a nice day."',
}


@pytest.mark.parametrize("number", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_nothing_is_lost_or_done_twice(
    tmp_path: Path,
    settings: AimsSettings,
    command_line: str,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """Many directories; the first runs of some, by chance, fail in different ways."""
    # no power is lost here, and waiting for the disk takes longer than all runs
    monkeypatch.setattr(os, "fsync", lambda _: None)
    root = tmp_path / "runs"
    set_up([Atoms("H", positions=[[0, 0, 0]])], tmp_path / "one", settings, ("scf",))
    run_all(tmp_path / "one", ("scf",), command=command_line)
    template = tmp_path / "aims.out"
    shutil.copy(tmp_path / "one/000000/scf/aims.out", template)
    program = tmp_path / "aims.x"
    program.write_text(_SHELL.replace("{template}", str(template)))
    program.chmod(0o755)
    folders = set_up(
        (Atoms("H", positions=[[0, 0, 0.001 * k]]) for k in range(number)),
        root,
        settings,
        ("scf",),
    )
    how = np.random.default_rng(0).choice(["", "", "", *_REASONS], size=number)
    for folder, failure in zip(folders, how, strict=True):
        if failure:
            (folder / "scf/fails").write_text(f"{failure}\n")
    failing = int(np.sum(how != ""))
    assert 0 < failing < number
    with ThreadPoolExecutor(2) as executor:
        first = run_all(root, ("scf",), executor, command=str(program))
        second = run_all(root, ("scf",), executor, command=str(program))
    assert [o.structure for o in first] == [folder.absolute() for folder in folders]
    assert [o.reason for o in first] == [_REASONS.get(failure, "") for failure in how]
    assert all(outcome.done for outcome in second)
    assert len(second) == number
    runs = Counter(len((folder / "scf/count").read_text().splitlines()) for folder in folders)
    assert runs == {1: number - failing, 2: failing}
    assert Counter(v.state for v in status(root, ("scf",))) == {"done": number}


def test_other_machines_can_be_told_what_to_run(tmp_path: Path) -> None:
    call = partial(run_structure, tmp_path, STEPS, ("aims.x",), 10.0)
    assert pickle.loads(pickle.dumps(call)).args == call.args


class TestSetUp:
    def test_charge_grid_and_labels(self, tmp_path: Path, settings: AimsSettings) -> None:
        charged = WATER.copy()
        charged.info["charge"] = 1
        labelled = METHANE.copy()
        labelled.set_array("aims_species", np.array(["C_1", "H", "H", "H", "H"]))
        folders = set_up([charged, bulk("Si"), labelled], tmp_path, settings)
        control = [(folder / "fit/control.in").read_text().split() for folder in folders]
        assert control[0][control[0].index("charge") + 1] == "1"
        assert "k_grid" not in control[0]
        where = control[1].index("k_grid")
        assert control[1][where + 1 : where + 4] == ["3", "3", "3"]
        assert "C_1" in (folders[2] / "fit/geometry.in").read_text()
        assert control[2][control[2].index("species") + 1] == "C_1"

    def test_periodic_structures_need_a_grid_and_three_vectors(
        self, tmp_path: Path, species: Path
    ) -> None:
        plain = AimsSettings(species_directory=species)
        with pytest.raises(ValueError, match="structure 0: Si2 is periodic: give k_den"):
            set_up([bulk("Si")], tmp_path, plain)
        slab = Atoms("Si", cell=[3, 3, 0], pbc=[True, True, False])
        with pytest.raises(ValueError, match="give slabs and wires vacuum"):
            set_up([slab], tmp_path, replace(plain, k_density=2.0))
        slab.cell[2, 2] = 20
        (folder,) = set_up([slab], tmp_path, replace(plain, k_density=2.0))
        assert "5 5 1" in (folder / "scf/control.in").read_text()

    def test_another_structure_or_other_settings_are_refused(
        self, tmp_path: Path, settings: AimsSettings, command_line: str
    ) -> None:
        set_up([WATER], tmp_path, settings)
        set_up([WATER], tmp_path, replace(settings, product_accuracy=1e-4))
        with pytest.raises(ValueError, match="of another structure than CH4"):
            set_up([METHANE], tmp_path, settings)
        orbital = replace(settings, quantity="ildos", experimental=True)
        set_up([WATER], tmp_path, orbital)
        narrow = replace(orbital, window=EnergyWindow(-1.0, 0.0))
        (folder,) = set_up([WATER], tmp_path, narrow)
        assert json.loads((folder / "fit/quantity.json").read_text())["window"]["low"] == -1.0
        shutil.rmtree(folder)
        set_up([WATER], tmp_path, settings)
        run_all(tmp_path, STEPS, command=command_line)
        with pytest.raises(ValueError, match="results of other settings"):
            set_up([WATER], tmp_path, replace(settings, product_accuracy=1e-4))

    def test_fit_and_rebuild_have_one_basis(self, tmp_path: Path, settings: AimsSettings) -> None:
        (folder,) = set_up([WATER], tmp_path, settings, ("fit", "rebuild"))
        check_same_basis(folder / "fit", folder / "rebuild")
        control = folder / "rebuild/control.in"
        control.write_text(control.read_text().replace("1e-05", "1e-04"))
        with pytest.raises(ValueError, match=r"default_prodbas_acc is 1e-05 and 0\.0001"):
            check_same_basis(folder / "fit", folder / "rebuild")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"keywords": {"relativistic": "none"}}, "no xc"),
            ({"keywords": {"xc": "pbe", "k_grid": "1 1 1"}}, "k_density or k_grid .* decides"),
            ({"keywords": {"xc": "pbe", "relax_geometry": "trm 1e-2"}}, "must not move"),
            ({"fit": {"wave_threshold": 1e-8}}, "the same in all steps"),
            ({"keywords": {"xc": "pbe", "spin": "collinear"}}, "experimental=True"),
            ({"masked": ("C_1",)}, "experimental=True"),
            ({"quantity": "homo"}, "experimental=True"),
            ({"product_accuracy": 0.0}, "product_accuracy is 0.0"),
            ({"k_grid": (1, 1, 1)}, "both given"),
        ],
    )
    def test_settings_that_cannot_be(
        self, settings: AimsSettings, changes: dict[str, object], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            replace(settings, **changes)  # type: ignore[arg-type]

    def test_species_defaults(
        self, tmp_path: Path, settings: AimsSettings, monkeypatch: pytest.MonkeyPatch, species: Path
    ) -> None:
        unknown = replace(settings, species_directory=None)
        monkeypatch.delenv("AIMS_SPECIES_DIR", raising=False)
        with pytest.raises(FileNotFoundError, match="AIMS_SPECIES_DIR"):
            set_up([WATER], tmp_path, unknown)
        monkeypatch.setenv("AIMS_SPECIES_DIR", "nowhere")
        with pytest.raises(FileNotFoundError, match="AIMS_SPECIES_DIR is nowhere: there is no"):
            set_up([WATER], tmp_path, unknown)
        monkeypatch.setenv("AIMS_SPECIES_DIR", str(species))
        set_up([WATER], tmp_path, unknown)
        with pytest.raises(FileNotFoundError, match=r"07_N_default"):
            set_up([molecule("N2")], tmp_path / "other", settings)
