"""Pictures: the plane lies where it should, and files appear."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from ase_rholearn import Basis, Density
from ase_rholearn.density.pictures.colours import NEGATIVE, POSITIVE
from ase_rholearn.density.pictures.meshes import _unit_sphere
from ase_rholearn.density.pictures.plane import (
    _images,
    _mark,
    _paint_signed,
    find_plane,
    plane_through,
)
from ase_rholearn.density.pictures.raster import Camera, Mesh, nearest, render
from ase_rholearn.density.pictures.space import draw_potential
from ase_rholearn.density.pictures.structure import skeleton

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure
from matplotlib.patches import Circle


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


@pytest.mark.parametrize(
    ("name", "right", "up"),
    [("xy", (1, 0, 0), (0, 1, 0)), ("xz", (1, 0, 0), (0, 0, 1)), ("yz", (0, 1, 0), (0, 0, 1))],
)
def test_planes_by_name(name, right, up):
    atoms = molecule("CH4")
    plane = find_plane(atoms, name, None, 2.0)
    np.testing.assert_array_equal(plane.axes, [right, up])
    assert find_plane(atoms, plane, None, 2.0) is plane
    for wrong, normal in (("ab", None), ("xy", (0, 0, 1))):
        with pytest.raises(ValueError, match=r'give ("xy"|either)'):
            find_plane(atoms, wrong, normal, 2.0)


def test_marks_of_atoms_never_overlap(rho):
    """A crowded layer: discs stay apart, and atoms behind others are left out."""
    atoms = Atoms("H40", np.random.default_rng(0).uniform(0, 4, (40, 3)) * [1, 1, 0.1])
    axes = Figure().subplots()
    plane = find_plane(atoms, "xy", None, 2.0)
    _mark(axes, atoms, plane)
    discs = [patch for patch in axes.patches if isinstance(patch, Circle)]
    centres = np.array([disc.center for disc in discs])
    apart = np.linalg.norm(centres[:, None] - centres, axis=2) + 1e9 * np.eye(len(discs))
    assert 10 < len(discs) <= 40
    assert apart.min() > 2 * discs[0].radius * 0.999


def test_signs_are_told_apart_in_grey():
    negative, positive = (np.dot(c, [0.299, 0.587, 0.114]) for c in (NEGATIVE, POSITIVE))
    assert negative > positive + 0.2
    axes = Figure().subplots()
    x = np.linspace(-1, 1, 30)
    _paint_signed(axes, np.add.outer(x, x), (-1, 1, -1, 1), 1.0)
    (contours,) = (c for c in axes.collections if hasattr(c, "levels"))
    for level, (_, dashes) in zip(contours.levels, contours.get_linestyle(), strict=True):
        assert (dashes is not None) == (level < 0)


# in space --------------------------------------------------------------------------------


def ball(centre, radius, colour, opacity=1.0):
    corners, faces = _unit_sphere()
    colours = np.broadcast_to(colour, corners.shape)
    return Mesh(np.array(centre) + radius * corners, corners, colours, faces, opacity)


def test_a_ball_covers_its_disc_and_hides_what_is_behind():
    low, high = np.full(3, -2.0), np.full(3, 2.0)
    camera = Camera.around(low, high, np.eye(3), 200)
    near = ball((0.5, 0, 1), 0.8, (1.0, 0.0, 0.0))
    layer = nearest(near, camera)
    assert layer.covered.sum() / camera.scale**2 == pytest.approx(np.pi * 0.8**2, rel=0.01)
    assert layer.depth.max() / camera.scale == pytest.approx(1.8, rel=0.01)
    place = layer.interpolate(near.vertices, near.faces)
    np.testing.assert_allclose(np.linalg.norm(place - [0.5, 0, 1], axis=1), 0.8, atol=0.01)
    # green is behind red on the right, alone on the left
    far = ball((0, 0, -1), 1.5, (0.0, 1.0, 0.0))
    picture = render(Mesh.joined([far, near]), [], camera)
    assert picture[100, 125, 0] > picture[100, 125, 1]
    assert picture[100, 50, 1] > picture[100, 50, 0]
    np.testing.assert_array_equal(picture[5, 5], 1.0)


def test_glass_mixes_colours_and_does_not_reach_through_balls():
    camera = Camera.around(np.full(3, -2.0), np.full(3, 2.0), np.eye(3), 100)
    inner = ball((0, 0, 0), 0.5, (1.0, 0.0, 0.0))
    alone = render(inner, [], camera)
    around = render(inner, [ball((0, 0, 0), 1.5, (0.0, 0.0, 1.0), 0.5)], camera)
    behind = render(inner, [ball((0, 0, -1.5), 0.4, (0.0, 0.0, 1.0), 0.5)], camera)
    assert alone[50, 50, 2] < around[50, 50, 2]
    assert around[50, 50, 0] > around[50, 20, 0]
    assert np.abs(behind[50, 50] - alone[50, 50]).max() < 0.2  # haze only
    assert behind[50, 50, 2] <= behind[50, 50, 0]


def test_bonds_go_on_across_the_end_of_a_cell():
    atoms = Atoms("OH", [[0.2, 2, 2], [3.5, 2, 2]], cell=[4, 4, 4], pbc=True)
    drawn = skeleton(atoms, np.zeros(3), atoms.cell.array)
    assert len(drawn.atom) == 2
    ends = drawn.sticks[:, 1, 0] - drawn.sticks[:, 0, 0]
    np.testing.assert_allclose(sorted(ends), [-0.35, 0.35])
    assert len(drawn.edges) == 12
    atoms.pbc = False
    assert len(skeleton(atoms, np.zeros(3), atoms.cell.array).sticks) == 0


def test_crystals_have_atoms_at_every_corner():
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    drawn = skeleton(atoms, np.zeros(3), atoms.cell.array)
    assert len(drawn.atom) == 27
    assert len(drawn.sticks) == 2 * 54  # every bond of a 3 x 3 x 3 lattice, in halves
    middles = drawn.sticks[:, 1]
    assert middles.min() >= 0
    assert middles.max() <= 5.64


def test_surfaces_as_pictures(rho, tmp_path):
    pytest.importorskip("skimage")
    other = Density(rho.atoms, rho.basis, rho.coefficients * [1, 1, 1, 1, 0.8, 1.2])
    axes = (rho - other).plot_isosurface(tmp_path / "difference.png", pixels=150)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(labels) == 2
    assert all("Å" in label for label in labels)
    pixels = np.asarray(axes.images[0].get_array())
    red, blue = pixels[..., 0], pixels[..., 2]
    assert (blue > red + 0.2).mean() > 0.02
    assert (red > blue + 0.2).mean() > 0.02
    assert (tmp_path / "difference.png").read_bytes()[:4] == b"\x89PNG"


def test_potential_on_a_surface_has_units_and_contours(rho):
    pytest.importorskip("skimage")
    axes = draw_potential(rho, pixels=150, limit=2.0)
    (bar,) = (other for other in axes.figure.axes if other is not axes)
    assert bar.get_ylabel().endswith("/ V")
    np.testing.assert_allclose(bar.get_ylim(), [-2.0, 2.0])
    assert any(hasattr(collection, "levels") for collection in axes.collections)
    with pytest.raises(ValueError, match="limit is -1: give a positive potential"):
        draw_potential(rho, limit=-1)


@pytest.mark.parametrize(("name", "value"), [("opacity", 0), ("pixels", 3), ("isovalue", -0.1)])
def test_mistakes_in_space(rho, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: give"):
        rho.plot_isosurface(**{name: value})
