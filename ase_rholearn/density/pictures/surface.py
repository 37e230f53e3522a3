"""Surfaces of one value, and the electrostatic potential on them.

Marching cubes (scikit-image, the extra ``view``) gives a first mesh, whose vertices Newton steps
move onto the surface of the density itself: area and volume do not depend on the values of a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from ...extras import needs
from ..grid import Grid

if TYPE_CHECKING:
    from ..density import Density
    from .drawable import Drawable

#: The surface of molecules, e/Angstrom^3: 0.002 e/bohr^3.
MOLECULAR = 0.002 / units.Bohr**3

#: Space around the nuclei where surfaces are looked for: the first try, what is added if it
#: does not hold the surface, and the last try. Angstrom.
_MARGINS = (2.5, 2.0, 12.5)

#: Pieces of an edge of a triangle, so that averages see where the potential changes its sign.
_PIECES = 4

#: Newton steps at most.
_STEPS = 12

#: What evaluation may neglect, as a part of the error that is allowed on surfaces.
_NEGLECTED = 1e-3


@dataclass(frozen=True)
class Surface:
    """Mesh of a surface of one value.

    Attributes
    ----------
    isovalue
        Value on it; what it encloses is larger, or more negative where this is negative.
    vertices
        Shape (n, 3), Angstrom.
    normals
        Unit vectors outwards, at the vertices: (n, 3).
    faces
        Vertices of each triangle, counter-clockwise seen from outside: (m, 3).
    caps
        Triangles that close it where it is cut by the end of a periodic cell: (k, 3).
    """

    isovalue: float
    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    caps: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """Of the triangles, without the caps: (m,) Angstrom^2."""
        return np.linalg.norm(self._doubled(self.faces), axis=1) / 2

    @property
    def area(self) -> float:
        """Angstrom^2 (of one cell, if periodic), without the caps."""
        return float(self.areas.sum())

    @property
    def volume(self) -> float:
        """What it encloses (in one cell, if periodic), Angstrom^3."""
        faces = np.concatenate([self.faces, self.caps])
        centre = self.vertices.mean(axis=0)
        return float(((self.vertices[faces[:, 0]] - centre) * self._doubled(faces)).sum() / 6)

    def _doubled(self, faces: np.ndarray) -> np.ndarray:
        """Normals of triangles, twice as long as their areas: (m, 3)."""
        a, b, c = self.vertices[faces].transpose(1, 0, 2)
        return np.cross(b - a, c - a)


@dataclass(frozen=True)
class SurfacePotential:
    r"""Electrostatic potential on a surface, and its statistics after Murray and Politzer.

    All averages are over the area. P. Politzer and J. S. Murray, "Quantitative analyses of
    molecular surface electrostatic potentials in relation to hydrogen bonding and
    co-crystallization", Cryst. Growth Des. 15, 3767 (2015).

    Attributes
    ----------
    surface
        Usually 0.001 or 0.002 e/bohr^3 of the density.
    values
        At the vertices: (n,) V.
    """

    surface: Surface
    values: np.ndarray

    @property
    def minimum(self) -> float:
        """Lowest value at a vertex, V."""
        return float(self.values.min())

    @property
    def maximum(self) -> float:
        """Highest value at a vertex, V."""
        return float(self.values.max())

    @property
    def mean(self) -> float:
        """Average, V."""
        return self._mean_and_variance(-np.inf, np.inf)[0]

    @property
    def mean_positive(self) -> float:
        """Average where it is positive, V; nan where it never is."""
        return self._mean_and_variance(0.0, np.inf)[0]

    @property
    def mean_negative(self) -> float:
        """Average where it is negative, V; nan where it never is."""
        return self._mean_and_variance(-np.inf, 0.0)[0]

    @property
    def positive_area(self) -> float:
        """Area where it is positive, Angstrom^2."""
        values, areas = self._pieces()
        return float(areas[values > 0].sum())

    @property
    def variance_positive(self) -> float:
        """Variance of the positive values, V^2."""
        return self._mean_and_variance(0.0, np.inf)[1]

    @property
    def variance_negative(self) -> float:
        """Variance of the negative values, V^2."""
        return self._mean_and_variance(-np.inf, 0.0)[1]

    @property
    def deviation(self) -> float:
        """Average absolute deviation from the mean (Pi, local polarity), V."""
        values, areas = self._pieces()
        return float(np.average(np.abs(values - self.mean), weights=areas))

    @property
    def balance(self) -> float:
        """Product of the two variances over their squared sum (nu): 0.25 if they are equal."""
        positive, negative = self.variance_positive, self.variance_negative
        return positive * negative / (positive + negative) ** 2

    def _pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """Values in the middle of pieces of the triangles, and the areas of these."""
        shares = _pieces_of_triangle()
        values = (self.values[self.surface.faces] @ shares.T).ravel()
        return values, np.repeat(self.surface.areas / len(shares), len(shares))

    def _mean_and_variance(self, low: float, high: float) -> tuple[float, float]:
        """Of the values between two bounds."""
        values, areas = self._pieces()
        chosen = (values > low) & (values < high)
        if not chosen.any():
            return float("nan"), float("nan")
        mean = np.average(values[chosen], weights=areas[chosen])
        spread = np.average((values[chosen] - mean) ** 2, weights=areas[chosen])
        return float(mean), float(spread)


@cache
def _pieces_of_triangle() -> np.ndarray:
    """Weights of the corners in the middles of equal pieces of a triangle: (n**2, 3)."""
    n = _PIECES
    upright = [(i + 1 / 3, j + 1 / 3) for i in range(n) for j in range(n - i)]
    turned = [(i + 2 / 3, j + 2 / 3) for i in range(n - 1) for j in range(n - 1 - i)]
    first, second = np.array(upright + turned).T / n
    return np.stack([first, second, 1 - first - second], axis=1)


def surface_potential(
    rho: Density, isovalue: float = MOLECULAR, *, spacing: float = 0.15
) -> SurfacePotential:
    """The electrostatic potential on a surface of the density.

    Parameters
    ----------
    rho
        The density.
    isovalue
        e/Angstrom^3; 0.002 e/bohr^3 if left out.
    spacing
        Of the vertices, roughly: Angstrom.
    """
    surface = isosurface(rho, isovalue, spacing=spacing)
    on_surface = np.zeros(len(surface.vertices), dtype=bool)
    on_surface[surface.faces] = True
    values = np.zeros(len(on_surface))  # those inside of caps belong to no area
    values[on_surface] = rho.potential(surface.vertices[on_surface])
    return SurfacePotential(surface, values)


def isosurface(
    drawn: Drawable,
    isovalue: float,
    *,
    spacing: float = 0.15,
    margin: float | None = None,
    accuracy: float = 1e-6,
) -> Surface:
    """The surface where a density or difference has a value.

    Parameters
    ----------
    drawn
        A density, or a difference of two.
    isovalue
        e/Angstrom^3; of differences also negative.
    spacing
        Of the vertices, roughly: Angstrom.
    margin
        Space around the nuclei in which to look, Angstrom. Left out: what the surface needs.
    accuracy
        Relative error of the value at vertices.

    Raises
    ------
    ValueError
        The value does not occur.
    """
    check_isovalue(isovalue)
    grid = _holding(drawn, [isovalue], spacing, margin)
    return _surface(drawn, grid, isovalue, accuracy)


def lobes(
    drawn: Drawable, isovalue: float, *, spacing: float = 0.15, accuracy: float = 1e-6
) -> list[Surface]:
    """Surfaces of a value and, of differences, of its negative, where these occur.

    The parameters are those of :func:`isosurface`.
    """
    check_isovalue(isovalue, positive=True)
    wanted = [isovalue, -isovalue] if drawn._signed else [isovalue]
    grid = _holding(drawn, wanted, spacing, None)
    return [_surface(drawn, grid, value, accuracy) for value in wanted if _occurs(grid, value)]


def check_isovalue(isovalue: float, *, positive: bool = False) -> None:
    """Refuse what no surface has."""
    if not np.isfinite(isovalue) or isovalue == 0 or (positive and isovalue < 0):
        kind = "positive value" if positive else "value other than zero"
        raise ValueError(f"isovalue is {isovalue}: give a {kind} in e/Angstrom^3")


def _holding(drawn: Drawable, isovalues: list[float], spacing: float, margin: float | None) -> Grid:
    """Values on a grid that holds the whole surfaces."""
    first, more, last = _MARGINS
    tried = first if margin is None else margin
    grid = drawn.on_grid(spacing, tried)
    pbc = drawn.atoms.pbc
    while margin is None and tried < last and any(_leaves(grid, v, pbc) for v in isovalues):
        tried += more
        grid = drawn.on_grid(spacing, tried)
    if not any(_occurs(grid, value) for value in isovalues):
        raise ValueError(
            f"isovalue is {isovalues[0]:.4g}, but values go from {grid.values.min():.3g} to "
            f"{grid.values.max():.3g} e/Angstrom^3: give one between them"
        )
    return grid


def _occurs(grid: Grid, isovalue: float) -> bool:
    return bool(grid.values.min() < isovalue < grid.values.max())


def _leaves(grid: Grid, isovalue: float, pbc: np.ndarray) -> bool:
    """Whether the surface goes through an open end of the grid."""
    above = grid.values * np.sign(isovalue) > abs(isovalue)
    ends = [np.take(above, [0, -1], axis=axis) for axis in np.flatnonzero(~pbc)]
    return any(end.any() for end in ends)


def _surface(drawn: Drawable, grid: Grid, isovalue: float, accuracy: float) -> Surface:
    """The surface that runs between the points of a grid."""
    pbc = drawn.atoms.pbc
    along, faces = _marching_cubes(grid, isovalue, pbc)
    caps = _on_one_end(along, pbc)[faces].all(axis=1).any(axis=1)
    moving = np.unique(faces[~caps])
    along[moving], slopes = _on_surface(drawn, grid, isovalue, along[moving], accuracy)
    normals = np.zeros_like(along)
    normals[moving] = -np.sign(isovalue) * slopes / np.maximum(_size(slopes), 1e-30)
    vertices = grid.origin + along @ grid.cell
    return Surface(float(isovalue), vertices, normals, faces[~caps], faces[caps])


def _marching_cubes(grid: Grid, isovalue: float, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices as fractions of the grid's edges (n, 3), and closed triangles (m, 3)."""
    with needs("scikit-image", "view", "surfaces"):
        from skimage.measure import marching_cubes

    above = grid.values * (np.sign(isovalue) / abs(isovalue)) - 1
    above = np.pad(above, [(0, int(p)) for p in pbc], mode="wrap")
    # outside of a cell there is nothing: this closes the surface there
    above = np.pad(np.clip(above, -1e3, 1e3), 1, constant_values=-1e7)
    found, faces, _, _ = marching_cubes(above, 0.0, gradient_direction="ascent")
    along = (found.astype(float) - 1) / grid.shape
    along[:, pbc] = np.clip(along[:, pbc], 0.0, 1.0)
    for axis in np.flatnonzero(pbc):
        for end in (0.0, 1.0):
            close = np.abs(along[:, axis] - end) < 2e-4 / grid.shape[axis]
            along[close, axis] = end
    if np.linalg.det(grid.cell) < 0:
        faces = faces[:, ::-1]
    return along, faces.astype(np.int64)


def _on_one_end(along: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Which vertices lie at which end of the cell: (n, 6)."""
    return np.concatenate([(along == 0) & pbc, (along == 1) & pbc], axis=1)


def _on_surface(
    drawn: Drawable, grid: Grid, isovalue: float, along: np.ndarray, accuracy: float
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices moved onto the surface, and the gradients there.

    Those at the end of a cell stay there, so that the next cell goes on from them.
    """
    pbc = drawn.atoms.pbc
    tolerance = _NEGLECTED * accuracy * abs(isovalue) * units.Bohr**3
    lengths = np.linalg.norm(grid.cell, axis=1)
    largest = (lengths / grid.shape).max() / 2
    slopes = np.zeros_like(along)
    active = np.arange(len(along))
    for _ in range(_STEPS):
        points = grid.origin + along[active] @ grid.cell
        off = isovalue - drawn.evaluate(points, tolerance=tolerance)
        slopes[active] = drawn.gradient(points, tolerance=tolerance)
        far = np.abs(off) > accuracy * abs(isovalue)
        active, off = active[far], off[far]
        if not len(active):
            break
        fixed = pbc & ((along[active] == 0) | (along[active] == 1))
        uphill = np.where(fixed, 0.0, slopes[active] @ grid.cell.T / lengths)
        steep = np.maximum((uphill**2).sum(axis=1), 1e-30)
        step = uphill * (off / steep)[:, None]
        step *= np.minimum(1.0, largest / np.maximum(_size(step), 1e-30))
        moved = along[active] + step / lengths
        along[active] = np.where(pbc, np.clip(moved, 0.0, 1.0), moved)
    return along, slopes


def _size(vectors: np.ndarray) -> Any:
    return np.linalg.norm(vectors, axis=1, keepdims=True)
