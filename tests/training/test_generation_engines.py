"""The same data set from every engine, and after any number of kills."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.io import write

from ase_rholearn.basis import Basis
from ase_rholearn.references.pyscf import KohnSham, PySCF
from ase_rholearn.training import DataSet
from ase_rholearn.training.generation import Progress, Workers, generate

CODE = PySCF(
    Basis.from_shells({"H": [(0, [2.0, 0.5])], "He": [(0, [3.0, 0.8])]}),
    KohnSham("LDA,VWN", "sto-3g", grid_level=0, forces=False),
)


def partition() -> str:
    """One of SLURM's, if there is any."""
    if shutil.which("sinfo") is None:
        return ""
    listed = subprocess.run(
        ["sinfo", "-h", "-o", "%R"], capture_output=True, text=True, check=False
    )
    return (listed.stdout.split() or [""])[0]


PARTITION = partition()


def small_structures(count: int) -> list[Atoms]:
    """H2 of many lengths; every seventh is one atom, which fails."""
    return [
        Atoms("H", [[0, 0, k]]) if k % 7 == 3 else Atoms("H2", [[0, 0, 0], [0, 0, 0.6 + 0.002 * k]])
        for k in range(count)
    ]


def assert_same_sets(first: DataSet, second: DataSet) -> None:
    assert first.ids == second.ids
    assert first.failures() == second.failures()
    for name in first.ids:
        a, b = first.load(name), second.load(name)
        assert a.atoms == b.atoms
        assert a.converged is b.converged is True
        np.testing.assert_allclose(a.coefficients, b.coefficients, rtol=0, atol=1e-7)
        assert a.energy == pytest.approx(b.energy, abs=1e-8)
        np.testing.assert_allclose(a.dipole, b.dipole, rtol=0, atol=1e-7)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    made = DataSet.create(tmp_path_factory.mktemp("u"), CODE.basis, CODE.settings())
    assert generate(small_structures(14), made, CODE, Workers(count=2)) == Progress(12, 2, 14)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "workers"),
    [
        ("executorlib", Workers("executorlib", count=2)),
        pytest.param(
            "pysqa",
            Workers("executorlib", 2, backend="slurm-cluster", resources={"partition": PARTITION}),
            marks=pytest.mark.skipif(not PARTITION, reason="there is no SLURM"),
        ),
        ("distributed", Workers("dask", count=2)),
        ("parsl", Workers("parsl", count=2)),
    ],
)
# these packages leave sockets and loops to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_engines_give_the_same_set(
    tmp_path: Path,
    undisturbed: DataSet,
    package: str,
    workers: Workers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    made = DataSet.create(tmp_path / "set", CODE.basis, CODE.settings())
    assert generate(small_structures(14), made, CODE, workers) == Progress(12, 2, 14)
    assert_same_sets(made, undisturbed)
    gc.collect()  # as long as the warnings above are ignored


def start(options: Path) -> subprocess.Popen[bytes]:
    command = "from ase_rholearn.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", command, "generate", str(options)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Ten times kill -9 during 200 structures, each at another moment."""
    write(tmp_path / "molecules.xyz", small_structures(200))
    plan = {
        "structures": "molecules.xyz",
        "kohn_sham": {
            "xc": "LDA,VWN",
            "orbital_basis": "sto-3g",
            "grid_level": 0,
            "forces": False,
        },
        "basis": {"name": "def2-universal-jfit", "deformation": False},
        "workers": {"count": 2},
    }
    for name in ("whole", "killed"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**plan, "dataset": name}))
    random = np.random.default_rng(0)
    for goal in np.linspace(8, 150, 10):
        with start(tmp_path / "killed.yaml") as process:
            while len(known(tmp_path / "killed")) < goal and process.poll() is None:
                time.sleep(0.01)
            time.sleep(random.uniform(0, 0.1))
            os.kill(process.pid, signal.SIGKILL)
    assert 150 <= len(known(tmp_path / "killed")) < 200
    for name in ("killed", "whole"):
        with start(tmp_path / f"{name}.yaml") as process:
            _, errors = process.communicate()
            assert process.returncode == 1, errors.decode()  # some structures have failed
    killed, whole = DataSet.open(tmp_path / "killed"), DataSet.open(tmp_path / "whole")
    assert len(whole) == 171
    assert len(whole.failures()) == 29
    assert not killed.unpacked
    assert sum(len(shard) for shard in killed.shards) == len(killed)
    assert_same_sets(killed, whole)


def known(folder: Path) -> set[str]:
    """What is on disk at a moment, packed or not."""
    try:
        made = DataSet.open(folder)
    except FileNotFoundError:
        return set()
    return {*made.ids, *made.failures()}
