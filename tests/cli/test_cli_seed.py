"""The command that writes what other programs start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from pyscf import lib
from pyscf.scf import chkfile


@pytest.fixture
def water(tmp_path: Path) -> Path:
    write(tmp_path / "water.xyz", molecule("H2O"))
    return tmp_path / "water.xyz"


def test_checkpoint(water: Path, command: Any, tmp_path: Path) -> None:
    path = tmp_path / "start.chk"
    status, out, err = command("seed", "pyscf", water, "-o", path)
    assert (status, err) == (0, "")
    assert out == f'wrote {path}: mf.kernel(mf.from_chk("{path}")) starts from it\n'
    mol, found = chkfile.load_scf(str(path))
    assert mol.nelectron == 10
    assert found["mo_occ"].sum() == 10


def test_open_shells_and_hartree_fock(water: Path, command: Any, tmp_path: Path) -> None:
    path = tmp_path / "cation.chk"
    options = ("--charge", "1", "--spin", "1", "--xc", "HF", "--basis", "sto-3g")
    status, _, err = command("seed", "pyscf", water, "-o", path, *options)
    assert (status, err) == (0, "")
    occupations = lib.chkfile.load(str(path), "scf/mo_occ")
    np.testing.assert_array_equal(occupations.sum(axis=1), [5, 4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--spin", "1"), "H2O with charge 0 has 10 electrons, of which spin says that 1 are"),
        (("--basis", "nonsense"), "nonsense"),
        (("--xc", "PBEE"), "PBEE"),
        (("--model", "nothing.pt"), "nothing.pt"),
        (("-o", "no/such/folder.chk"), "there is no folder"),
    ],
)
def test_mistakes(water: Path, command: Any, options: tuple[str, ...], message: str) -> None:
    status, _, err = command("seed", "pyscf", water, *options)
    assert status == 1
    assert message in err
    assert len(err.splitlines()) == 1
