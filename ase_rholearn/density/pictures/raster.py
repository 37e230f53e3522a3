"""Meshes to pixels: nearest triangles, light, and transparent surfaces, in NumPy.

Seen from far away (no perspective), so that a length is the same everywhere in the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

#: Pixels of triangles that are looked at together.
_BLOCK = 2**19

#: Area of triangles that are seen from the side (pixels), and a column beyond all pictures.
_SLIVER, _FAR = 1e-6, 1e6

#: Pixels along a side that are averaged for one of the picture.
_SUPERSAMPLING = 2

#: Directions of light and of the highlight (right, up, to the eye), and their strengths.
_LIGHT, _SHINE = np.array([0.4, 0.5, 1.0]), np.array([0.2, 0.3, 1.0])
_AMBIENT, _HIGHLIGHT, _SHARPNESS = 0.45, 0.3, 40

#: How much of the farthest thing fades into the white background.
_HAZE = 0.35


@dataclass(frozen=True)
class Mesh:
    """Triangles with colours.

    Attributes
    ----------
    vertices, normals, colours
        (n, 3): Angstrom, unit vectors, red-green-blue.
    faces
        Vertices of each triangle: (m, 3).
    opacity
        1 hides what is behind. Otherwise only the nearest layer of the mesh is seen, and its
        rim more than its middle.
    """

    vertices: np.ndarray
    normals: np.ndarray
    colours: np.ndarray
    faces: np.ndarray
    opacity: float = 1.0

    @staticmethod
    def joined(meshes: Sequence[Mesh], opacity: float = 1.0) -> Mesh:
        """Several meshes as one."""
        starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
        return Mesh(
            np.concatenate([mesh.vertices for mesh in meshes]),
            np.concatenate([mesh.normals for mesh in meshes]),
            np.concatenate([mesh.colours for mesh in meshes]),
            np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=True)]),
            opacity,
        )


@dataclass(frozen=True)
class Camera:
    """Where a picture is taken from.

    Attributes
    ----------
    centre
        What is in the middle: (3,) Angstrom.
    axes
        Right, up, and towards the eye: rows of a rotation (3, 3).
    scale
        Pixels an Angstrom.
    shape
        Rows and columns.
    """

    centre: np.ndarray
    axes: np.ndarray
    scale: float
    shape: tuple[int, int]

    @classmethod
    def around(cls, low: np.ndarray, high: np.ndarray, axes: np.ndarray, pixels: int) -> Camera:
        """One that sees a box along its axes, with so many pixels along the longer side."""
        width, height, _ = (high - low).tolist()
        scale = pixels / max(width, height)
        shape = (max(2, round(height * scale)), max(2, round(width * scale)))
        return cls((low + high) / 2 @ axes, axes, scale, shape)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, Angstrom."""
        return self.shape[1] / self.scale, self.shape[0] / self.scale

    def finer(self, n: int) -> Camera:
        """The same picture with n by n pixels for each."""
        rows, columns = self.shape
        return Camera(self.centre, self.axes, self.scale * n, (rows * n, columns * n))

    def project(self, vertices: np.ndarray) -> np.ndarray:
        """Column, row from below and depth (larger is nearer), in pixels: (n, 3)."""
        rows, columns = self.shape
        seen = (vertices - self.centre) @ self.axes.T * self.scale
        return seen + np.array([columns / 2, rows / 2, 0.0])


@dataclass(frozen=True)
class Layer:
    """The nearest triangle in each pixel.

    Attributes
    ----------
    depth
        Larger is nearer, -inf where there is none: (rows, columns).
    face
        Its index, -1 where there is none: (rows, columns).
    weights
        Of its corners, where there is one: (n, 3).
    """

    depth: np.ndarray
    face: np.ndarray
    weights: np.ndarray

    @property
    def covered(self) -> np.ndarray:
        """Where there is a triangle: (rows, columns)."""
        return self.face >= 0

    def interpolate(self, values: np.ndarray, faces: np.ndarray) -> np.ndarray:
        """Values at vertices (n, ...) in the covered pixels."""
        corners = faces[self.face[self.covered]]
        shape = (-1,) + (1,) * (values.ndim - 1)
        parts = (self.weights[:, k].reshape(shape) * values[corners[:, k]] for k in range(3))
        return sum(parts, start=np.zeros(()))


def nearest(mesh: Mesh, camera: Camera) -> Layer:
    """Which triangle of a mesh is seen in each pixel."""
    rows, columns = camera.shape
    seen = camera.project(mesh.vertices)[mesh.faces]
    depth = np.full(rows * columns, -np.inf)
    face = np.full(rows * columns, -1)
    weights = np.zeros((rows * columns, 3))
    for triangle, pixel, shares in _fragments(seen, rows, columns):
        near = (shares * seen[triangle, :, 2]).sum(axis=1)
        np.maximum.at(depth, pixel, near)
        wins = near == depth[pixel]
        face[pixel[wins]] = triangle[wins]
        weights[pixel[wins]] = shares[wins]
    shape = (rows, columns)
    return Layer(depth.reshape(shape), face.reshape(shape), weights[face >= 0])


def _fragments(
    seen: np.ndarray, rows: int, columns: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Triangles, the pixels they cover, and the weights of their corners there."""
    sides = seen[:, 1:, :2] - seen[:, :1, :2]
    areas = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]) / 2
    visible = np.flatnonzero(areas > _SLIVER)
    for chosen in np.array_split(visible, int(areas.sum()) // _BLOCK + 1):
        corners = np.concatenate([seen[chosen, :, :2], np.ones((len(chosen), 3, 1))], axis=2)
        affine = np.linalg.inv(corners)  # weights of the corners at (column, row, 1)
        low, high = seen[chosen, :, 1].min(axis=1), seen[chosen, :, 1].max(axis=1)
        triangle, row = _expanded(low, high, rows)
        left, right = _span(affine[triangle], row + 0.5)
        line, column = _expanded(left, right, columns)
        triangle, row = triangle[line], row[line]
        across, up, start = affine[triangle].transpose(1, 0, 2)
        shares = across * (column + 0.5)[:, None] + up * (row + 0.5)[:, None] + start
        yield chosen[triangle], row * columns + column, shares


def _expanded(low: np.ndarray, high: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels 0 to end - 1 whose middles lie between bounds: indices of bounds, and pixels."""
    first = np.maximum(np.ceil(low - 0.5), 0).astype(int)
    last = np.minimum(np.floor(high - 0.5), end - 1).astype(int)
    counts = np.maximum(last - first + 1, 0)
    index = np.repeat(np.arange(len(low)), counts)
    starts = np.cumsum(counts) - counts
    return index, first[index] + np.arange(len(index)) - starts[index]


def _span(affine: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where lines (n,) enter and leave triangles, whose weights are all positive inside."""
    slope = affine[:, 0]
    there = affine[:, 1] * height[:, None] + affine[:, 2]
    flat = slope == 0
    crossing = -there / np.where(flat, 1.0, slope)
    left = np.where(slope > 0, crossing, -_FAR)
    left[flat & (there < 0)] = _FAR  # the whole line is outside
    right = np.where(slope < 0, crossing, _FAR)
    return left.max(axis=1), right.min(axis=1)


def render(solid: Mesh, surfaces: Sequence[Mesh], camera: Camera) -> np.ndarray:
    """A picture of a solid mesh and of surfaces: (rows, columns, 3), from 0 to 1, row 0 below."""
    fine = camera.finer(_SUPERSAMPLING)
    layers = [(mesh, nearest(mesh, fine)) for mesh in (solid, *surfaces)]
    haze = _Haze.of([layer.depth for _, layer in layers])
    depths = np.stack([layer.depth for _, layer in layers])
    painted = [_paint(mesh, layer, fine, haze) for mesh, layer in layers]
    hidden = depths < depths[0]  # behind what is solid
    picture = np.ones((*fine.shape, 3))
    # from the farthest layer to the nearest one
    for rank in np.argsort(depths, axis=0):
        for k, (_, layer) in enumerate(layers):
            here = (rank == k) & layer.covered & ~hidden[k]
            chosen = here[layer.covered]
            colour, opacity = (values[chosen] for values in painted[k])
            picture[here] += opacity[:, None] * (colour - picture[here])
    return _averaged(picture, camera.shape)


@dataclass(frozen=True)
class _Haze:
    nearest: float
    farthest: float

    @classmethod
    def of(cls, depths: Sequence[np.ndarray]) -> _Haze:
        finite = np.concatenate([depth[np.isfinite(depth)] for depth in depths])
        return cls(finite.max(initial=0.0), finite.min(initial=-1.0))

    def at(self, depth: np.ndarray) -> np.ndarray:
        return _HAZE * (self.nearest - depth) / max(self.nearest - self.farthest, 1e-9)


def _paint(mesh: Mesh, layer: Layer, camera: Camera, haze: _Haze) -> tuple[np.ndarray, np.ndarray]:
    """Lit colours (n, 3) and opacity (n,) of the covered pixels of a layer."""
    normals = layer.interpolate(mesh.normals @ camera.axes.T, mesh.faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals *= np.where(normals[:, 2:] < 0, -1.0, 1.0)  # the inside is lit as well
    lit = _AMBIENT + (1 - _AMBIENT) * _towards(normals, _LIGHT)
    shine = _HIGHLIGHT * _towards(normals, _SHINE) ** _SHARPNESS
    colours = layer.interpolate(mesh.colours, mesh.faces) * lit[:, None]
    for white in (shine, haze.at(layer.depth[layer.covered])):
        colours += white[:, None] * (1 - colours)
    # light that comes through at an angle has a longer way
    opacity = 1 - (1 - mesh.opacity) ** (1 / np.maximum(normals[:, 2], 0.2))
    return colours, opacity


def _towards(normals: np.ndarray, direction: np.ndarray) -> np.ndarray:
    return np.maximum(normals @ (direction / np.linalg.norm(direction)), 0.0)


def _averaged(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Blocks of pixels as one pixel each."""
    rows, columns = shape
    blocks = picture.reshape(rows, _SUPERSAMPLING, columns, _SUPERSAMPLING, 3)
    return blocks.mean(axis=(1, 3))
