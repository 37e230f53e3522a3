"""Pictures: the plane lies where it should, and files appear."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk, molecule

from ase_rholearn import Basis, Density
from ase_rholearn.density.pictures.plane import _images, plane_through


@pytest.fixture(scope="module")
def rho() -> Density:
    basis = Basis.from_shells({"H": [(0, [0.6])], "O": [(0, [1.5]), (1, [1.0])]})
    atoms = molecule("H2O")
    return Density(atoms, basis, np.r_[5.0, 0.1, 0.2, 0.3, 1.0, 1.0])


def test_best_plane_holds_a_planar_molecule():
    atoms = molecule("C6H6")
    atoms.rotate(37, (1, 2, 3))
    plane = plane_through(atoms)
    in_plane, distance = plane.project(atoms.positions)
    assert np.abs(distance).max() < 1e-10
    assert (2 * np.abs(in_plane) < plane.size).all()
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)


@pytest.mark.parametrize("normal", [(0, 0, 1), (0, 1, 0), (1, -2, 3)])
def test_normal_is_the_direction_of_view(normal):
    plane = plane_through(molecule("CH4"), normal=normal)
    np.testing.assert_allclose(plane.normal, np.array(normal) / np.linalg.norm(normal), atol=1e-12)


def test_points_are_the_rectangle(rho):
    plane = plane_through(rho.atoms, margin=1.0)
    points, (rows, columns) = plane.points(50)
    assert len(points) == rows * columns
    assert max(rows, columns) == 50
    in_plane, distance = plane.project(points)
    assert np.abs(distance).max() < 1e-12
    assert (2 * np.abs(in_plane) < plane.size).all()


def test_images_of_a_crystal_fill_the_rectangle():
    atoms = bulk("Si")
    plane = plane_through(atoms.repeat(3))
    _, positions = _images(atoms, plane)
    for shift in ((1, 1, 1), (2, 2, 2), (0, 1, 2)):
        wanted = atoms.positions[1] + shift @ atoms.cell.array
        assert np.linalg.norm(positions - wanted, axis=1).min() < 1e-9


def test_files_are_pictures(rho, tmp_path):
    rho.plot(tmp_path / "rho.png", title="water", points=40)
    (rho - Density(rho.atoms, rho.basis, rho.coefficients * 1.01, normalize=False)).plot(
        tmp_path / "difference.png", plane=[0, 1, 2], points=40
    )
    for path in tmp_path.iterdir():
        assert path.read_bytes()[:4] == b"\x89PNG"
        assert path.stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"plane": [0, 7]}, r"plane is \[0, 7\]: give indices of atoms, 0 to 2"),
        ({"normal": (0, 0, 0)}, "normal is .*give a vector"),
        ({"points": 1}, "points is 1: give 2 or more"),
    ],
)
def test_mistakes(rho, arguments, message):
    with pytest.raises(ValueError, match=message):
        rho.plot(**arguments)


def test_without_matplotlib_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from ase import Atoms\n"
        "from ase_rholearn import Basis, Density\n"
        "rho = Density(Atoms('H'), Basis.from_shells({'H': [(0, [1.0])]}), [1.0])\n"
        "try:\n    rho.plot()\nexcept ModuleNotFoundError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'ase-rholearn[view]'" in done.stdout, done.stderr
