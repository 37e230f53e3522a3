"""Formats of grids: what is written comes back, and what other readers see in it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.vasp import VaspChargeDensity
from ase.io.xsf import read_xsf as ase_read_xsf
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn import Basis, Density
from ase_rholearn.density import (
    Grid,
    read_chgcar,
    read_cube,
    read_grid,
    read_xsf,
    write_chgcar,
    write_cp2k_density,
    write_cube,
    write_grid,
    write_xsf,
)
from ase_rholearn.density.files import read_grid_hdf5, read_grid_npz, write_grid_npz
from ase_rholearn.density.files.formats import format_of

CELL = np.array([[3.0, 0, 0], [1.0, 3.0, 0], [0.2, 0.5, 4.0]])

#: Every format, with the digits that survive.
NAMES = {
    "rho.cube": 6e-6,
    "rho.xsf": 6e-10,
    "CHGCAR": 6e-11,
    "CHG": 6e-6,
    "rho.npz": 0,
    "rho.h5": 0,
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    if request.param.endswith(".h5"):
        pytest.importorskip("h5py")
    return request.param


@pytest.fixture
def crystal() -> Atoms:
    """Elements mixed, outside the cell, triclinic."""
    positions = [[0, 0, 0], [0.7, 0.6, -0.2], [1.1, 3.6, 1.3], [4.0, 0.1, 2.9]]
    return Atoms("OHHO", positions, cell=CELL, pbc=True)


@pytest.fixture
def grid() -> Grid:
    """Numbers of all sizes and signs; no number of points is a multiple of a line."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(7, 8, 11)) * 10 ** rng.uniform(-12, 2, (7, 8, 11))
    values[3, 4] = 0.0
    return Grid(values, np.zeros(3), CELL.copy())


def slabs(grid: Grid) -> Iterator[np.ndarray]:
    yield grid.values[:2]
    yield grid.values[2:3]
    yield grid.values[3:]


def hollow(grid: Grid) -> Grid:
    return Grid(np.broadcast_to(np.zeros(1), grid.shape), grid.origin, grid.cell)


def test_round_trip_of_a_triclinic_crystal(
    name: str, crystal: Atoms, grid: Grid, tmp_path: Path
) -> None:
    grid.write(tmp_path / name, crystal)
    atoms, back = read_grid(tmp_path / name)
    np.testing.assert_allclose(back.values, grid.values, rtol=NAMES[name])
    np.testing.assert_allclose(back.cell, CELL, atol=1e-9)
    np.testing.assert_allclose(back.origin, 0, atol=1e-12)
    assert back.integral == pytest.approx(grid.integral, rel=1e-5)
    # never wrapped, never sorted
    np.testing.assert_array_equal(atoms.numbers, crystal.numbers)
    np.testing.assert_allclose(atoms.positions, crystal.positions, atol=2e-8)
    np.testing.assert_allclose(atoms.cell.array, CELL, atol=1e-9)


def test_a_file_written_again_is_the_same(
    name: str, crystal: Atoms, grid: Grid, tmp_path: Path
) -> None:
    """What was read has the digits of the file, and no more."""
    grid.write(tmp_path / name, crystal)
    again = tmp_path / "again"
    again.mkdir()
    atoms, back = read_grid(tmp_path / name)
    back.write(again / name, atoms)
    _, once_more = read_grid(again / name)
    np.testing.assert_allclose(once_more.values, back.values, rtol=1e-15)


def test_slabs_make_the_same_file(name: str, crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    write_grid(tmp_path / name, crystal, grid)
    (tmp_path / "slabs").mkdir()
    write_grid(tmp_path / "slabs" / name, crystal, hollow(grid), slabs=slabs(grid))
    expected, found = (read_grid(tmp_path / x / name)[1].values for x in (".", "slabs"))
    np.testing.assert_array_equal(found, expected)
    assert [path.name for path in (tmp_path / "slabs").iterdir()] == [name]
    with pytest.raises(ValueError, match="slabs: 3 planes along x were given, the grid has 7"):
        write_grid(tmp_path / "slabs" / name, crystal, grid, slabs=[grid.values[:3]])
    assert [path.name for path in (tmp_path / "slabs").iterdir()] == [name]


def test_molecule_in_its_box(name: str, tmp_path: Path, basis: Basis) -> None:
    atoms = molecule("H2O")
    rho = Density(atoms, basis, np.zeros(basis.size(atoms.numbers)))
    expected = rho.on_grid(0.3, margin=1.0)
    if name == "rho.npz":
        expected.write(tmp_path / name, atoms)  # Density.write keeps coefficients instead
    else:
        rho.write(tmp_path / name, spacing=0.3, margin=1.0)
    back_atoms, back = read_grid(tmp_path / name)
    np.testing.assert_allclose(back.values, expected.values, rtol=NAMES[name], atol=1e-300)
    np.testing.assert_allclose(back.cell, expected.cell, atol=1e-8)
    # a CHGCAR begins at zero: the molecule moves with its box
    np.testing.assert_allclose(
        back_atoms.positions - back.origin, atoms.positions - expected.origin, atol=2e-8
    )


@settings(deadline=None, max_examples=20)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    vectors=st.lists(st.floats(-5, 5), min_size=9, max_size=9),
    name=st.sampled_from(["rho.xsf", "CHGCAR", "rho.cube"]),
)
def test_any_cell_and_shape(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, ...],
    vectors: list[float],
    name: str,
) -> None:
    cell = np.array(vectors).reshape(3, 3) + 20 * np.eye(3)
    atoms = Atoms("CO", [[0.1, 0.2, 0.3], [1.2, 0, 0]], cell=cell, pbc=True)
    grid = Grid(np.random.default_rng(0).normal(size=shape), np.zeros(3), cell)
    path = tmp_path_factory.mktemp("any") / name
    grid.write(path, atoms)
    _, back = read_grid(path)
    np.testing.assert_allclose(back.values, grid.values, rtol=NAMES[name])
    np.testing.assert_allclose(back.cell, cell, atol=1e-8)


# VASP ------------------------------------------------------------------------------------


def test_ase_reads_the_chgcar(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    write_chgcar(tmp_path / "CHGCAR", crystal, grid)
    file = VaspChargeDensity(str(tmp_path / "CHGCAR"))
    np.testing.assert_allclose(file.chg[0], grid.values, rtol=1e-10)
    np.testing.assert_array_equal(file.atoms[0].numbers, crystal.numbers)
    np.testing.assert_allclose(file.atoms[0].cell.array, CELL, atol=1e-12)


def test_pymatgen_reads_the_chgcar(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    vasp = pytest.importorskip("pymatgen.io.vasp")
    write_chgcar(tmp_path / "CHGCAR", crystal, grid)
    file = vasp.Chgcar.from_file(str(tmp_path / "CHGCAR"))
    volume = abs(np.linalg.det(CELL))
    np.testing.assert_allclose(file.data["total"] / volume, grid.values, rtol=1e-10)


def test_the_chgcar_says_what_is_missing(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    write_chgcar(tmp_path / "CHGCAR", crystal, grid)
    lines = (tmp_path / "CHGCAR").read_text().splitlines()
    assert lines[0] == "total density, no PAW augmentation"
    assert len(lines[0]) <= 40
    assert lines[5].split() == ["O", "H", "O"]
    assert lines[6].split() == ["1", "2", "1"]
    assert lines[13].split() == ["7", "8", "11"]
    assert {len(line) for line in lines[14:-1]} == {5 * 18}  # VASP's five columns of 18
    write_chgcar(tmp_path / "CHG", crystal, grid, short=True)
    assert len((tmp_path / "CHG").read_text().splitlines()[14].split()) == 10
    # the sum over the points, divided by their number, is the number of electrons
    values = np.array(" ".join(lines[14:]).split(), float)
    assert values.mean() == pytest.approx(grid.integral, rel=1e-9)


def test_a_chgcar_needs_the_whole_cell(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    part = Grid(grid.values, grid.origin, 0.5 * grid.cell)
    for write in (write_chgcar, write_xsf):
        with pytest.raises(ValueError, match="exactly one cell"):
            write(tmp_path / "x", crystal, part)
    assert not list(tmp_path.iterdir())


# XSF -------------------------------------------------------------------------------------


def test_ase_reads_the_xsf_with_repeated_ends(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    path = tmp_path / "rho.xsf"
    write_xsf(path, crystal, grid)
    with path.open() as stream:
        values, origin, span, atoms = ase_read_xsf(stream, read_data=True)
    assert values.shape == (8, 9, 12)
    np.testing.assert_allclose(values[:-1, :-1, :-1], grid.values * units.Bohr**3, rtol=1e-9)
    for axis in range(3):
        first, last = (np.take(values, k, axis) for k in (0, -1))
        np.testing.assert_array_equal(first, last)
    np.testing.assert_allclose(span, CELL, atol=1e-9)
    np.testing.assert_allclose(origin, 0)
    np.testing.assert_allclose(atoms.positions, crystal.positions, atol=1e-12)


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)])
def test_xsf_of_all_periodicities(pbc: tuple[int, ...], grid: Grid, tmp_path: Path) -> None:
    atoms = Atoms("CO", [[0, 0, 0], [1, 0, 0]], cell=CELL, pbc=pbc)
    box = Grid(grid.values, np.array([0.1, -0.2, 0.3]), CELL)
    write_xsf(tmp_path / "x.xsf", atoms, box)
    back_atoms, back = read_xsf(tmp_path / "x.xsf")
    assert back_atoms.pbc.tolist() == [bool(p) for p in pbc]
    assert back.shape == box.shape
    np.testing.assert_allclose(back.points(), box.points(), atol=1e-9)
    np.testing.assert_allclose(back.values, box.values, rtol=1e-9)
    assert (ase.io.read(tmp_path / "x.xsf").numbers == atoms.numbers).all()


def test_what_xsf_cannot_hold(grid: Grid, tmp_path: Path) -> None:
    atoms = Atoms("H", cell=CELL, pbc=(False, False, True))
    with pytest.raises(ValueError, match="permute the axes"):
        write_xsf(tmp_path / "x.xsf", atoms, grid)
    flat = Grid(grid.values[:1], grid.origin, grid.cell)
    with pytest.raises(ValueError, match=r"\(1, 8, 11\) points: XSF needs two"):
        write_xsf(tmp_path / "x.xsf", Atoms("H"), flat)


def test_a_foreign_xsf(tmp_path: Path) -> None:
    """Comments, conventional cell, symbols, forces; points without their repeated ends."""
    path = tmp_path / "x.xsf"
    text = """# a comment
CRYSTAL
PRIMVEC
4 0 0
0 4 0
0 0 4
CONVVEC
4 0 0
0 4 0
0 0 4
PRIMCOORD
2 1
Na 0 0 0 0.1 0.2 0.3
17 2 2 2 0.0 0.0 0.0

BEGIN_BLOCK_DATAGRID_3D
anything
DATAGRID_3D_UNKNOWN
2 2 2
0 0 0
2 0 0
0 4 0
0 0 4
1.0 2.0 3.0 4.0
1.0 2.0 3.0 4.0
END_DATAGRID_3D
END_BLOCK_DATAGRID_3D
"""
    path.write_text(text)
    atoms, grid = read_xsf(path, unit=1.0)
    assert atoms.get_chemical_symbols() == ["Na", "Cl"]
    assert grid.values.tolist() == [[[1.0]], [[2.0]]]
    np.testing.assert_allclose(np.diag(grid.cell), 4)


def test_damaged_xsf(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    path = tmp_path / "x.xsf"
    write_xsf(path, crystal, grid)
    lines = path.read_text().splitlines(keepends=True)
    for kept in (0, 1, 3, 6, 9, 12, 14, 18, 60):
        path.write_text("".join(lines[:kept]))
        with pytest.raises(ValueError, match=r"x.xsf is not an XSF file .*give a complete file"):
            read_xsf(path)
    path.write_text("ANIMSTEPS 2\n")
    with pytest.raises(ValueError, match="it is an animation"):
        read_xsf(path)
    with pytest.raises(FileNotFoundError, match="there is no XSF file"):
        read_xsf(tmp_path / "nothing.xsf")


# npz and HDF5 ----------------------------------------------------------------------------


def test_arrays_keep_what_they_are(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    metadata = {"kind": "valence", "settings": {"xc": "PBE", "cutoff": 30.5}}
    for name, read in (("x.npz", read_grid_npz), ("x.h5", read_grid_hdf5)):
        write_grid(tmp_path / name, crystal, grid, metadata=metadata)
        atoms, back, found = read(tmp_path / name)
        assert found == {**metadata, "unit": "e/Angstrom^3"}
        np.testing.assert_array_equal(back.values, grid.values)
        np.testing.assert_array_equal(back.origin, grid.origin)
        np.testing.assert_array_equal(atoms.positions, crystal.positions)
        assert atoms.pbc.all()
    # other programs open them
    with np.load(tmp_path / "x.npz") as data:
        assert json.loads(bytes(data["header"]))["units"]["lengths"] == "Angstrom"
    import h5py

    with h5py.File(tmp_path / "x.h5") as file:
        assert file["values"].attrs["unit"] == "e/Angstrom^3"
        assert file["values"].shape == grid.shape


def test_density_to_hdf5_says_its_kind(
    small_basis: Basis, random_density: Callable[..., Density], tmp_path: Path
) -> None:
    pytest.importorskip("h5py")
    rho = random_density(molecule("H2O"), small_basis)
    rho.write(tmp_path / "rho.h5", spacing=0.5, margin=1.0)
    _, grid, metadata = read_grid_hdf5(tmp_path / "rho.h5")
    assert metadata["kind"] == "all-electron"
    assert metadata["electrons"] == pytest.approx(10.0)
    np.testing.assert_array_equal(grid.values, rho.on_grid(0.5, 1.0).values)


def test_other_units_are_no_density(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    write_grid_npz(tmp_path / "x.npz", crystal, grid, unit="V")
    with pytest.raises(ValueError, match="holds values in V, which is no unit of densities"):
        read_grid(tmp_path / "x.npz")
    write_grid_npz(tmp_path / "x.npz", crystal, grid, unit="e/bohr^3")
    np.testing.assert_allclose(
        read_grid(tmp_path / "x.npz")[1].values * units.Bohr**3, grid.values, rtol=1e-15
    )


def test_damaged_arrays(
    crystal: Atoms,
    grid: Grid,
    tmp_path: Path,
    small_basis: Basis,
    random_density: Callable[..., Density],
) -> None:
    pytest.importorskip("h5py")
    for name in ("x.npz", "x.h5"):
        path = tmp_path / name
        grid.write(path, crystal)
        whole = path.read_bytes()
        for content in (b"", b"text", whole[: len(whole) // 2]):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=f"{name} is not a grid file of ase_rholearn"):
                read_grid(path)
        with pytest.raises(FileNotFoundError, match="there is no grid file"):
            read_grid(tmp_path / f"no{name}")
    random_density(molecule("H2O"), small_basis).write(tmp_path / "rho.npz")
    with pytest.raises(ValueError, match=r"does not hold a grid: Density.read opens"):
        read_grid(tmp_path / "rho.npz")


def test_later_versions_are_refused(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    grid.write(tmp_path / "x.npz", crystal)
    with np.load(tmp_path / "x.npz") as data:
        arrays = {name: data[name] for name in data.files}
    header = json.loads(bytes(arrays["header"])) | {"schema": 7}
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", **arrays)
    assert zipfile.is_zipfile(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="has schema 7, this version reads 1: update"):
        read_grid(tmp_path / "x.npz")


# names and CP2K --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rho", "rho.txt", "rho.cube.gz", "my_CHGCAR"])
def test_unknown_names(name: str, crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{name}': give a name that ends in .cube, .xsf, .npz"):
        grid.write(tmp_path / name, crystal)
    with pytest.raises(ValueError, match=r"or is CHGCAR"):
        read_grid(tmp_path / name)


def test_names() -> None:
    assert format_of("AECCAR0") == format_of("x.chg") == format_of("PARCHG.0001") == "chgcar"
    assert format_of("CHGCAR.h5") == "hdf5"


def test_cp2k_gets_its_grid_and_valence_only(tmp_path: Path, basis: Basis) -> None:
    valence = Basis.from_shells(
        {"O": [(0, [1.0, 0.4])], "H": [(0, [0.7])]}, kind="valence", core_charges={8: 6, 1: 1}
    )
    atoms = molecule("H2O", vacuum=1.5, pbc=True)
    rho = Density(atoms, valence, [2.0, 1.0, 0.5, 0.5])
    write_cp2k_density(tmp_path / "x.cube", rho, (24, 27, 20))
    back_atoms, back = read_cube(tmp_path / "x.cube")
    assert back.shape == (24, 27, 20)
    np.testing.assert_allclose(back.cell, atoms.cell.array, atol=1e-8)
    assert back.integral == pytest.approx(8.0, abs=1e-3)
    np.testing.assert_array_equal(back_atoms.numbers, atoms.numbers)
    all_electron = Density(atoms, basis, np.zeros(basis.size(atoms.numbers)))
    with pytest.raises(ValueError, match=r"the density is all-electron, but CP2K expects the"):
        write_cp2k_density(tmp_path / "y.cube", all_electron, (24, 27, 20))
    isolated = Density(molecule("H2O"), valence, [2.0, 1, 0.5, 0.5])
    with pytest.raises(ValueError, match=r"atoms.pbc is .*CP2K's grid spans its cell"):
        write_cp2k_density(tmp_path / "y.cube", isolated, (9, 9, 9))


def test_chgcar_with_spin_is_read_up_to_the_total(
    crystal: Atoms, grid: Grid, tmp_path: Path
) -> None:
    write_chgcar(tmp_path / "CHGCAR", crystal, grid)
    with (tmp_path / "CHGCAR").open("a") as stream:
        stream.write("augmentation occupancies   1   2\n  0.1  0.2\n")
    np.testing.assert_allclose(read_chgcar(tmp_path / "CHGCAR")[1].values, grid.values, rtol=6e-11)


def test_cubes_are_what_write_cube_writes(crystal: Atoms, grid: Grid, tmp_path: Path) -> None:
    write_cube(tmp_path / "a.cube", crystal, grid)
    grid.write(tmp_path / "b.cub", crystal)
    assert (tmp_path / "a.cube").read_bytes() == (tmp_path / "b.cub").read_bytes()
