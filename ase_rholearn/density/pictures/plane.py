"""Pictures of densities on a plane; matplotlib is needed (the extra ``view``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.data.colors import jmol_colors
from scipy.spatial import cKDTree

from ...extras import needs
from .colours import diverging

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: Densities below this (e/Angstrom^3) are drawn as nothing; it is well outside a molecule.
_FAINT = 1e-3

#: Atoms farther than this from the plane (Angstrom) are not marked.
_NEAR = 0.6

#: Radius of the marks of atoms: in Angstrom, and as a part of the longer side at least. Of
#: marks whose middles are closer than the last length only one is drawn.
_RADIUS, _SMALLEST, _SAME = 0.22, 0.012, 0.2

#: Right and up of the planes that have a name.
_NAMED = {"xy": ((1, 0, 0), (0, 1, 0)), "xz": ((1, 0, 0), (0, 0, 1)), "yz": ((0, 1, 0), (0, 0, 1))}

#: Inches: longer side of pictures, and the space for scales beside and titles above.
_SIDE, _BESIDE, _ABOVE = 6.0, 1.6, 0.8


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


def find_plane(
    atoms: Atoms,
    plane: Plane | str | Sequence[int] | None,
    normal: Sequence[float] | None,
    margin: float,
) -> Plane:
    """The plane that is meant by a name, atoms or a direction; see :meth:`Drawable.plot`."""
    if isinstance(plane, (Plane, str)) and normal is not None:
        raise ValueError("give either normal, or plane by name or as a Plane")
    if isinstance(plane, Plane):
        return plane
    if isinstance(plane, str):
        if plane not in _NAMED:
            raise ValueError(f'plane is {plane!r}: give "xy", "xz", "yz", atoms or a Plane')
        return _around(atoms.positions, np.array(_NAMED[plane], dtype=float), margin)
    return plane_through(atoms, plane, normal, margin)


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
            f"plane is {chosen.tolist()}: give indices of atoms, 0 to {len(atoms) - 1}"
        )
    positions = atoms.positions[chosen]
    if normal is not None:
        directions = directions_across(np.asarray(normal, dtype=float))
    else:
        directions = np.linalg.svd(positions - positions.mean(axis=0))[2]  # widest first
    return _around(positions, directions[:2], margin)


def _around(positions: np.ndarray, axes: np.ndarray, margin: float) -> Plane:
    """The rectangle through the middle of some positions that has them all inside."""
    middle = positions.mean(axis=0)
    seen = (positions - middle) @ axes.T
    low, high = seen.min(axis=0) - margin, seen.max(axis=0) + margin
    width, height = (high - low).tolist()
    return Plane(middle + (low + high) / 2 @ axes, axes, (width, height))


def directions_across(normal: np.ndarray) -> np.ndarray:
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
    if points < 2:
        raise ValueError(f"points is {points}: give 2 or more")
    ax = ax or new_axes(*plane.size)
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


def new_axes(width: float, height: float) -> Axes:
    """Axes of a new figure for a picture of a width and height, and what is around it."""
    with needs("matplotlib", "view", "pictures"):
        from matplotlib.figure import Figure

    scale = _SIDE / max(width, height)
    size = (width * scale + _BESIDE, height * scale + _ABOVE)
    return Figure(figsize=size, layout="constrained").subplots()


def _paint(ax: Axes, values: np.ndarray, extent: Any, limit: float | None) -> Any:
    from matplotlib.colors import LogNorm

    norm = LogNorm(_FAINT, limit or 30.0)
    clipped = np.clip(values, _FAINT, None)
    image = ax.imshow(clipped, origin="lower", extent=extent, cmap="magma_r", norm=norm)
    levels = 10.0 ** np.arange(-2.5, 1.6, 0.5)
    colours = ["black" if norm(level) < 0.5 else "white" for level in levels]
    ax.contour(clipped, levels, extent=extent, colors=colours, linewidths=0.5, alpha=0.6)
    return image


def _paint_signed(ax: Axes, values: np.ndarray, extent: Any, limit: float | None) -> Any:
    # nuclei stick out of any linear scale
    limit = limit or max(float(np.quantile(np.abs(values), 0.99)), 1e-12)
    image = ax.imshow(
        values, origin="lower", extent=extent, cmap=diverging(), vmin=-limit, vmax=limit
    )
    levels = limit * np.array([-0.8, -0.4, -0.2, -0.1, 0.1, 0.2, 0.4, 0.8])
    if np.ptp(values) > 0:
        styles = ["dashed" if level < 0 else "solid" for level in levels]
        ax.contour(values, levels, extent=extent, colors="black", linewidths=0.5, linestyles=styles)
    return image


def _mark(ax: Axes, atoms: Atoms, plane: Plane) -> None:
    """Symbols at the nuclei near the plane, with their periodic images in the rectangle."""
    numbers, places = _marks(atoms, plane)
    radius = max(_RADIUS, _SMALLEST * max(plane.size))
    if len(places) > 1:
        closest = cKDTree(places).query(places, k=2)[0][:, 1].min()
        radius = min(radius, 0.48 * float(closest))
    for z, place in zip(numbers, places, strict=True):
        _mark_atom(ax, int(z), place, radius)


def _marks(atoms: Atoms, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and places (n, 2) of nuclei near the plane, the nearest in every place."""
    numbers, positions = _images(atoms, plane)
    in_plane, distance = plane.project(positions)
    away = np.abs(distance)
    inside = (2 * np.abs(in_plane) < plane.size).all(axis=1) & (away < _NEAR)
    chosen = np.flatnonzero(inside)
    chosen = chosen[np.argsort(away[chosen], kind="stable")]
    kept: list[int] = []
    for k in chosen:
        if all(np.linalg.norm(in_plane[k] - in_plane[other]) > _SAME for other in kept):
            kept.append(int(k))
    return numbers[kept], in_plane[kept]


def _mark_atom(ax: Axes, z: int, place: np.ndarray, radius: float) -> None:
    """A disc with the symbol, both as large as the scale of the picture makes them."""
    from matplotlib.patches import Circle, PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    x, y = place
    colour = jmol_colors[z]
    ax.add_patch(Circle((x, y), radius, fc=colour, ec="black", lw=0.6, zorder=3))
    symbol = TextPath((0, 0), chemical_symbols[z], size=1.0)
    box = symbol.get_extents()
    size = 1.35 * radius / max(float(np.hypot(box.width, box.height)), 0.8)
    to_place = Affine2D().translate(-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2)
    path = to_place.scale(size).translate(x, y).transform_path(symbol)
    bright = float(colour @ [0.299, 0.587, 0.114]) > 0.45
    ax.add_patch(PathPatch(path, fc="black" if bright else "white", lw=0, zorder=4))


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
