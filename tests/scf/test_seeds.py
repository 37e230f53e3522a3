"""Files that VASP and CP2K start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_rholearn.basis import Basis
from ase_rholearn.density import Density
from ase_rholearn.density.files import read_chgcar, read_cube
from ase_rholearn.scf import (
    potcar_charges,
    valence_charges,
    write_cp2k_start,
    write_vasp_start,
)

#: What matters of a POTCAR; the numbers between are VASP's, and not for us to pass on.
POTCAR = """\
  PAW_PBE Na_pv 19Sep2006
   VRHFIN =Na: p6s1
   POMASS =   22.990; ZVAL   =    7.000    mass and valenz
 End of Dataset
  PAW_PBE Cl 06Sep2000
   VRHFIN =Cl: s2p5
   POMASS =   35.453; ZVAL   =    7.000    mass and valenz
 End of Dataset
"""


@pytest.fixture
def potcar(tmp_path: Path) -> Path:
    path = tmp_path / "POTCAR"
    path.write_text(POTCAR)
    return path


@pytest.fixture
def salt() -> Atoms:
    return bulk("NaCl", "rocksalt", a=5.64)


def density(atoms: Atoms, cores: dict[int, float]) -> Density:
    """Gaussians with the right number of electrons; all of them without core charges."""
    shells = {"Na": [(0, [0.5]), (1, [0.4])], "Cl": [(0, [0.4]), (0, [0.9])]}
    basis = Basis.from_shells(
        shells, kind="valence" if cores else "all-electron", core_charges=cores
    )
    random = np.random.default_rng(0).normal(scale=0.1, size=basis.size(atoms.numbers))
    return Density(atoms, basis, random)


def test_chgcar(salt: Atoms, potcar: Path, tmp_path: Path) -> None:
    rho = density(salt, {11: 7.0, 17: 7.0})
    electrons = write_vasp_start(tmp_path / "CHGCAR", rho, (20, 20, 24), potcar)
    assert electrons == pytest.approx(14, abs=1e-3)
    atoms, grid = read_chgcar(tmp_path / "CHGCAR")
    assert grid.shape == (20, 20, 24)
    assert atoms.symbols.get_chemical_formula() == "ClNa"
    np.testing.assert_allclose(grid.values, rho.on_grid(shape=(20, 20, 24)).values, atol=1e-9)
    again = write_vasp_start(tmp_path / "other", rho, (20, 20, 24), {"Na": 7, "Cl": 7})
    assert again == electrons
    assert (tmp_path / "other").read_bytes() == (tmp_path / "CHGCAR").read_bytes()


def test_electrons_of_the_potcar_and_of_the_density(
    salt: Atoms, potcar: Path, tmp_path: Path
) -> None:
    """Both counts are in the message, and nothing is written."""
    target = tmp_path / "CHGCAR"
    other = density(salt, {11: 9.0, 17: 7.0})
    with pytest.raises(
        ValueError,
        match=r"valence with 16 electrons \(Na 9, Cl 7\), but .* VASP expect 14 \(Na 7, Cl 7\)",
    ):
        write_vasp_start(target, other, (20, 20, 20), potcar)
    with pytest.raises(
        ValueError, match=r"all-electron with 28 electrons \(Na 11, Cl 17\), but .* expect 14"
    ):
        write_vasp_start(target, density(salt, {}), (20, 20, 20), potcar)
    # as many in all, but not on each atom
    swapped = density(salt, {11: 9.0, 17: 5.0})
    with pytest.raises(ValueError, match=r"14 electrons \(Na 9, Cl 5\), .* 14 \(Na 7, Cl 7\)"):
        write_vasp_start(target, swapped, (20, 20, 20), potcar)
    with pytest.raises(ValueError, match="no number of valence electrons for Cl: give those of"):
        write_vasp_start(target, other, (20, 20, 20), {"Na": 9})
    right = {11: 7.0, 17: 7.0}
    with pytest.raises(ValueError, match="the atoms come as Cl Na, the POTCAR has Na Cl"):
        write_vasp_start(target, density(salt[::-1], right), (20, 20, 20), potcar)
    molecule = salt.copy()
    molecule.pbc = False
    with pytest.raises(ValueError, match="VASP's grid spans its cell"):
        write_vasp_start(target, density(molecule, right), (20, 20, 20), potcar)
    assert not target.exists()


def test_potcars(potcar: Path, tmp_path: Path) -> None:
    assert potcar_charges(potcar) == {"Na": 7.0, "Cl": 7.0}
    with pytest.raises(FileNotFoundError, match="there is no file"):
        potcar_charges(tmp_path / "nothing")
    (tmp_path / "INCAR").write_text("ENCUT = 400\n")
    with pytest.raises(ValueError, match=r"INCAR is no POTCAR: it has 0 entries VRHFIN"):
        potcar_charges(tmp_path / "INCAR")
    potcar.write_text(POTCAR + POTCAR.replace("7.000", "1.000"))
    with pytest.raises(ValueError, match="has ZVAL 7 and 1 for Na"):
        potcar_charges(potcar)


def test_cube_and_input_of_cp2k(salt: Atoms, tmp_path: Path) -> None:
    rho = density(salt, {11: 9.0, 17: 7.0})
    path = tmp_path / "salt.cube"
    potentials = {"Na": "GTH-PBE-q9", "Cl": "7"}
    electrons = write_cp2k_start(path, rho, (24, 24, 24), potentials)
    assert electrons == pytest.approx(16, abs=1e-3)
    atoms, grid = read_cube(path)
    assert grid.shape == (24, 24, 24)
    np.testing.assert_array_equal(atoms.numbers, salt.numbers)
    lines = [line.split() for line in (tmp_path / "salt.inp").read_text().splitlines()]
    assert ["SCF_GUESS", "EXTERNAL_DENSITY"] in lines
    assert ["EXTERNAL_DENSITY_FILE_NAME", "salt.cube"] in lines
    assert ["POTENTIAL", "GTH-PBE-q9"] in lines
    assert sum(line[:1] == ["POTENTIAL"] for line in lines) == 1
    # what is opened is closed, in order
    opened: list[str] = []
    for line in lines:
        if line[0] == "&END":
            assert opened.pop() == line[1]
        elif line[0].startswith("&"):
            opened.append(line[0][1:])
    assert not opened
    vectors = [line[1:] for line in lines if line[0] in "ABC"]
    np.testing.assert_allclose(np.array(vectors, dtype=float), salt.cell.array, atol=1e-9)


def test_electrons_of_gth_potentials(salt: Atoms, tmp_path: Path) -> None:
    assert valence_charges({"Na": "GTH-PBE-q9", "Cl": 7}) == {"Na": 9.0, "Cl": 7.0}
    for wrong, message in (
        ({"Xx": 4}, "'Xx' is not a chemical symbol"),
        ({"Si": "GTH-PBE"}, "Si has 'GTH-PBE', which does not say how many"),
        ({"H": "GTH-PBE-q4"}, "H has 'GTH-PBE-q4'"),
    ):
        with pytest.raises(ValueError, match=message):
            valence_charges(wrong)
    rho = density(salt, {11: 9.0, 17: 7.0})
    with pytest.raises(ValueError, match=r"with 16 .* CP2K expect 8 \(Na 1, Cl 7\)"):
        write_cp2k_start(
            tmp_path / "x.cube", rho, (24, 24, 24), {"Na": "GTH-PBE-q1", "Cl": "GTH-PBE-q7"}
        )
    assert list(tmp_path.iterdir()) == []
