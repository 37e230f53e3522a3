"""Triangles of balls, sticks and surfaces."""

from __future__ import annotations

from functools import cache

import numpy as np
from ase.data.colors import jmol_colors

from .colours import CUT
from .raster import Mesh
from .structure import STICK, Skeleton
from .surface import Surface

#: Halvings of the edges of an icosahedron; corners around a stick.
_FINE, _AROUND = 3, 16

#: Radius of the edges of cells, Angstrom; their colour; and their longest triangles.
_EDGE, _GREY, _PIECE = 0.02, (0.35, 0.35, 0.35), 0.5


def skeleton_mesh(skeleton: Skeleton) -> Mesh:
    """Balls, sticks and edges of a cell."""
    corners, triangles = _unit_sphere()
    balls = [
        Mesh(position + radius * corners, corners, _same(colour, corners), triangles)
        for position, radius, colour in zip(
            skeleton.positions, skeleton.radii, skeleton.colours, strict=True
        )
    ]
    sticks = [
        _cylinder(ends, STICK, jmol_colors[z])
        for ends, z in zip(skeleton.sticks, skeleton.stick_numbers, strict=True)
    ]
    edges = [_cylinder(ends, _EDGE, np.array(_GREY)) for ends in skeleton.edges]
    return Mesh.joined([*balls, *sticks, *edges])


def surface_mesh(surface: Surface, colours: np.ndarray, opacity: float) -> Mesh:
    """A surface with colours (3,) or (n, 3); where a cell cuts it, it has a colour of its own."""
    curved = Mesh(
        surface.vertices,
        surface.normals,
        np.broadcast_to(colours, surface.vertices.shape),
        surface.faces,
    )
    corners = surface.vertices[surface.caps].reshape(-1, 3)
    a, b, c = corners.reshape(-1, 3, 3).transpose(1, 0, 2)
    across = np.cross(b - a, c - a)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-30)
    flat = Mesh(
        corners,
        np.repeat(across, 3, axis=0),
        _same(np.array(CUT), corners),
        np.arange(len(corners)).reshape(-1, 3),
    )
    return Mesh.joined([curved, flat], opacity)


@cache
def _unit_sphere() -> tuple[np.ndarray, np.ndarray]:
    """Corners (n, 3) and triangles (m, 3): an icosahedron with halved edges."""
    golden = (1 + 5**0.5) / 2
    flat = np.array([(0, s, t * golden) for s in (1, -1) for t in (1, -1)])
    corners = np.concatenate([np.roll(flat, k, axis=1) for k in range(3)])
    near = np.linalg.norm(corners[:, None] - corners, axis=2) < 2.1
    triangles = np.array(
        [
            (i, j, k)
            for i in range(12)
            for j in range(i + 1, 12)
            for k in range(j + 1, 12)
            if near[i, j] and near[j, k] and near[i, k]
        ]
    )
    for _ in range(_FINE):
        corners, triangles = _halved(corners, triangles)
    return corners / np.linalg.norm(corners, axis=1, keepdims=True), triangles


def _halved(corners: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each triangle as four, new corners on the same sphere."""
    corners = corners / np.linalg.norm(corners, axis=1, keepdims=True)
    a, b, c = triangles.T
    pairs = np.concatenate([np.stack(pair, axis=1) for pair in ((a, b), (b, c), (c, a))])
    edges, where = np.unique(np.sort(pairs, axis=1), axis=0, return_inverse=True)
    middles = corners[edges].mean(axis=1)
    ab, bc, ca = where.reshape(3, -1) + len(corners)
    quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    triangles = np.concatenate([np.stack(quarter, axis=1) for quarter in quarters])
    return np.concatenate([corners, middles]), triangles


def _cylinder(ends: np.ndarray, radius: float, colour: np.ndarray) -> Mesh:
    """An open tube in pieces, because long triangles take long to draw."""
    start, way = ends[0], ends[1] - ends[0]
    length = np.linalg.norm(way)
    pieces = max(1, int(np.ceil(length / _PIECE)))
    across = np.linalg.svd(way[None])[2][1:]
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ across
    along = np.linspace(0, 1, pieces + 1)[:, None, None] * way
    corners = (start + along + radius * ring).reshape(-1, 3)
    i, j = np.divmod(np.arange(pieces * _AROUND), _AROUND)
    a, b = i * _AROUND + j, i * _AROUND + (j + 1) % _AROUND
    upper = np.stack([a, b, a + _AROUND], axis=1)
    lower = np.stack([b, b + _AROUND, a + _AROUND], axis=1)
    normals = np.tile(ring, (pieces + 1, 1))
    return Mesh(corners, normals, _same(colour, corners), np.concatenate([upper, lower]))


def _same(colour: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    return np.broadcast_to(colour, vertices.shape)
