"""VASP's CHGCAR files, as ASE writes them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.vasp import VaspChargeDensity

from ase_rholearn import Basis, Density
from ase_rholearn.density import Grid
from ase_rholearn.density.files.chgcar import looks_like_chgcar, read_chgcar

CELL = np.array([[3.0, 0, 0], [1.0, 3.0, 0], [0.2, 0.5, 4.0]])


@pytest.fixture
def crystal(small_basis: Basis, random_density: Callable[..., Density]) -> Density:
    atoms = Atoms("OH", [[0, 0, 0], [0.7, 0.6, -0.2]], cell=CELL, pbc=True)
    return random_density(atoms, small_basis)


@pytest.fixture
def grid(crystal: Density) -> Grid:
    """Three different numbers of points, none of them a multiple of a line's five."""
    return crystal.on_grid(shape=(7, 8, 11))


def write(path: Path, atoms: Atoms, grid: Grid) -> Path:
    """A file of ASE."""
    file = VaspChargeDensity(filename=None)
    file.atoms, file.chg = [atoms], [grid.values]
    file.write(str(path), format="chgcar")
    return path


def test_a_file_that_ase_wrote(crystal: Density, grid: Grid, tmp_path: Path) -> None:
    path = write(tmp_path / "CHGCAR", crystal.atoms, grid)
    assert looks_like_chgcar(path)
    atoms, back = read_chgcar(path)
    np.testing.assert_allclose(back.values, grid.values, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(back.cell, CELL, atol=1e-6)
    np.testing.assert_array_equal(atoms.numbers, crystal.atoms.numbers)
    assert atoms.pbc.all()
    # positions are fractional, and may be another image
    moved = np.linalg.solve(CELL.T, (atoms.positions - crystal.atoms.positions).T)
    np.testing.assert_allclose(moved, np.round(moved), atol=1e-8)


def test_augmentation_and_spin_are_left_alone(crystal: Density, grid: Grid, tmp_path: Path) -> None:
    path = write(tmp_path / "CHGCAR", crystal.atoms, grid)
    text = path.read_text()
    spin = "  7 8 11\n" + " 9.0 9.0 9.0 9.0 9.0\n" * 124
    path.write_text(f"{text.rstrip()}\naugmentation occupancies   1  2\n 0.1 0.2\n 1.0 2.0\n{spin}")
    np.testing.assert_allclose(read_chgcar(path)[1].values, grid.values, rtol=1e-9, atol=1e-11)


def test_ten_values_a_line_and_long_exponents(tmp_path: Path) -> None:
    head = "H\n 2.0\n 1 0 0\n 0 1 0\n 0 0 1\n H\n 1\nDirect\n 0 0 0\n\n"
    values = " 8.0 16.0 .24E+02 0.1-101 0.8E+01 8. 8. 8. 8. 8.\n 8. 80.0\n"
    path = tmp_path / "CHG"
    path.write_text(f"{head} 2 2 3\n{values}")
    _, grid = read_chgcar(path)
    # the volume is 8; x runs fastest
    np.testing.assert_allclose(grid.values[:, :, 0], [[1.0, 3.0], [2.0, 0.0]], atol=1e-90)
    assert grid.values[1, 1, 2] == pytest.approx(10.0)


def test_truncated_and_foreign_files(crystal: Density, grid: Grid, tmp_path: Path) -> None:
    lines = write(tmp_path / "CHGCAR", crystal.atoms, grid).read_text().splitlines(True)
    bad = tmp_path / "bad"
    for kept in (0, 3, 5, 7, 9, 11, 12, 60, len(lines) - 3):
        bad.write_text("".join(lines[:kept]))
        with pytest.raises(ValueError, match="bad is not a CHGCAR"):
            read_chgcar(bad)
    damaged = list(lines)
    damaged[30] = " ******** 0.1 0.2 0.3 0.4\n"
    bad.write_text("".join(damaged))
    with pytest.raises(ValueError, match="asterisks"):
        read_chgcar(bad)
    damaged[30] = " 0.1 0.2 0.3 0.4\n"
    bad.write_text("".join(damaged))
    with pytest.raises(ValueError, match="615 values were found where 616"):
        read_chgcar(bad)
    bad.write_bytes(b"\xff\xfe\x00binary")
    assert not looks_like_chgcar(bad)
    with pytest.raises(ValueError, match="does not start with a comment, a scale"):
        read_chgcar(bad)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_chgcar(tmp_path / "nothing")
