"""The HTML viewer: what is in the page, and what a real browser draws of it."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from browser import chromium, needs_browser, used

from ase_rholearn import Basis, Density
from ase_rholearn.density import Grid
from ase_rholearn.density.pictures.space import direction
from ase_rholearn.density.pictures.surface import MOLECULAR
from ase_rholearn.density.pictures.viewer import Colouring, Field, potential_field, view


@pytest.fixture(scope="module")
def benzene() -> Density:
    basis = Basis.from_shells({"C": [(0, [10.0, 2.0, 0.5]), (1, [0.6])], "H": [(0, [0.6])]})
    atoms = molecule("C6H6")
    atoms.rotate(25, (1, 2, 0))
    carbon, hydrogen = [1.2, 0.8, 1.9, 0.05, 0.1, 0.05], [0.6]
    coefficients = np.concatenate([carbon if z == 6 else hydrogen for z in atoms.numbers])
    return Density(atoms, basis, coefficients)


def contents(page: str) -> dict[str, Any]:
    found = re.search(r"^const data = (.*);$", page, re.MULTILINE)
    assert found
    return json.loads(found.group(1))


def decoded(field: dict[str, Any], softening: float) -> np.ndarray:
    words = np.frombuffer(base64.b64decode(field["values"]), "<u2").reshape(field["shape"])
    soft = field["low"] + (field["high"] - field["low"]) * words / 65535
    return softening * np.sinh(soft)


def test_the_page_needs_nothing_else(benzene: Density, tmp_path: Path) -> None:
    changed = Density(benzene.atoms, benzene.basis, benzene.coefficients * 1.01, normalize=False)
    others = {"deformation": changed - benzene}
    returned = benzene.view(tmp_path / "rho.html", others=others, title="a <b> & c")
    page = (tmp_path / "rho.html").read_text()
    assert page == returned.page
    assert len(page) < 5e6
    assert not re.search(r"https?:|src=|href=|@import|import ", page)
    assert "<title>a &lt;b&gt; &amp; c</title>" in page
    assert "@DATA@" not in page
    fields = contents(page)["fields"]
    assert [field["name"] for field in fields] == ["density", "deformation"]
    assert [field["signed"] for field in fields] == [False, True]
    assert all(field["least"] <= field["start"] <= field["most"] for field in fields)
    # a notebook gets the same page in a frame
    frame = returned._repr_html_()
    assert html.unescape(frame.split('srcdoc="')[1].split('"')[0]) == page


def test_values_keep_three_digits(benzene: Density) -> None:
    data = contents(benzene.view(spacing=0.3).page)
    grid = benzene.on_grid(0.3, 2.5)
    found = decoded(data["fields"][0], data["softening"])
    np.testing.assert_allclose(found, grid.values, rtol=1e-3, atol=1e-6)


def test_structure_and_periodic_ends() -> None:
    atoms = molecule("H2O", vacuum=2.0)
    atoms.pbc = True
    grid = Grid(np.random.default_rng(0).random((4, 5, 6)), np.zeros(3), atoms.cell.array)
    data = contents(view(atoms, {"x": Field(grid)}).page)
    assert [ball["label"] for ball in data["balls"]] == ["O0", "H1", "H2"]
    assert len(data["sticks"]) == 4 + 12  # halves of two bonds, and edges
    values = decoded(data["fields"][0], data["softening"])
    assert values.shape == (5, 6, 7)
    np.testing.assert_array_equal(values[-1], values[0])
    # the last plane is a cell away from the first
    np.testing.assert_allclose(np.array(data["fields"][0]["step"])[0] * 4, atoms.cell.array[0])


def test_potential_on_a_surface(benzene: Density) -> None:
    field = potential_field(benzene, margin=1.5)
    stored = contents(view(benzene.atoms, {"x": field}).page)["fields"][0]
    assert stored["start"] == pytest.approx(MOLECULAR)
    scale = stored["colouring"]
    words = np.frombuffer(base64.b64decode(scale["values"]), "<u2").reshape(scale["shape"])
    found = scale["low"] + (scale["high"] - scale["low"]) * words / 65535
    expected = benzene.potential_on_grid(0.3, 1.5).values
    most = 3 * scale["limit"]
    np.testing.assert_allclose(found, np.clip(expected, -most, most), atol=1e-4 * most)
    with pytest.raises(ValueError, match="isovalue is 1e-30: the density has no such value"):
        potential_field(benzene, 1e-30, margin=0.5)


def test_mistakes(benzene: Density) -> None:
    atoms, frame = Atoms("H"), (np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="fields is empty"):
        view(atoms, {})
    with pytest.raises(ValueError, match="'x' has no positive values"):
        view(atoms, {"x": Field(Grid(np.zeros((2, 2, 2)), *frame))})
    for values in (np.ones((1, 2, 2)), np.full((2, 2, 2), np.nan)):
        with pytest.raises(ValueError, match="'x' needs two points along each axis, and finite"):
            view(atoms, {"x": Field(Grid(values, *frame))})
    with pytest.raises(ValueError, match="isovalue is -1: give a positive"):
        benzene.view(isovalue=-1)
    bad = Colouring(Grid(np.full((2, 2, 2), np.nan), *frame), 1.0, "V", "V")
    with pytest.raises(ValueError, match="colouring of 'x' needs two points"):
        view(atoms, {"x": Field(Grid(np.ones((2, 2, 2)), *frame), colouring=bad)})
    with pytest.raises(ValueError, match=r"limit is 0\.0: give a positive"):
        Colouring(Grid(np.ones((2, 2, 2)), *frame), 0.0, "V", "V")


# in a browser ----------------------------------------------------------------------------


def coloured(pixels: np.ndarray) -> tuple[float, float, float]:
    """Parts of a picture that are blue, orange and white."""
    red, blue = pixels[..., 0], pixels[..., 2]
    white = pixels.min(axis=2) > 0.99
    return (blue > red + 0.15).mean(), (red > blue + 0.15).mean(), white.mean()


@needs_browser
def test_a_browser_draws_it(benzene: Density, tmp_path: Path) -> None:
    """The surfaces of a difference, as they are at first."""
    plt = pytest.importorskip("matplotlib.pyplot")
    page, picture = tmp_path / "rho.html", tmp_path / "rho.png"
    changed = Density(benzene.atoms, benzene.basis, benzene.coefficients[::-1].copy())
    (changed - benzene).view(page, others={"density": benzene})
    chromium(tmp_path, f"--screenshot={picture}", page.as_uri())
    blue, orange, white = coloured(plt.imread(picture)[60:-40, :, :3])
    assert blue > 0.02
    assert orange > 0.02
    assert white > 0.3


#: Uses every control, then says what is seen: pixels of the scene, and of what is over it.
USE_IT = """
const result = {};
const key = name => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name }));
function seen() {
  const both = document.createElement("canvas"), pen = both.getContext("2d");
  [both.width, both.height] = [canvas.width, canvas.height];
  render();
  pen.drawImage(canvas, 0, 0);
  const p = pen.getImageData(0, 0, both.width, both.height).data;
  const count = { grey: 0, blue: 0, orange: 0, blueRight: 0, orangeRight: 0 };
  for (let i = 0; i < p.length; i += 4) {
    const right = i / 4 % both.width > both.width / 2;
    if (p[i + 2] > p[i] + 40) { count.blue++; count.blueRight += right; }
    else if (p[i] > p[i + 2] + 40) { count.orange++; count.orangeRight += right; }
    else if (p[i] < 140 && Math.abs(p[i] - p[i + 2]) < 20) count.grey++;
  }
  return count;
}
function letters() {
  const p = pen.getImageData(0, 0, overlay.width, overlay.height).data;
  return p.filter((x, i) => i % 4 === 3 && x).length;
}
result.triangles = +document.body.dataset.triangles;
opacity = 0;
result.skeleton = seen();
choice.selectedIndex = 1; choose();
opacity = 1;
result.coloured = seen();
result.plain = letters();
key("l"); result.named = letters();
const before = JSON.stringify(turn);
key("ArrowLeft"); result.turned = JSON.stringify(turn) !== before;
key("+"); result.zoom = zoom;
key("0"); result.again = JSON.stringify(turn) === before && zoom === 1;
const down = (id, x) => canvas.onpointermove({ pointerId: id, clientX: x, clientY: 0 });
pointers.set(1, [100, 0]); pointers.set(2, [200, 0]);
down(2, 300); result.pinched = zoom; pointers.clear();
document.getElementById("save").click();
result.saved = +document.body.dataset.saved;
result.value = document.getElementById("value").textContent;
document.body.dataset.result = JSON.stringify(result);
</script>"""


@needs_browser
def test_every_control_does_what_it_says(benzene: Density, tmp_path: Path) -> None:
    grid = benzene.on_grid(0.3, 2.5)
    towards_right = grid.points() @ direction(benzene.atoms, None)[0]
    colouring = Colouring(Grid(towards_right, grid.origin, grid.cell), 1.0, "x", "Å")
    field = Field(grid, isovalue=MOLECULAR, colouring=colouring)
    found = used(benzene.view(others={"coloured": field}).page, tmp_path, USE_IT)
    assert found["triangles"] > 1000
    # carbon and bonds without a surface; colours that follow the second field on one
    assert found["skeleton"]["grey"] > 1000
    assert found["skeleton"]["blue"] == 0
    scene = found["coloured"]
    assert scene["blueRight"] > 0.95 * scene["blue"] > 1000
    assert 1000 < scene["orange"] * 0.95 < scene["orange"] - scene["orangeRight"]
    assert found["named"] > found["plain"] > 0
    assert found["turned"]
    assert found["again"]
    assert found["zoom"] == pytest.approx(1.1)
    assert found["pinched"] == pytest.approx(2.0)
    assert found["saved"] > 10_000
    assert found["value"] == "0.0135 e/Å³ (0.00200 e/bohr³)"


@needs_browser
def test_the_surface_of_a_sphere(tmp_path: Path) -> None:
    """Marching tetrahedra in the browser: a sphere's area, from points and faces."""
    axis = np.linspace(-2, 2, 41)
    distance = np.sqrt(sum(x * x for x in np.meshgrid(axis, axis, axis, indexing="ij")))
    grid = Grid(np.exp(-distance), np.full(3, -2.0), np.eye(3) * 4.1)
    page = view(Atoms("H"), {"x": Field(grid, isovalue=float(np.exp(-1.5)))}).page
    script = """
    const f = data.fields[0], s = isosurface(f, Math.asinh(Math.exp(-1.5) / data.softening));
    let area = 0, off = 0;
    const at = i => s.points.slice(3 * i, 3 * i + 3);
    for (let i = 0; i < s.faces.length; i += 3) {
      const [a, b, c] = [0, 1, 2].map(k => at(s.faces[i + k]));
      area += Math.hypot(...cross(b.map((x, m) => x - a[m]), c.map((x, m) => x - a[m]))) / 2;
    }
    for (let i = 0; i < s.points.length / 3; i++) {
      const p = at(i), r = Math.hypot(...p);
      off = Math.max(off, Math.abs(r - 1.5), ...p.map((x, m) => Math.abs(s.normals[3*i+m] - x/r)));
    }
    const edges = new Set();
    for (let i = 0; i < s.faces.length; i += 3) for (let k = 0; k < 3; k++) {
      const [a, b] = [s.faces[i + k], s.faces[i + (k + 1) % 3]].sort((x, y) => x - y);
      const key = a + "," + b;
      if (!edges.delete(key)) edges.add(key);
    }
    document.body.dataset.result = JSON.stringify([area, off, edges.size]);
    </script>"""
    area, off, loose_edges = used(page, tmp_path, script)
    assert area == pytest.approx(4 * np.pi * 1.5**2, rel=2e-3)
    assert off < 0.01
    assert loose_edges == 0  # closed: every edge has two faces
