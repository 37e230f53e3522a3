"""Cube files, and what other readers see in them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.io.cube import read_cube_data
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn import Basis, Density
from ase_rholearn.density import Grid, read_cube, write_cube

TRICLINIC = np.array([[3.0, 0, 0], [1.0, 3.0, 0], [0.2, 0.5, 4.0]])


@pytest.fixture
def crystal_density(small_basis: Basis, random_density: Callable[..., Density]) -> Density:
    atoms = Atoms("OH", [[0, 0, 0], [0.7, 0.6, -0.2]], cell=TRICLINIC, pbc=True)
    return random_density(atoms, small_basis)


def test_round_trip_of_a_molecule(water_density: Density, tmp_path: Path) -> None:
    grid = water_density.on_grid(0.4, margin=1.0)
    water_density.write(tmp_path / "rho.cube", spacing=0.4, margin=1.0)
    atoms, back = read_cube(tmp_path / "rho.cube")
    np.testing.assert_allclose(back.values, grid.values, rtol=6e-6)  # six digits
    np.testing.assert_allclose(back.origin, grid.origin, atol=1e-9)
    np.testing.assert_allclose(back.cell, grid.cell, atol=1e-8)
    np.testing.assert_allclose(atoms.positions, water_density.atoms.positions, atol=1e-8)
    np.testing.assert_array_equal(atoms.numbers, water_density.atoms.numbers)


def test_round_trip_of_a_triclinic_crystal(crystal_density: Density, tmp_path: Path) -> None:
    crystal_density.write(tmp_path / "rho.cube", spacing=0.4)
    atoms, back = read_cube(tmp_path / "rho.cube")
    np.testing.assert_allclose(back.cell, TRICLINIC, atol=1e-8)
    np.testing.assert_allclose(atoms.cell.array, TRICLINIC, atol=1e-8)
    np.testing.assert_allclose(back.values, crystal_density.on_grid(0.4).values, rtol=6e-6)


def test_the_file_is_in_bohr_and_voxels(crystal_density: Density, tmp_path: Path) -> None:
    grid = crystal_density.on_grid(shape=(4, 5, 7))
    write_cube(tmp_path / "rho.cube", crystal_density.atoms, grid, comment="two\nlines")
    lines = (tmp_path / "rho.cube").read_text().splitlines()
    assert lines[0] == "two lines"
    assert "e/bohr^3" in lines[1]
    assert [float(x) for x in lines[2].split()] == [2, 0, 0, 0]
    for axis, n in enumerate((4, 5, 7)):
        count, *step = lines[3 + axis].split()
        assert int(count) == n
        # the end point of an axis is not repeated: n steps fill the cell
        np.testing.assert_allclose(
            np.array(step, float) * n * units.Bohr, TRICLINIC[axis], atol=1e-8
        )
    assert lines[6].split()[:2] == ["8", "8.000000"]
    # seven values along z: six in a line, then a new line
    assert [len(line.split()) for line in lines[8:12]] == [6, 1, 6, 1]
    values = np.array(" ".join(lines[8:]).split(), float).reshape(4, 5, 7)
    np.testing.assert_allclose(values / units.Bohr**3, grid.values, rtol=6e-6)


def test_ase_reads_atoms_cell_and_values(crystal_density: Density, tmp_path: Path) -> None:
    crystal_density.write(tmp_path / "rho.cube", spacing=0.5)
    atoms = ase.io.read(tmp_path / "rho.cube")
    np.testing.assert_allclose(atoms.cell.array, TRICLINIC, atol=1e-8)
    np.testing.assert_allclose(atoms.positions, crystal_density.atoms.positions, atol=1e-8)
    values, _ = read_cube_data(tmp_path / "rho.cube")
    grid = crystal_density.on_grid(0.5)
    np.testing.assert_allclose(values, grid.values * units.Bohr**3, rtol=6e-6)
    # what a reader integrates is the number of electrons on the grid
    volume = abs(np.linalg.det(atoms.cell.array / units.Bohr)) / values.size
    assert values.sum() * volume == pytest.approx(grid.integral, rel=1e-5)


def test_a_cube_that_ase_wrote(crystal_density: Density, tmp_path: Path) -> None:
    grid = crystal_density.on_grid(0.5)
    ase.io.write(tmp_path / "ase.cube", crystal_density.atoms, data=grid.values * units.Bohr**3)
    _, back = read_cube(tmp_path / "ase.cube")
    np.testing.assert_allclose(back.values, grid.values, rtol=1e-6)
    np.testing.assert_allclose(back.cell, TRICLINIC, atol=1e-4)  # ASE writes six decimals


def test_pyscf_reads_it(water_density: Density, tmp_path: Path) -> None:
    from pyscf.tools.cubegen import Cube

    class Reader(Cube):  # type: ignore[misc]
        """PySCF's reader, without the molecule that its constructor wants."""

        def __init__(self) -> None:
            self.mol = None

    water_density.write(tmp_path / "rho.cube", spacing=0.5, margin=1.0)
    reader = Reader()
    values = reader.read(str(tmp_path / "rho.cube"))
    grid = water_density.on_grid(0.5, margin=1.0)
    np.testing.assert_allclose(values / units.Bohr**3, grid.values, rtol=6e-6)
    np.testing.assert_allclose(reader.boxorig * units.Bohr, grid.origin, atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(
    values=st.lists(st.floats(-1e99, 1e99), min_size=8, max_size=8),
    origin=st.lists(st.floats(-1e5, 1e5), min_size=3, max_size=3),
)
def test_numbers_never_run_together(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], origin: list[float]
) -> None:
    """Columns are narrow; large, negative and tiny numbers stay apart all the same."""
    path = tmp_path_factory.mktemp("cube") / "x.cube"
    grid = Grid(np.array(values).reshape(2, 2, 2), np.array(origin), np.diag([-2000.0, 1, 3]))
    atoms = Atoms("U", [origin])
    write_cube(path, atoms, grid, unit=1.0)
    back_atoms, back = read_cube(path, unit=1.0)
    np.testing.assert_allclose(back.values, grid.values, rtol=6e-6)
    np.testing.assert_allclose(back.origin, origin, atol=1e-8)
    np.testing.assert_allclose(back.cell, grid.cell, atol=1e-8)
    np.testing.assert_allclose(back_atoms.positions, [origin], atol=1e-7)


def test_difference_as_cube(
    small_basis: Basis, random_density: Callable[..., Density], tmp_path: Path
) -> None:
    atoms = molecule("H2O")
    first, second = (random_density(atoms, small_basis, seed=s) for s in (1, 2))
    grid = (first - second).on_grid(0.4)
    write_cube(tmp_path / "difference.cube", atoms, grid)
    np.testing.assert_allclose(
        read_cube(tmp_path / "difference.cube")[1].values, grid.values, rtol=6e-6
    )


def test_slabs_make_the_same_file(crystal_density: Density, tmp_path: Path) -> None:
    """Pieces along x, one at a time, as a generator hands them out."""
    grid, atoms = crystal_density.on_grid(shape=(7, 5, 9)), crystal_density.atoms
    empty = Grid(np.broadcast_to(np.zeros(1), grid.shape), grid.origin, grid.cell)
    write_cube(tmp_path / "whole.cube", atoms, grid)
    for edges in ([0, 7], [0, 1, 2, 6, 7], [0, 3, 3, 7]):
        pieces = (grid.values[a:b] for a, b in pairwise(edges))
        write_cube(tmp_path / "slabs.cube", atoms, empty, slabs=pieces)
        assert (tmp_path / "slabs.cube").read_bytes() == (tmp_path / "whole.cube").read_bytes()
    # other orders in memory too
    write_cube(tmp_path / "slabs.cube", atoms, empty, slabs=[np.asfortranarray(grid.values)])
    assert (tmp_path / "slabs.cube").read_bytes() == (tmp_path / "whole.cube").read_bytes()


def test_a_grid_need_not_fit_into_memory(tmp_path: Path) -> None:
    """Slabs and text come and go: 32 MB of values, a quarter of that at any time."""
    shape, slab = (400, 100, 100), np.random.default_rng(0).random((5, 100, 100))
    frame = Grid(np.broadcast_to(np.zeros(1), shape), np.zeros(3), np.eye(3))
    write_cube(tmp_path / "first.cube", Atoms("H"), frame, slabs=(slab for _ in range(80)))
    tracemalloc.start()
    write_cube(tmp_path / "x.cube", Atoms("H"), frame, slabs=(slab for _ in range(80)))
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()


@pytest.mark.parametrize("shapes", [[(2, 5, 9)], [(8, 5, 9)], [(7, 5, 8)], [(7, 45)], [()]])
def test_slabs_of_another_grid(
    crystal_density: Density, tmp_path: Path, shapes: list[tuple[int, ...]]
) -> None:
    grid = crystal_density.on_grid(shape=(7, 5, 9))
    slabs = [np.zeros(shape) for shape in shapes]
    with pytest.raises(ValueError, match=r"slabs: .*7"):
        write_cube(tmp_path / "x.cube", crystal_density.atoms, grid, slabs=slabs)
    assert not list(tmp_path.iterdir())


def test_the_layout_is_that_of_fortran(tmp_path: Path) -> None:
    """Thirteen columns a value, so that readers with fixed formats find them (CP2K's)."""
    values = np.arange(-8.0, 8.0).reshape(2, 1, 8)
    write_cube(tmp_path / "x.cube", Atoms("H"), Grid(values, np.zeros(3), np.eye(3)), unit=1.0)
    lines = (tmp_path / "x.cube").read_text().splitlines()[7:]
    assert [len(line) for line in lines] == [78, 26, 78, 26]
    assert lines[3] == "  6.00000E+00  7.00000E+00"


# refusals ----------------------------------------------------------------------------------


def test_missing_cube(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no cube file .*nothing.cube"):
        read_cube(tmp_path / "nothing.cube")


def test_truncated_cubes(water_density: Density, tmp_path: Path) -> None:
    water_density.write(tmp_path / "rho.cube", spacing=0.6, margin=0.5)
    lines = (tmp_path / "rho.cube").read_text().splitlines(keepends=True)
    path = tmp_path / "bad.cube"
    for kept in (0, 1, 3, 5, 7, 9, len(lines) - 1):
        path.write_text("".join(lines[:kept]))
        with pytest.raises(ValueError, match=r"bad.cube is not a cube file, or it is truncated"):
            read_cube(path)
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ValueError, match="give a complete Gaussian cube"):
        read_cube(path)


def test_cube_of_several_orbitals(tmp_path: Path) -> None:
    lines = ["two", "orbitals", "1 0 0 0 2", "1 1 0 0", "1 0 1 0", "1 0 0 1", "1 1 0 0 0", "1 2"]
    (tmp_path / "two.cube").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="has 2 sets of values: only one can be read"):
        read_cube(tmp_path / "two.cube")


@pytest.mark.parametrize(
    ("line", "text"),
    [(1, "OUTER LOOP: Z, MIDDLE LOOP: Y, INNER LOOP: X\n"), (3, "-1 1 0 0\n"), (2, "1 0 0\n")],
)
def test_cubes_that_would_be_misread(tmp_path: Path, line: int, text: str) -> None:
    lines = ["a\n", "b\n", "1 0 0 0\n", "1 1 0 0\n", "1 0 1 0\n", "1 0 0 1\n", "1 1 0 0 0\n", "1"]
    path = tmp_path / "x.cube"
    path.write_text("".join(lines))
    assert read_cube(path, unit=1.0)[1].values.tolist() == [[[1.0]]]
    path.write_text("".join([*lines[:line], text, *lines[line + 1 :]]))
    with pytest.raises(ValueError, match="is not a cube file"):
        read_cube(path)


def test_castep_repeats_the_ends(tmp_path: Path) -> None:
    """ASE's reader is the reference."""
    values = np.random.default_rng(0).random((3, 4, 5))
    grid = Grid(values, np.zeros(3), np.array([[1.5, 0, 0], [0.2, 2, 0], [0, 0.1, 2.5]]))
    path = tmp_path / "x.cube"
    write_cube(path, Atoms("H"), grid)
    path.write_text(path.read_text().replace("e/bohr^3, written", "castep2cube, written"))
    with path.open() as stream:
        expected = ase.io.cube.read_cube(stream)
    atoms, back = read_cube(path, unit=1.0)
    np.testing.assert_array_equal(back.values, expected["data"])
    np.testing.assert_allclose(atoms.cell.array, expected["atoms"].cell.array, rtol=1e-12)
    assert atoms.pbc.all()
    assert back.shape == (2, 3, 4)


def test_one_orbital_and_its_label(tmp_path: Path) -> None:
    lines = [
        "one",
        "orbital",
        "-1 0 0 0",
        "1 1 0 0",
        "1 0 1 0",
        "1 0 0 1",
        "1 1 0 0 0",
        "1 17",
        "5",
    ]
    (tmp_path / "one.cube").write_text("\n".join(lines))
    assert read_cube(tmp_path / "one.cube", unit=1.0)[1].values.item() == 5.0
    lines[7:] = ["2 17", "18", "5 6"]
    (tmp_path / "two.cube").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="has 2 sets of values"):
        read_cube(tmp_path / "two.cube")


def test_values_that_are_none(tmp_path: Path) -> None:
    grid = Grid(np.full((2, 2, 2), np.nan), np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="NaN or infinity"):
        write_cube(tmp_path / "x.cube", Atoms("H"), grid)
    assert not list(tmp_path.iterdir())


def test_unwritable_cube(water_density: Density, tmp_path: Path) -> None:
    grid = water_density.on_grid(1.0)
    with pytest.raises(FileNotFoundError, match=r"cannot write .*nowhere/x.cube: No such file"):
        write_cube(tmp_path / "nowhere" / "x.cube", water_density.atoms, grid)
