"""The commands for grids, pictures, potentials, charges and comparison."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.io import read, write

from ase_rholearn import Density, load_model
from ase_rholearn.density import l2_distance, nmae, read_grid, similarity
from ase_rholearn.density.files import read_grid_hdf5


@pytest.fixture(scope="module")
def rho():
    """Density of the second frame."""
    model = load_model("water-pbe", "cpu")
    atoms = frames()[1]
    return Density(atoms, model.basis, model.coefficients([atoms])[0])


def frames():
    images = [molecule("H2O"), molecule("H2O")]
    images[1].rattle(0.01, seed=1)
    return images


@pytest.fixture
def folder(tmp_path, monkeypatch, rho):
    """The present folder, with a file of two frames and a density."""
    monkeypatch.chdir(tmp_path)
    write("md.xyz", frames())
    rho.write("rho.npz")
    return tmp_path


@pytest.fixture
def run(command):
    """The same for a line of text."""
    return lambda text: command(*text.split())


def test_cube_of_the_last_frame(run, folder, rho):
    assert run("cube md.xyz --spacing 0.5 --device cpu") == (0, "wrote md.cube\n", "")
    expected = rho.on_grid(0.5)
    np.testing.assert_allclose(
        read_grid("md.cube")[1].values, expected.values, rtol=1e-5, atol=1e-5
    )


def test_cube_of_other_quantities(run, folder, rho):
    assert run("cube rho.npz --quantity deformation --spacing 0.5 -o d.h5")[0] == 0
    grid = read_grid("d.h5")[1]
    np.testing.assert_allclose(grid.values, (rho - rho.free_atoms()).on_grid(0.5).values, atol=1e-9)
    assert run("cube rho.npz --quantity potential --spacing 0.7 -o v.cube")[0] == 0
    assert run("esp rho.npz --spacing 0.7 -o v.h5")[0] == 0
    _, volts, metadata = read_grid_hdf5("v.h5")
    assert metadata["unit"] == "V"
    expected = rho.potential_on_grid(0.7, nuclei="smeared").values
    np.testing.assert_allclose(volts.values, expected)
    hartree = read_grid("v.cube")[1].values * units.Bohr**3  # as programs read it
    np.testing.assert_allclose(hartree * units.Hartree, volts.values, rtol=2e-5, atol=1e-6)


def test_a_grid_with_a_point_at_a_nucleus(run, tmp_path, monkeypatch):
    """The potential is infinite there; nuclei in files are smeared."""
    monkeypatch.chdir(tmp_path)
    write("h2.xyz", molecule("H2", positions=[[0, 0, 0.5], [0, 0, -0.5]]))
    status, output, error = run("esp h2.xyz --spacing 0.5 --margin 1 -o v.cube")
    assert (status, output) == (0, "wrote v.cube\n")
    assert error.startswith("ase-rholearn: warning: H2 has atoms whose bonds are unlike")


def test_slice_and_view(run, folder):
    pytest.importorskip("matplotlib")
    options = "--points 20 --plane xz --atoms 0-1 --deformation -o cut.png"
    assert run(f"slice rho.npz {options}") == (0, "wrote cut.png\n", "")
    assert (folder / "cut.png").read_bytes().startswith(b"\x89PNG")
    assert run("view rho.npz --spacing 0.6") == (0, "wrote rho.html\n", "")
    assert '"deformation"' in (folder / "rho.html").read_text()


def test_esp_at_points(run, folder, rho, monkeypatch):
    points = [[0.0, 0.0, 3.0], [1.0, -2.0, 2.5]]
    monkeypatch.setattr(sys, "stdin", io.StringIO("0 0 3\n\n1, -2, 2.5 # a comment\n"))
    status, output, _ = run("esp rho.npz --points -")
    assert status == 0
    table = np.loadtxt(output.splitlines())
    np.testing.assert_allclose(table, np.column_stack([points, rho.potential(points)]), atol=1e-6)
    (folder / "points.txt").write_text("0 0 3\n")
    assert run("esp rho.npz --points points.txt -o v.json")[0] == 0
    stored = json.loads((folder / "v.json").read_text())
    np.testing.assert_allclose(stored["potential_V"], rho.potential(points[:1]))


def test_charges(run, folder, rho):
    status, output, _ = run("charges rho.npz --level 0 -o q.csv")
    expected = rho.charges(level=0)
    assert status == 0
    assert "hirshfeld / e" in output
    printed = [float(line.split()[-1]) for line in output.splitlines()[1:4]]
    np.testing.assert_allclose(printed, expected, atol=1e-6)
    table = (folder / "q.csv").read_text().splitlines()
    assert table[0] == "index,atom,hirshfeld_e"
    np.testing.assert_allclose([float(row.split(",")[2]) for row in table[1:]], expected)
    assert run("charges rho.npz --level 0 -o q.extxyz")[0] == 0
    back = read("q.extxyz")
    assert back.info["charges_scheme"] == "hirshfeld"
    np.testing.assert_allclose(back.get_charges(), expected, atol=1e-6)


def test_all_schemes_side_by_side(run, folder, rho):
    status, output, _ = run("charges rho.npz --level 0 --scheme voronoi --scheme bader")
    assert status == 0
    bader = [float(line.split()[-1]) for line in output.splitlines()[1:4]]
    np.testing.assert_allclose(bader, rho.charges("bader"), atol=1e-6)


def test_potential_on_a_surface(run, folder, rho):
    pytest.importorskip("skimage")
    status, output, _ = run("esp rho.npz --surface 0.0135 --spacing 0.3 -o s.csv")
    assert status == 0
    found = figures(output)
    expected = rho.surface_potential(0.0135, spacing=0.3)
    assert found["maximum"] == pytest.approx([expected.maximum], abs=1e-5)
    assert found["area"] == pytest.approx([expected.surface.area], abs=1e-4)
    rows = Path("s.csv").read_text().splitlines()
    assert rows[0] == "x_A,y_A,z_A,potential_V"
    assert len(rows) == 1 + len(expected.values)
    message = "points and surface are both given: choose one"
    assert message in run("esp rho.npz --surface 0.01 --points -")[2]


def test_pictures_of_surfaces(run, folder):
    pytest.importorskip("matplotlib")
    pytest.importorskip("skimage")
    for quantity in ("density", "potential"):
        assert run(f"view rho.npz --quantity {quantity} -o {quantity}.png")[0] == 0
        assert Path(f"{quantity}.png").stat().st_size > 10_000


def figures(output: str) -> dict[str, list[float]]:
    found = {}
    for line in output.splitlines():
        words = line[34:].split()
        numbers = [word for word in words if re.fullmatch(r"[-+.\d]+", word)]
        if numbers:
            found[line[:34].strip()] = [float(word) for word in numbers]
    return found


def test_diff_of_two_densities(run, folder, rho):
    status, output, _ = run("diff rho.npz md.xyz --index 0 --level 0 -o d.cube --spacing 0.5")
    assert status == 0
    model = load_model("water-pbe", "cpu")
    other = Density(frames()[0], model.basis, model.coefficients([frames()[0]])[0])
    found = figures(output)
    error = found["normalised mean absolute error"]
    assert error == pytest.approx([nmae(rho, other, level=0)], abs=1e-3)
    assert found["distance (L2)"] == pytest.approx([l2_distance(rho, other)], abs=1e-5)
    alike = found["similarity of the overlap (Carbo)"]
    assert alike == pytest.approx([similarity(rho, other)], abs=1e-7)
    dipole = found["dipole moment, A - B"]
    np.testing.assert_allclose(dipole, rho.dipole() - other.dipole(), atol=2e-5)
    grid = read_grid("d.cube")[1]
    np.testing.assert_allclose(grid.values, (rho - other).on_grid(0.5).values, atol=1e-5)


def test_diff_with_free_atoms(run, folder, rho):
    found = figures(run("diff rho.npz --free-atoms --level 0")[1])
    np.testing.assert_allclose(found["dipole moment, A - B"], rho.dipole(), atol=2e-5)


def test_diff_of_grids(run, folder, rho):
    """A grid is compared at its points, with a density or another grid."""
    rho.write("a.cube", spacing=0.3)
    found = figures(run("diff a.cube rho.npz")[1])
    assert found["normalised mean absolute error"][0] < 0.01
    np.testing.assert_allclose(found["dipole moment, A - B"], 0, atol=1e-3)
    rho.free_atoms().write("b.h5", spacing=0.3)
    status, output, _ = run("diff a.cube b.h5 -o d.h5")
    assert status == 0
    found = figures(output)
    difference = (rho - rho.free_atoms()).on_grid(0.3)
    assert found["electrons, A - B"] == pytest.approx([difference.integral], abs=1e-4)
    np.testing.assert_allclose(read_grid("d.h5")[1].values, difference.values, atol=1e-4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cube md.xyz -o none/a.cube", "there is no folder none"),
        ("cube md.xyz -o a.npz", "give .cube, .xsf, .h5"),
        ("cube md.xyz --quantity potential -o a.xsf", "potentials go into .cube and .h5"),
        ("cube md.xyz --quantity potential --core voxel-average", "core is 'voxel-average'"),
        ("cube md.xyz --index 2", "index is 2: md.xyz has fewer frames"),
        ("cube md.xyz --index -3", "index is -3: md.xyz has fewer frames"),
        ("slice md.xyz -o a.txt", "give a name that ends in .png"),
        ("slice md.xyz --atoms 0;1", "atoms is '0;1': give indices from 0"),
        ("view md.xyz -o .", "give a name that ends in .html"),
        ("esp md.xyz --points none.txt", "points: there is no file none.txt"),
        ("esp md.xyz --points md.xyz", "points: line 1 of md.xyz is '3'"),
        ("charges md.xyz --scheme mulliken", "scheme is 'mulliken': give one of hirshfeld"),
        ("diff md.xyz", "give one of B, --other-model and --free-atoms"),
        ("diff md.xyz rho.npz --free-atoms", "give one of B, --other-model and --free-atoms"),
        ("predict md.xyz -o a.xyz --field density", "cannot hold the field 'density'"),
        ("predict md.xyz --charges hirshfeld", "need a file, .extxyz or .h5"),
        ("predict md.xyz -o a.h5 --cube", "--cube and --npz need a folder"),
    ],
)
def test_mistakes_end_with_one_line_before_any_work(run, folder, line, message):
    before = sorted(folder.iterdir())
    status, _, error = run(line)
    assert status == 1
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["cube", "slice", "view", "esp", "charges", "diff", "predict"])
def test_help_names_units(run, name):
    status, output, _ = run(f"{name} --help")
    assert status == 0
    assert "Angstrom" in output or "in e" in output
