"""Where grids lie, and how much memory they take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from ase_rholearn import Basis, Density
from ase_rholearn.density import Grid


def test_box_around_a_molecule(water_density: Density) -> None:
    grid = water_density.on_grid(spacing=0.3, margin=1.5)
    low, high = water_density.atoms.positions.min(axis=0), water_density.atoms.positions.max(axis=0)
    np.testing.assert_allclose(grid.origin, low - 1.5)
    points = grid.points().reshape(-1, 3)
    assert (points.max(axis=0) >= high + 1.5 - 0.3).all()
    np.testing.assert_allclose(grid.cell, np.diag(0.3 * np.array(grid.shape)), atol=1e-12)


def test_voxel_convention_of_a_crystal(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    cell = np.array([[3.0, 0, 0], [1.0, 3.0, 0], [0, 0.5, 4.0]])
    density = random_density(Atoms("O", cell=cell, pbc=True), small_basis)
    grid = density.on_grid(spacing=0.5)
    np.testing.assert_array_equal(grid.cell, cell)
    np.testing.assert_array_equal(grid.origin, np.zeros(3))
    assert grid.shape == (6, 7, 9)  # ceil of 3.00, 3.16 and 4.03 over 0.5
    i, j, k = 2, 3, 4
    expected = i / 6 * cell[0] + j / 7 * cell[1] + k / 9 * cell[2]
    np.testing.assert_allclose(grid.points()[i, j, k], expected)
    assert grid.voxel_volume == pytest.approx(np.linalg.det(cell) / (6 * 7 * 9))
    assert grid.integral == pytest.approx(grid.values.sum() * grid.voxel_volume)


def test_slab_has_its_margin_along_the_open_direction(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    atoms = Atoms("OH", [[1, 1, 5.0], [1, 1, 6.0]], cell=[3, 3, 0], pbc=(True, True, False))
    grid = random_density(atoms, small_basis).on_grid(0.5, margin=2.0)
    np.testing.assert_allclose(grid.origin, [0, 0, 3.0], atol=1e-12)
    np.testing.assert_allclose(grid.cell, np.diag([3.0, 3.0, 5.0]), atol=1e-12)


def test_shape_instead_of_spacing(water_density: Density) -> None:
    grid = water_density.on_grid(shape=(5, 6, 7))
    assert grid.shape == (5, 6, 7)


def test_spacing_that_divides_the_cell_gains_no_point(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    density = random_density(Atoms("H", cell=[3.0, 2.1, 2.4], pbc=True), small_basis)
    assert density.on_grid(0.3).shape == (10, 7, 8)


def test_on_frame_of_another_structure(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """A frame that is neither along the axes nor one period long."""
    density = random_density(molecule("H2O"), small_basis)
    cell = np.array([[2.0, 0.3, 0], [0, 2.0, 0], [0.1, 0, 3.0]])
    frame = Grid(np.zeros((4, 5, 6)), np.array([-1.0, -1.0, -1.0]), cell)
    values = density.on_frame(frame).values
    expected = density.evaluate(frame.points().reshape(-1, 3)).reshape(4, 5, 6)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    atoms = Atoms("O", cell=[2.5, 2.5, 2.5], pbc=True)
    crystal = random_density(atoms, small_basis)
    straight = Grid(np.zeros((4, 5, 6)), np.zeros(3), np.diag([4.0, 2.5, 1.0]))
    expected = crystal.evaluate(straight.points().reshape(-1, 3)).reshape(4, 5, 6)
    np.testing.assert_allclose(crystal.on_frame(straight).values, expected, atol=1e-12)


@pytest.mark.parametrize("spacing", [0.0, -0.1, float("nan"), float("inf")])
def test_bad_spacing(water_density: Density, spacing: float) -> None:
    with pytest.raises(ValueError, match=f"spacing is {spacing}: give a positive distance in"):
        water_density.on_grid(spacing)


@pytest.mark.parametrize("margin", [-1.0, float("nan")])
def test_bad_margin(water_density: Density, margin: float) -> None:
    with pytest.raises(ValueError, match=f"margin is {margin}: give a distance in Angstrom"):
        water_density.on_grid(margin=margin)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4), (4, -1, 4)])
def test_bad_shape(water_density: Density, shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"shape is \(.*\): give three positive numbers"):
        water_density.on_grid(shape=shape)


# memory ------------------------------------------------------------------------------------

MEMORY_SCRIPT = """
import resource, sys
import numpy as np
from ase.io import read
from ase_rholearn import Density
from ase_rholearn.basis import Basis

atoms = read(sys.argv[1])
with open(sys.argv[2]) as stream:
    basis = Basis.from_json(stream.read())
coefficients = np.random.default_rng(0).normal(0, 0.1, basis.size(atoms.numbers))
grid = Density(atoms, basis, coefficients).on_grid(shape=(100, 100, 100))
assert np.isfinite(grid.values).all()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("shear", [0.0, 1.0], ids=["orthorhombic", "monoclinic"])
def test_a_million_points_of_64_waters_fit_into_2_gigabytes(
    shear: float, water_box: Atoms, basis: Basis, tmp_path: Path
) -> None:
    water_box.cell[1, 0] = shear
    water_box.write(tmp_path / "box.xyz", format="extxyz")
    (tmp_path / "basis.json").write_text(basis.to_json())
    finished = subprocess.run(
        [sys.executable, "-c", MEMORY_SCRIPT, tmp_path / "box.xyz", tmp_path / "basis.json"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) < 2 * 1024**2  # kilobytes
