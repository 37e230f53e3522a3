"""The command that writes what other programs start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write
from pyscf import lib
from pyscf.scf import chkfile

from ase_rholearn import Density
from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    ModelCard,
    NeighborDensity,
    NetworkOptions,
    build_network,
    export_model,
)


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


@pytest.fixture
def salt(tmp_path: Path) -> Path:
    """A valence density of rock salt, in a file."""
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    shells = {"Na": [(0, [0.5])], "Cl": [(0, [0.4])]}
    basis = Basis.from_shells(shells, kind="valence", core_charges={11: 9.0, 17: 7.0})
    Density(atoms, basis, [4.0, 4.0]).write(tmp_path / "salt.npz")
    return tmp_path / "salt.npz"


def test_cp2k_starts(salt: Path, command: Any, tmp_path: Path) -> None:
    options = ("--valence", "Na=GTH-PBE-q9", "--valence", "Cl=7", "--shape", "20", "20", "20")
    path = tmp_path / "start.cube"
    status, out, err = command("seed", "cp2k", salt, *options, "-o", path)
    assert (status, err) == (0, "")
    assert out.startswith(f"wrote {path} (16.0")
    assert path.exists()
    assert "POTENTIAL GTH-PBE-q9" in (tmp_path / "start.inp").read_text()


def test_vasp_starts(salt: Path, command: Any, tmp_path: Path) -> None:
    options = ("--shape", "20", "20", "24", "-o", tmp_path / "CHGCAR")
    status, out, err = command(
        "seed", "vasp", salt, *options, "--valence", "Na=9", "--valence", "Cl=7"
    )
    assert (status, err) == (0, "")
    assert out.endswith("ICHARG = 1, NGXF = 20, NGYF = 20, NGZF = 24\n")
    assert (tmp_path / "CHGCAR").exists()


@pytest.mark.parametrize(
    ("code", "options", "message"),
    [
        ("vasp", ("--valence", "Na=1", "--valence", "Cl=7"), "16 electrons (Na 9, Cl 7), but the"),
        ("vasp", (), "no number of valence electrons for Cl, Na"),
        ("vasp", ("--potcar", "nothing"), "there is no file nothing"),
        ("vasp", ("--potcar", "a", "--valence", "Na=1"), "give one of them"),
        ("cp2k", ("--valence", "Na"), "--valence is 'Na': give such as Si=4"),
        ("cp2k", ("--valence", "Na=q", "--valence", "Cl=7"), "does not say how many valence"),
        ("cp2k", ("-o", "start.txt"), "give a name that ends in .cube"),
    ],
)
def test_mistakes_of_valence(
    salt: Path, command: Any, code: str, options: tuple[str, ...], message: str
) -> None:
    status, _, err = command("seed", code, salt, "--shape", "20", "20", "20", *options)
    assert status == 1
    assert message in err
    assert len(err.splitlines()) == 1


def test_model_of_valence_densities(command: Any, tmp_path: Path) -> None:
    """A structure and a model: what the density says of its electrons comes with the file."""
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    write(tmp_path / "salt.cif", atoms)
    shells = {"Na": [(0, [0.5])], "Cl": [(0, [0.4])]}
    basis = Basis.from_shells(shells, kind="valence", core_charges={11: 9.0, 17: 7.0})
    expansion = NeighborDensity(cutoff=3.0, max_angular=1, max_radial=2)
    options = NetworkOptions(expansion, tensors=0, invariants=2, gates=2, linear=True)
    card = ModelCard(name="salt", charges=(0,))
    export_model(build_network(options, basis), basis, card, tmp_path / "salt.pt")
    given = (
        "--model",
        tmp_path / "salt.pt",
        "--shape",
        "20",
        "20",
        "20",
        "-o",
        tmp_path / "x.cube",
    )
    potentials = ("--valence", "Na=GTH-PBE-q9", "--valence", "Cl=GTH-PBE-q7")
    status, out, _ = command("seed", "cp2k", tmp_path / "salt.cif", *given, *potentials)
    assert status == 0
    assert "(16.0" in out
    status, _, err = command(
        "seed", "cp2k", tmp_path / "salt.cif", *given, "--valence", "Na=1", "--valence", "Cl=7"
    )
    assert status == 1
    assert "16 electrons (Na 9, Cl 7)" in err
    assert "expect 8 (Na 1, Cl 7)" in err


def test_the_shipped_model_is_all_electron(water: Path, command: Any) -> None:
    """Both electron counts are said."""
    options = ("--shape", "20", "20", "20", "--valence", "O=6", "--valence", "H=1")
    status, _, err = command("seed", "cp2k", water, *options)
    assert status == 1
    assert "all-electron with 10 electrons (O 8, H 1)" in err
    assert "CP2K expect 8 (O 6, H 1)" in err
