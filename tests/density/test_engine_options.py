"""Options of grids: precision, tolerance, averages over voxels, slabs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from reference_density import brute_force, voxel_means

from ase_rholearn import Basis, Density
from ase_rholearn.basis import from_pyscf
from ase_rholearn.density import Grid, grid_frame


@pytest.fixture
def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rotate(25, (1, 1, 3))
    return atoms


@pytest.fixture
def crystal_density(small_basis: Basis, random_density: Callable[..., Density]) -> Density:
    """Windows of its functions wrap around the cell, more than once."""
    atoms = Atoms("OHC", [[0.2, 0.1, 0.4], [1.3, 0.2, 0.6], [0.3, 1.2, 1.9]], pbc=True)
    atoms.cell = [3.1, 2.6, 4.0]
    return random_density(atoms, small_basis)


# tolerance and precision -------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8])
def test_tolerance_bounds_the_error(water_density: Density, tolerance: float) -> None:
    grid = water_density.on_grid(0.4, tolerance=tolerance)
    expected = brute_force(water_density, grid.points().reshape(-1, 3)).reshape(grid.shape)
    error = np.abs(grid.values - expected).max() * units.Bohr**3
    assert tolerance / 100 < error < 30 * tolerance


@pytest.mark.parametrize("shear", [0.0, 0.7], ids=["orthorhombic", "triclinic"])
def test_single_precision(
    shear: float, small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    atoms = Atoms("OH", [[0.2, 0.1, 0.4], [1.3, 0.2, 0.6]], cell=[3.1, 2.6, 4.0], pbc=True)
    atoms.cell[1, 0] = shear
    density = random_density(atoms, small_basis)
    double, single = (density.on_grid(0.3, dtype=dtype).values for dtype in (float, np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=0, atol=3e-6 * np.abs(double).max())


def test_single_precision_of_nothing(small_basis: Basis) -> None:
    atoms = Atoms("H", [[1.0, 1.0, 1.0]], cell=[4, 4, 4], pbc=True)
    tight = Basis.from_shells({"H": [(0, [5.0])]})
    empty = Density(atoms, tight, [0.0], normalize=False)
    assert empty.on_grid(1.0, dtype="float32").values.dtype == np.float32


# averages over voxels ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["def2-universal-jkfit", "recipe"])
def test_voxel_averages_keep_the_electrons(name: str, ethanol: Atoms, basis: Basis) -> None:
    """At 0.2 Angstrom, where point values miss parts of the cores."""
    used = basis if name == "recipe" else from_pyscf(name, ["H", "C", "O"])
    rng = np.random.default_rng(1)
    density = Density(ethanol, used, rng.normal(0, 0.05, used.size(ethanol.numbers)))
    counts = [
        density.on_grid(0.2, margin=5.0, tolerance=1e-8, core=core).integral
        for core in ("point", "voxel-average")
    ]
    assert abs(counts[0] - 26) > 2e-3
    assert counts[1] == pytest.approx(26, abs=1e-3)


def test_voxel_averages_equal_averages_over_a_finer_grid(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """Tight p, d and f functions too; the average is over the voxel around each point."""
    shells = {"O": [(0, [30.0]), (1, [9.0]), (2, [8.0]), (3, [7.0])]}
    tight = Basis.from_shells(shells)
    atoms = Atoms("O", [[0.31, 0.12, 0.43]], cell=[2.0, 2.2, 2.4], pbc=True)
    density = random_density(atoms, tight, scale=1.0)
    coarse = density.on_grid(shape=(5, 6, 7), core="voxel-average").values
    expected = voxel_means(density, (5, 6, 7), 24)
    np.testing.assert_allclose(coarse, expected, atol=4e-3 * np.abs(expected).max())


def test_voxel_averages_leave_smooth_functions_alone(
    random_density: Callable[..., Density], water: Atoms
) -> None:
    smooth = Basis.from_shells({"H": [(0, [0.5])], "O": [(0, [0.9]), (1, [0.6])]})
    density = random_density(water, smooth)
    grids = [density.on_grid(0.2, core=core).values for core in ("point", "voxel-average")]
    np.testing.assert_allclose(*grids, rtol=0, atol=1e-10)


# slabs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shear", [0.0, 0.7], ids=["orthorhombic", "triclinic"])
@pytest.mark.parametrize("memory", [1, 20_000, 2**28])
def test_slabs_make_up_the_grid(shear: float, memory: float, crystal_density: Density) -> None:
    atoms = crystal_density.atoms.copy()
    atoms.cell = np.array(atoms.cell)
    atoms.cell[1, 0] = shear
    density = Density(atoms, crystal_density.basis, crystal_density.raw_coefficients)
    grid = density.on_grid(0.3)
    pieces = list(density.iterate_grid(0.3, memory=memory))
    assert [i for rows, _ in pieces for i in rows] == list(range(grid.shape[0]))
    plane = grid.shape[1] * grid.shape[2] * 8
    assert all(values.nbytes <= max(memory, plane) for _, values in pieces)
    values = np.concatenate([values for _, values in pieces])
    np.testing.assert_allclose(values, grid.values, rtol=1e-11, atol=1e-10)


def test_slabs_of_a_molecule_with_options(water_density: Density) -> None:
    options = {"tolerance": 1e-7, "core": "voxel-average", "dtype": np.float32}
    grid = water_density.on_grid(0.2, **options)
    slabs = list(water_density.iterate_grid(0.2, memory=20_000, **options))
    assert len(slabs) > 5
    values = np.concatenate([values for _, values in slabs])
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, grid.values, atol=1e-4)


def test_a_frame_says_where_the_slabs_lie(water_density: Density) -> None:
    frame = grid_frame(water_density.atoms, 0.5, 2.0)
    grid = water_density.on_grid(0.5, 2.0)
    np.testing.assert_array_equal(frame.cell, grid.cell)
    rows, values = next(water_density.iterate_frame(frame, memory=1))
    assert rows == range(1)
    np.testing.assert_allclose(values, grid.values[:1], rtol=1e-11, atol=1e-12)


# errors ------------------------------------------------------------------------------------


def test_wrong_options(water_density: Density, crystal_density: Density) -> None:
    with pytest.raises(ValueError, match=r'core is \'mean\': give "point" or "voxel-average"'):
        water_density.on_grid(core="mean")
    with pytest.raises(ValueError, match=r"dtype is 'int8': give float64 or float32"):
        water_density.on_grid(dtype="int8")
    with pytest.raises(ValueError, match="memory is 0: give a positive number of bytes"):
        water_density.iterate_grid(memory=0)
    flat = Grid(np.zeros((2, 2, 1)), np.zeros(3), np.diag([1.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match='core is "voxel-average" but the voxels have no volume'):
        crystal_density.on_frame(flat, core="voxel-average")


# memory ------------------------------------------------------------------------------------

SCRIPT = """
import resource, sys
import numpy as np
from ase.io import read
from ase_rholearn import Density
from ase_rholearn.basis import even_tempered

atoms = read(sys.argv[1])
basis = even_tempered(["H", "O"])
coefficients = np.random.default_rng(0).normal(0, 0.1, basis.size(atoms.numbers))
density = Density(atoms, basis, coefficients)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
slabs = density.iterate_grid(shape=(512, 512, 512), tolerance=1e-6, memory=2**26)
with open(sys.argv[2], "wb") as stream:
    for _, (rows, values) in zip(range(3), slabs):
        values.tofile(stream)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_slabs_of_a_large_grid_take_little_memory(water_box: Atoms, tmp_path: Path) -> None:
    """512^3 points, 1 GB in all: slabs of 64 MB and the factors of one atom."""
    water_box.write(tmp_path / "box.xyz", format="extxyz")
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "box.xyz", tmp_path / "slabs.bin"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout) < 500  # MB
