"""Value, gradient and Laplacian of a density at arbitrary points. Atomic units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from ...basis import harmonic_rows, solid_harmonics
from ...basis.harmonics import harmonic_derivatives
from .device import usable_device
from .terms import AtomTerms, TermClass

#: Points that are evaluated at once: the largest temporaries hold some 50 numbers a point.
_BLOCK = 8192

#: Edge of the bins by which points are sorted, in bohr.
_BIN = 4.0


def evaluate_at_points(
    terms: Sequence[AtomTerms],
    points: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    *,
    derivative: str = "value",
    device: torch.device | str | None = None,
) -> np.ndarray:
    """Sum the terms, and their periodic images, at points.

    Parameters
    ----------
    terms
        Terms of every atom, see :func:`~ase_rholearn.density.evaluation.terms.density_terms`.
    points
        Shape (n, 3), bohr.
    cell, pbc
        Cell vectors in bohr (3, 3), and which of them are periodic (3,).
    derivative
        ``"value"``, ``"gradient"`` or ``"laplacian"``.
    device
        Where the functions are evaluated; the processor if left out.

    Returns
    -------
    numpy.ndarray
        Shape (n,), or (n, 3) for the gradient, in e/bohr^3 and powers of bohr^-1.
    """
    if derivative not in ("value", "gradient", "laplacian"):
        raise ValueError(f'derivative is {derivative!r}: give "value", "gradient" or "laplacian"')
    used = usable_device(device)
    width = 3 if derivative == "gradient" else 1
    result = np.zeros((len(points), width))
    if len(points) == 0:
        return result if derivative == "gradient" else result[:, 0]
    points = wrap(points, cell, pbc)
    centres = np.array([atom.centre for atom in terms]).reshape(-1, 3)
    images = Images.near(centres, [atom.reach for atom in terms], points, cell, pbc)
    for chosen in compact_blocks(points):
        block = torch.from_numpy(points[chosen])
        values = torch.zeros((len(chosen), width), dtype=torch.float64, device=used)
        for atom, centre in images.touching(points[chosen]):
            _add_atom(values, block, centre, terms[atom].classes, derivative)
            if (table := terms[atom].table) is not None:
                vectors = points[chosen] - centre
                values += torch.from_numpy(table.values(vectors, derivative)).to(used)
        result[chosen] = values.cpu().numpy()
    return result if derivative == "gradient" else result[:, 0]


@dataclass(frozen=True)
class Images:
    """Atoms and their periodic images that reach into some region.

    Attributes
    ----------
    atom
        Index of the atom of each image: shape (n_images,).
    centre
        Positions in bohr: shape (n_images, 3).
    reach
        Radius in bohr: shape (n_images,).
    """

    atom: np.ndarray
    centre: np.ndarray
    reach: np.ndarray

    @classmethod
    def near(
        cls,
        centres: np.ndarray,
        reaches: Sequence[float],
        points: np.ndarray,
        cell: np.ndarray,
        pbc: np.ndarray,
    ) -> Images:
        """All images of spheres that touch the bounding box of points, all in bohr."""
        low, high = points.min(axis=0), points.max(axis=0)
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for index, (centre, reach) in enumerate(zip(centres, reaches, strict=True)):
            ranges = _image_ranges(centre, reach, low, high, cell, pbc)
            # the shape also fits when no image is within reach
            shifts = np.array(list(product(*ranges)), dtype=float).reshape(-1, 3)
            images = centre + shifts @ np.where(pbc[:, None], cell, 0.0)
            images = images[_distance_to_box(images, low, high) < reach]
            found.append((np.full(len(images), index), images, np.full(len(images), reach)))
        atoms, positions, radii = zip(*found, strict=True)
        return cls(np.concatenate(atoms), np.concatenate(positions), np.concatenate(radii))

    def touching(self, points: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Atom index and centre of the images whose sphere touches the points' box."""
        distance = _distance_to_box(self.centre, points.min(axis=0), points.max(axis=0))
        for index in np.flatnonzero(distance < self.reach):
            yield int(self.atom[index]), self.centre[index]


def _distance_to_box(centres: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    outside = np.maximum(0.0, np.maximum(low - centres, centres - high))
    return np.linalg.norm(outside, axis=1)


def wrap(points: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Points moved into the cell along its periodic directions."""
    points = np.ascontiguousarray(points, dtype=float)
    if not pbc.any():
        return points
    shifts = np.floor(fractional(points, cell, pbc)[:, pbc])
    return points - shifts @ cell[pbc]


def fractional(points: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Fractional coordinates; directions without a period use unit vectors normal to the rest."""
    return points @ np.linalg.inv(completed_cell(cell, pbc))


def _image_ranges(
    centre: np.ndarray,
    reach: float,
    low: np.ndarray,
    high: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
) -> list[range]:
    """Translations along each direction that can bring the centre within reach of the box."""
    if not pbc.any():
        return [range(1)] * 3
    corners = np.array(list(product(*zip(low, high, strict=True))))
    inverse = np.linalg.inv(completed_cell(cell, pbc))
    spread = fractional(corners, cell, pbc) - (centre @ inverse)
    margin = reach * np.linalg.norm(inverse, axis=0)
    first = np.ceil(spread.min(axis=0) - margin).astype(int)
    last = np.floor(spread.max(axis=0) + margin).astype(int)
    return [range(int(first[k]), int(last[k]) + 1) if pbc[k] else range(1) for k in range(3)]


def completed_cell(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """The cell with its non-periodic vectors replaced by unit vectors normal to the rest.

    A replaced vector is as close to its own axis (x, y or z) as it can be.

    >>> completed_cell(np.diag([4.0, 0.0, 0.0]), np.array([True, False, False])).tolist()
    [[4.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    completed = np.where(pbc[:, None], cell, 0.0)
    for k in np.flatnonzero(~pbc):
        span = np.linalg.svd(completed)[2][: np.linalg.matrix_rank(completed)]
        normals = np.eye(3) - span.T @ span  # rows: x, y, z without their part in the span
        lengths = np.linalg.norm(normals, axis=1)
        axis = k if lengths[k] > 0.5 else int(np.argmax(lengths))
        completed[k] = normals[axis] / lengths[axis]
    return completed


def _add_atom(
    result: torch.Tensor,
    points: torch.Tensor,
    centre: np.ndarray,
    classes: Sequence[TermClass],
    derivative: str,
) -> None:
    """Add one atom image to ``result``, each class only to the points that it reaches."""
    vectors = points - torch.from_numpy(centre)  # [n, 3]
    r2 = (vectors * vectors).sum(dim=1)
    for term_class in classes:
        near = torch.nonzero(r2 <= term_class.radius**2).squeeze(1)
        if len(near) == 0:
            return
        values = class_values(
            term_class, vectors[near].to(result.device), r2[near].to(result.device), derivative
        )
        result.index_add_(0, near.to(result.device), values)


def class_values(
    terms: TermClass, vectors: torch.Tensor, r2: torch.Tensor, derivative: str = "value"
) -> torch.Tensor:
    """Sum of the terms of a class at vectors (n, 3) from their centre: (n, 1), or (n, 3).

    ``r2`` are the squares of the vectors' lengths; the work is done where the vectors live.
    """
    p, l_max = terms.weights.to(r2.device), terms.l_max
    a = terms.exponents.to(r2.device)[:, None]
    # rows of points: sums over terms then run along the memory
    gaussians = torch.exp(-a * r2)  # [k, n]
    harmonics = _harmonics(vectors, l_max)  # [lm, n]
    if derivative == "value":
        return (gaussians * (p @ harmonics)).sum(dim=0)[:, None]
    if derivative == "laplacian":
        # harmonics solve Laplace's equation, so that for exp(-a r^2) S_lm the Laplacian is
        # (4 a^2 r^2 - 2 a (2 l + 3)) exp(-a r^2) S_lm
        l = torch.tensor([l for l in range(l_max + 1) for _ in range(2 * l + 1)])
        radial = (p * (2.0 * l + 3.0).to(p)) @ harmonics
        inner = 4 * a * a * r2 * (p @ harmonics) - 2 * a * radial
        return (gaussians * inner).sum(dim=0)[:, None]
    slopes = harmonic_derivatives(l_max).to(r2.device)  # [3, lm, lm]
    inward = -2 * a * (p @ harmonics)
    columns = [
        (gaussians * ((p @ slopes[axis]) @ harmonics + inward * vectors[:, axis])).sum(dim=0)
        for axis in range(3)
    ]
    return torch.stack(columns, dim=1)


def _harmonics(vectors: torch.Tensor, l_max: int) -> torch.Tensor:
    """Solid harmonics, one row a function: ((l_max + 1)^2, n)."""
    if vectors.device.type == "cpu" and vectors.dtype == torch.float64:
        return torch.from_numpy(harmonic_rows(vectors.numpy(), l_max))
    return solid_harmonics(vectors, l_max).T


def compact_blocks(points: np.ndarray) -> Iterator[np.ndarray]:
    """Index arrays of at most ``_BLOCK`` points that lie close together."""
    bins = np.floor((points - points.min(axis=0)) / _BIN).astype(int)
    order = np.lexsort(bins.T[::-1])
    for start in range(0, len(points), _BLOCK):
        yield order[start : start + _BLOCK]
