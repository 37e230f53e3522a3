"""Pictures of densities on a plane; matplotlib is needed (the extra ``view``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.data.colors import jmol_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..grid import Grid
    from .viewer import View

#: Densities below this (e/Angstrom^3) are drawn as nothing; it is well outside a molecule.
_FAINT = 1e-3

#: Atoms farther than this from the plane (Angstrom) are not marked.
_NEAR = 0.6

#: Isovalue of densities to begin with (e/Angstrom^3): it shows the bonds.
_ISOVALUE = 0.3

#: Dots an inch of files.
_RESOLUTION = 150


@dataclass(frozen=True)
class Plane:
    """A rectangle in space.

    Attributes
    ----------
    centre
        Its middle: (3,) Angstrom.
    axes
        Two orthonormal vectors, right and up: (2, 3).
    size
        Width and height, Angstrom.
    """

    centre: np.ndarray
    axes: np.ndarray
    size: tuple[float, float]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector out of the picture."""
        return np.cross(self.axes[0], self.axes[1])

    def points(self, n: int) -> tuple[np.ndarray, tuple[int, int]]:
        """Points (rows * columns, 3) with n along the longer side, and (rows, columns)."""
        step = max(self.size) / n
        columns, rows = (max(2, round(length / step)) for length in self.size)
        u = (np.arange(columns) + 0.5) / columns - 0.5
        v = (np.arange(rows) + 0.5) / rows - 0.5
        right = u[None, :, None] * self.size[0] * self.axes[0]
        up = v[:, None, None] * self.size[1] * self.axes[1]
        return (self.centre + right + up).reshape(-1, 3), (rows, columns)

    def project(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates in the plane (n, 2) and distances from it (n,)."""
        relative = positions - self.centre
        return relative @ self.axes.T, relative @ self.normal


class Drawable:
    """What has values in space and nuclei, and can be drawn."""

    #: Whether values of both signs are to be expected.
    _signed = False

    @property
    def _name(self) -> str:
        return "difference" if self._signed else "density"

    atoms: Atoms

    def evaluate(self, points: Any) -> np.ndarray:
        """Values (n,) in e/Angstrom^3 at points (n, 3) in Angstrom."""
        raise NotImplementedError

    def on_grid(self, spacing: float = 0.1, margin: float = 3.0) -> Grid:
        """Values on a uniform grid over the cell or around the molecule."""
        raise NotImplementedError

    def view(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        others: Mapping[str, Drawable] | None = None,
        isovalue: float | None = None,
        spacing: float | None = None,
        margin: float = 2.5,
        title: str = "",
    ) -> View:
        """Isosurfaces on a page that works offline, in any browser or inline in a notebook.

        The page has everything in it: values on a grid, the structure, and a script that draws
        surfaces at the isovalue of a slider (WebGL 2). Differences have two surfaces, blue
        where positive and orange where negative.

        Parameters
        ----------
        path
            HTML file to write. Left out: only return the page.
        others
            Densities or differences to switch to, by name.
        isovalue
            Where the slider begins, e/Angstrom^3.
        spacing
            Of the grid, Angstrom. Left out: a quarter of a million points or less.
        margin
            Space around a molecule, Angstrom.
        title
            Left out: the chemical formula.

        Returns
        -------
        ase_rholearn.density.pictures.viewer.View
            Notebooks show it.
        """
        from .viewer import Field, view, view_spacing

        if isovalue is not None and not isovalue > 0:
            raise ValueError(f"isovalue is {isovalue}: give a positive value in e/Angstrom^3")
        fields = {}
        for name, drawn in {self._name: self, **(others or {})}.items():
            step = spacing
            if step is None:
                box = drawn.on_grid(1.0, margin).cell
                step = view_spacing(abs(float(np.linalg.det(box))))
            start = isovalue if drawn is self else None
            if start is None and not drawn._signed:
                start = _ISOVALUE
            fields[name] = Field(drawn.on_grid(step, margin), signed=drawn._signed, isovalue=start)
        page = view(self.atoms, fields, title=title)
        if path is not None:
            page.write(path)
        return page

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        through: Sequence[int] | None = None,
        normal: Sequence[float] | None = None,
        margin: float = 2.0,
        points: int = 300,
        limit: float | None = None,
        title: str = "",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the values on a plane; needs matplotlib (``ase-rholearn[view]``).

        Densities are drawn on a logarithmic scale, differences red where negative and blue
        where positive.

        Parameters
        ----------
        path
            Picture file to write. Left out: only draw.
        through
            Indices of the atoms in whose best plane to cut; all atoms, if left out.
        normal
            Direction of view, instead of the best one.
        margin
            Space around the outermost of these nuclei, Angstrom.
        points
            Resolution along the longer side.
        limit
            End of the colour scale, e/Angstrom^3.
        title
            Above the picture.
        ax
            matplotlib axes to draw on; a new figure if left out.

        Returns
        -------
        matplotlib.axes.Axes
        """
        plane = plane_through(self.atoms, through, normal, margin)
        ax = draw(self.evaluate, self.atoms, plane, self._signed, points, limit, title, ax)
        if path is not None:
            ax.figure.savefig(path, dpi=_RESOLUTION)  # type: ignore[union-attr]
        return ax


def plane_through(
    atoms: Atoms,
    through: Sequence[int] | None = None,
    normal: Sequence[float] | None = None,
    margin: float = 2.0,
) -> Plane:
    """The plane that lies best in a structure, or in some of its atoms.

    Parameters
    ----------
    atoms
        The structure.
    through
        Indices of the atoms that the plane goes through as well as it can. Left out: all.
    normal
        Direction of view, instead of the best one: (3,).
    margin
        Space around the outermost of these nuclei, Angstrom.
    """
    chosen = np.arange(len(atoms)) if through is None else np.asarray(through)
    if len(chosen) == 0 or chosen.min() < -len(atoms) or chosen.max() >= len(atoms):
        raise ValueError(
            f"through is {chosen.tolist()}: give indices of atoms, 0 to {len(atoms) - 1}"
        )
    positions = atoms.positions[chosen]
    middle = positions.mean(axis=0)
    directions = np.linalg.svd(positions - middle)[2]  # widest first
    if normal is not None:
        directions = _directions_across(np.asarray(normal, dtype=float))
    axes = directions[:2]
    seen = (positions - middle) @ axes.T
    low, high = seen.min(axis=0) - margin, seen.max(axis=0) + margin
    width, height = (high - low).tolist()
    return Plane(middle + (low + high) / 2 @ axes, axes, (width, height))


def _directions_across(normal: np.ndarray) -> np.ndarray:
    """Two directions across a normal, then the normal itself: rows of a rotation."""
    length = np.linalg.norm(normal)
    if normal.shape != (3,) or not np.isfinite(length) or length == 0:
        raise ValueError(f"normal is {normal.tolist()}: give a vector of three numbers, not zero")
    normal = normal / length
    right = np.cross([0.0, 1.0, 0.0] if abs(normal[1]) < 0.9 else [0.0, 0.0, -1.0], normal)
    right /= np.linalg.norm(right)
    return np.array([right, np.cross(normal, right), normal])


def draw(
    function: Callable[[np.ndarray], np.ndarray],
    atoms: Atoms,
    plane: Plane,
    signed: bool,
    points: int,
    limit: float | None,
    title: str,
    ax: Axes | None,
) -> Axes:
    """Draw a function of space on a plane; see :meth:`Drawable.plot`."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pictures need matplotlib: pip install 'ase-rholearn[view]'", name="matplotlib"
        ) from error

    if points < 2:
        raise ValueError(f"points is {points}: give 2 or more")
    if ax is None:
        width, height = plane.size
        scale = 6.0 / max(width, height)
        figure = Figure(figsize=(width * scale + 1.6, height * scale + 0.8), layout="constrained")
        ax = figure.subplots()
    coordinates, shape = plane.points(points)
    values = function(coordinates).reshape(shape)
    extent = (-plane.size[0] / 2, plane.size[0] / 2, -plane.size[1] / 2, plane.size[1] / 2)
    image = (
        _paint_signed(ax, values, extent, limit) if signed else _paint(ax, values, extent, limit)
    )
    _mark(ax, atoms, plane)
    ax.set(title=title, xlabel="Å", ylabel="Å", aspect="equal", xlim=extent[:2], ylim=extent[2:])
    label = "difference / e Å$^{-3}$" if signed else "density / e Å$^{-3}$"
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8)
    return ax


def _paint(ax: Axes, values: np.ndarray, extent: Any, limit: float | None) -> Any:
    from matplotlib.colors import LogNorm

    norm = LogNorm(_FAINT, limit or 30.0)
    clipped = np.clip(values, _FAINT, None)
    image = ax.imshow(clipped, origin="lower", extent=extent, cmap="magma_r", norm=norm)
    levels = 10.0 ** np.arange(-2.5, 1.6, 0.5)
    ax.contour(clipped, levels, extent=extent, colors="white", linewidths=0.5, alpha=0.7)
    return image


def _paint_signed(ax: Axes, values: np.ndarray, extent: Any, limit: float | None) -> Any:
    # nuclei stick out of any linear scale
    limit = limit or max(float(np.quantile(np.abs(values), 0.99)), 1e-12)
    image = ax.imshow(values, origin="lower", extent=extent, cmap="RdBu", vmin=-limit, vmax=limit)
    levels = limit * np.array([-0.8, -0.4, -0.2, -0.1, 0.1, 0.2, 0.4, 0.8])
    if np.ptp(values) > 0:
        ax.contour(values, levels, extent=extent, colors="black", linewidths=0.4, alpha=0.6)
    return image


def _mark(ax: Axes, atoms: Atoms, plane: Plane) -> None:
    """Symbols at the nuclei near the plane, with their periodic images in the rectangle."""
    numbers, positions = _images(atoms, plane)
    in_plane, distance = plane.project(positions)
    for z, (x, y), far in zip(numbers, in_plane, np.abs(distance), strict=True):
        inside = 2 * abs(x) < plane.size[0] and 2 * abs(y) < plane.size[1]
        if far < _NEAR and inside:
            ax.plot(x, y, "o", ms=11, mfc=jmol_colors[z], mec="black", mew=0.6, alpha=0.85)
            ax.text(x, y - 0.01, chemical_symbols[z], ha="center", va="center", fontsize=7)


def _images(atoms: Atoms, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    if not atoms.pbc.any():
        return atoms.numbers, atoms.positions
    from ..evaluation.points import completed_cell

    cell = completed_cell(atoms.cell.array, atoms.pbc)
    reach = np.linalg.norm(plane.size) / 2 + _NEAR
    # how many periods fit into the reach, and how far the atoms are from it
    inverse = np.linalg.inv(cell)
    span = np.ceil(reach * np.linalg.norm(inverse, axis=0)).astype(int) * atoms.pbc
    fractions = (atoms.positions - plane.centre) @ inverse
    base = plane.centre + (fractions - np.round(fractions) * atoms.pbc) @ cell
    ranges = [np.arange(-n - 1, n + 2) if n else np.zeros(1) for n in span]
    shifts = np.stack(np.meshgrid(*ranges), axis=-1).reshape(-1, 3) @ cell
    positions = (base[None] + shifts[:, None]).reshape(-1, 3)
    return np.tile(atoms.numbers, len(shifts)), positions
