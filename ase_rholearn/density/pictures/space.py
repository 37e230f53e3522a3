"""Pictures of surfaces in space; matplotlib and scikit-image are needed (the extra ``view``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units

from ..evaluation.points import completed_cell
from ..frame import grid_frame
from .colours import NEGATIVE, POSITIVE, diverging, diverging_colours
from .meshes import skeleton_mesh, surface_mesh
from .plane import directions_across, new_axes, plane_through
from .raster import Camera, Mesh, nearest, render
from .structure import Skeleton, skeleton
from .surface import (
    MOLECULAR,
    Surface,
    SurfacePotential,
    check_isovalue,
    lobes,
    surface_potential,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..density import Density
    from .drawable import Drawable

#: Isovalue of densities to begin with (e/Angstrom^3): it shows the bonds.
ISOVALUE = 0.3

#: Distance of vertices (Angstrom), and relative error of values there: what is seen.
_SPACING, _ACCURACY = 0.15, 1e-2

#: Space around what is drawn, and between nuclei and the edges of a cell where it is open:
#: Angstrom.
_MARGIN, _AROUND = 0.4, 2.0

#: Molecules are looked at from above their plane, a little from below and the side: degrees.
_TILT = (30.0, 15.0)

#: Lengths of the scale bar (Angstrom), and its largest part of the width.
_BARS, _BAR_WIDTH = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0), 0.3

#: Height of what is written below, as a part of the longer side.
_STRIP = 0.08

#: Steps of the depth between neighbouring pixels (in pixels) that are an edge.
_JUMP = 8.0

#: Contours of the potential on each side of zero.
_CONTOURS = 4


def draw_isosurface(
    drawn: Drawable,
    isovalue: float | None,
    normal: Sequence[float] | None,
    opacity: float,
    pixels: int,
    title: str,
    ax: Axes | None,
) -> Axes:
    """Draw surfaces of one value; see :meth:`Drawable.plot_isosurface`."""
    if isovalue is None:
        isovalue = ISOVALUE
        if drawn._signed:
            isovalue = suitable_isovalue(drawn.on_grid(0.3, 2.0).values)
    found = lobes(drawn, isovalue, spacing=_SPACING, accuracy=_ACCURACY)
    scene = _Scene.of(drawn, found, normal, opacity, pixels)
    colours = [np.array(POSITIVE if s.isovalue > 0 else NEGATIVE) for s in found]
    surfaces = [surface_mesh(s, c, opacity) for s, c in zip(found, colours, strict=True)]
    ax = scene.show(surfaces, title, ax)
    scene.name(ax, found)
    return ax


def draw_potential(
    rho: Density,
    isovalue: float = MOLECULAR,
    limit: float | None = None,
    normal: Sequence[float] | None = None,
    opacity: float = 0.9,
    pixels: int = 800,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the potential on a surface of the density; see :meth:`Density.plot_potential`."""
    check_isovalue(isovalue, positive=True)
    if limit is not None and not limit > 0:
        raise ValueError(f"limit is {limit}: give a positive potential in V")
    coloured = surface_potential(rho, isovalue, spacing=_SPACING)
    scene = _Scene.of(rho, [coloured.surface], normal, opacity, pixels)
    limit = limit or max(coloured.maximum, -coloured.minimum)
    mesh = surface_mesh(coloured.surface, diverging_colours(coloured.values, limit), opacity)
    ax = scene.show([mesh], title, ax)
    levels = limit * np.arange(-_CONTOURS, _CONTOURS + 1) / (_CONTOURS + 1)
    scene.contours(ax, coloured, levels)
    _colour_bar(ax, limit, levels)
    in_bohr = isovalue * units.Bohr**3
    scene.note(ax, f"on {isovalue:.3g} e Å$^{{-3}}$ ({in_bohr:.2g} e bohr$^{{-3}}$)")
    return ax


def suitable_isovalue(values: np.ndarray) -> float:
    """One that encloses a tenth of what differs from zero, with one digit."""
    size = np.abs(values[values != 0])
    if not len(size):
        raise ValueError("the difference is zero everywhere: there is nothing to draw")
    return float(f"{np.quantile(size, 0.9):.0e}")


@dataclass(frozen=True)
class _Scene:
    """A structure, and where it is seen from."""

    structure: Skeleton
    camera: Camera

    @classmethod
    def of(
        cls,
        drawn: Drawable,
        surfaces: Sequence[Surface],
        normal: Sequence[float] | None,
        opacity: float,
        pixels: int,
    ) -> _Scene:
        if not 0 < opacity <= 1:
            raise ValueError(f"opacity is {opacity}: give a number above 0, 1 at most")
        if pixels < 16:
            raise ValueError(f"pixels is {pixels}: give 16 or more")
        box = grid_frame(drawn.atoms, 1.0, _AROUND)
        structure = skeleton(drawn.atoms, box.origin, box.cell)
        axes = direction(drawn.atoms, normal)
        things = [structure.edges, structure.sticks, *(s.vertices for s in surfaces)]
        reach = structure.radii[:, None] * np.ones(3)
        things += [structure.positions + reach, structure.positions - reach]
        seen = np.concatenate([thing.reshape(-1, 3) for thing in things]) @ axes.T
        low, high = seen.min(axis=0) - _MARGIN, seen.max(axis=0) + _MARGIN
        return cls(structure, Camera.around(low, high, axes, pixels))

    @property
    def strip(self) -> float:
        """Height of what is written below the picture, Angstrom."""
        return _STRIP * max(self.camera.size)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper end in Angstrom."""
        width, height = self.camera.size
        return (-width / 2, width / 2, -height / 2, height / 2)

    def show(self, surfaces: Sequence[Mesh], title: str, ax: Axes | None) -> Axes:
        """The picture on axes without ticks, with a bar that says how long an Angstrom is."""
        width, height = self.camera.size
        ax = ax or new_axes(width, height + self.strip)
        picture = render(skeleton_mesh(self.structure), surfaces, self.camera)
        ax.imshow(np.clip(picture, 0, 1), origin="lower", extent=self.extent)
        left, right, bottom, top = self.extent
        ax.set(title=title, xlim=(left, right), ylim=(bottom - self.strip, top), aspect="equal")
        ax.set_axis_off()
        bar = max([b for b in _BARS if b <= _BAR_WIDTH * width], default=_BARS[0])
        start, line = left + 0.03 * width, bottom - self.strip / 2
        ax.plot([start, start + bar], [line, line], color="black", lw=2)
        ax.text(start + bar + 0.02 * width, line, f"{bar:g} Å", va="center", fontsize=9)
        return ax

    def note(self, ax: Axes, text: str) -> None:
        """Write something below the picture, at the right."""
        _, right, bottom, _ = self.extent
        ax.text(right, bottom - self.strip / 2, text, ha="right", va="center", fontsize=9)

    def name(self, ax: Axes, surfaces: Sequence[Surface]) -> None:
        """Say which colour has which value, below the picture."""
        from matplotlib.patches import Patch

        sign = "" if len(surfaces) == 1 and surfaces[0].isovalue > 0 else "+"
        patches = [
            Patch(
                facecolor=POSITIVE if s.isovalue > 0 else NEGATIVE,
                edgecolor="black",
                linewidth=0.5,
                label=f"${s.isovalue:{sign}.3g}$ e Å$^{{-3}}$",
            )
            for s in surfaces
        ]
        height = self.camera.size[1]
        ax.legend(
            handles=patches,
            loc="center right",
            bbox_to_anchor=(1.0, self.strip / 2 / (height + self.strip)),
            ncols=len(patches),
            frameon=False,
            fontsize=9,
            borderpad=0.0,
            borderaxespad=0.0,
            handlelength=1.2,
            columnspacing=1.2,
        )

    def contours(self, ax: Axes, coloured: SurfacePotential, levels: np.ndarray) -> None:
        """Contours of the potential where the surface is seen; dashed where negative."""
        solid = skeleton_mesh(self.structure)
        surface = surface_mesh(coloured.surface, np.zeros(3), 1.0)
        both = Mesh.joined([solid, surface])
        values = np.full(len(both.vertices), np.nan)  # also where a cell cuts the surface
        values[len(solid.vertices) :][: len(coloured.values)] = coloured.values
        layer = nearest(both, self.camera)
        picture = np.full(layer.depth.shape, np.nan)
        picture[layer.covered] = layer.interpolate(values, both.faces)
        # where one part of the surface ends in front of another, contours would jump
        depth = np.where(layer.covered, layer.depth, np.nan)
        for axis in range(2):
            picture[np.abs(np.diff(depth, axis=axis, append=np.nan)) > _JUMP] = np.nan
        shown = [v for v in levels if np.nanmin(picture) < v < np.nanmax(picture)]
        if shown:
            lines = [1.4 if v == 0 else 0.7 for v in shown]
            ax.contour(picture, shown, extent=self.extent, colors="black", linewidths=lines)


def direction(atoms: Atoms, normal: Sequence[float] | None) -> np.ndarray:
    """Right, up and towards the eye, rows of a rotation: from a normal, or as it suits."""
    if normal is not None:
        return directions_across(np.asarray(normal, dtype=float))
    if atoms.pbc.any():
        a, _, c = completed_cell(atoms.cell.array, atoms.pbc)
        up = c / np.linalg.norm(c)
        front = np.cross(up, a / np.linalg.norm(a))  # the face of a and c
        eye = -front + 0.35 * np.cross(front, up) + 0.25 * up
        right = np.cross(up, eye)
        axes = np.array([right, np.cross(eye, right), eye])
        return axes / np.linalg.norm(axes, axis=1, keepdims=True)
    plane = plane_through(atoms)
    flat = np.vstack([plane.axes, plane.normal])
    (sx, sy), (cx, cy) = np.sin(np.radians(_TILT)), np.cos(np.radians(_TILT))
    about_x = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return about_x @ about_y @ flat


def _colour_bar(ax: Axes, limit: float, levels: np.ndarray) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(-limit, limit), diverging())
    bar = ax.figure.colorbar(scale, ax=ax, label="electrostatic potential / V", shrink=0.8)
    for level in levels:
        style = "--" if level < 0 else "-"
        bar.ax.axhline(level, color="black", ls=style, lw=1.4 if level == 0 else 0.7)
    return bar
