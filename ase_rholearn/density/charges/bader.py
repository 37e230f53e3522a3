"""Bader's atoms in molecules: regions between surfaces of zero flux of the density.

R. F. W. Bader, Atoms in Molecules (Oxford, 1990), by the weight method of M. Yu and D. R.
Trinkle, J. Chem. Phys. 134, 064111 (2011): the electrons of a voxel flow to its neighbours of
higher density, in proportion to the slope and the area of the common face, until they are at
a maximum. All voxels, sorted by their density, make one triangular system of equations.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase import units
from ase.geometry import get_distances
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import spsolve_triangular
from scipy.spatial import Voronoi

from ..evaluation.grid_task import GridTask
from ..evaluation.points import evaluate_at_points
from ..evaluation.terms import AtomTerms, TermClass
from ..frame import grid_frame
from ..grid import Grid

if TYPE_CHECKING:
    from ..density import Density

#: What may be neglected in a term, e/bohr^3.
_TOLERANCE = 1e-10

#: Terms with a h^2 above it are not summed exactly by points with spacing h.
_TIGHT = 0.15

#: Where atoms end towards the vacuum if their volumes are asked for, e/bohr^3.
_SURFACE = 0.001

#: Exponent (bohr^-2) of the Gaussian that marks a core which the density leaves out.
_CORE = 3.0

#: Numbers that one temporary array may hold (64 MB).
_TEMPORARY = 2**23

#: Distance of a maximum from all nuclei (Angstrom) from which it is not theirs.
_NON_NUCLEAR = 0.5


@dataclass(frozen=True)
class BaderAtoms:
    """Bader's atoms in a molecule or crystal.

    Attributes
    ----------
    charges
        Shape (natoms,), e; they add up to the total charge.
    volumes
        Of the parts of the basins with more than 0.001 e/bohr^3: shape (natoms,), Angstrom^3.
    non_nuclear
        Electrons of maxima further than 0.5 Angstrom from every nucleus, which count as the
        nearest atom's: shape (natoms,), e.
    """

    charges: np.ndarray
    volumes: np.ndarray
    non_nuclear: np.ndarray


def bader_atoms(rho: Density, *, spacing: float = 0.08, margin: float = 4.0) -> BaderAtoms:
    """Charges and volumes of Bader's atoms, which end where the density has no slope across.

    Cores are narrower than voxels: what the points of the grid miss of an atom's tight
    functions is known in closed form, and added to the atom.

    Parameters
    ----------
    rho
        The density. Where it leaves out cores, these only mark the places of the atoms.
    spacing
        Of the grid, Angstrom. Turning water against a grid of 0.1 or 0.07 moves its charges by
        0.01 e, which is what they are good to.
    margin
        Space around a molecule, Angstrom.
    """
    frame = grid_frame(rho.atoms, spacing, margin)
    step = float(np.max(np.linalg.norm(frame.cell, axis=1) / frame.shape)) / units.Bohr
    terms = rho.atom_terms(_TOLERANCE, 4 * step)
    values = _on_frame(rho, frame, terms)
    landscape = values + _on_frame(rho, frame, _core_terms(rho)) if _has_cores(rho) else values
    basins = Basins.of(np.maximum(landscape, 0.0), frame.cell)
    owners, distances = _owners(rho, frame, basins.maxima)
    own = np.stack([values.ravel(), landscape.ravel() > _SURFACE], axis=1)
    electrons, volumes = basins.integrals(own).T * (frame.voxel_volume / units.Bohr**3)
    natoms = len(rho.atoms)
    _check_found(owners, distances, natoms, spacing)
    populations = np.bincount(owners, electrons, natoms) + _missed(rho, frame, terms, step)
    # ripples far out are no attractors
    away = (distances > _NON_NUCLEAR) & (landscape.ravel()[basins.maxima] > _SURFACE)
    charges = rho.core_charges - populations
    charges += (rho.charge - charges.sum()) / natoms
    return BaderAtoms(
        charges=charges,
        volumes=np.bincount(owners, volumes, natoms) * units.Bohr**3,
        non_nuclear=np.bincount(owners[away], electrons[away], natoms),
    )


def _check_found(owners: np.ndarray, distances: np.ndarray, natoms: int, spacing: float) -> None:
    """Warn of atoms that no maximum is next to."""
    missing = sorted(set(range(natoms)) - set(owners[distances < _NON_NUCLEAR].tolist()))
    if missing:
        warnings.warn(
            f"the density has no maximum at atoms {missing}, which get few or no electrons: give "
            f"a smaller spacing than {spacing}",
            stacklevel=3,
        )


def _has_cores(rho: Density) -> bool:
    return bool((rho.core_charges < rho.atoms.numbers).any())


def _core_terms(rho: Density) -> list[AtomTerms]:
    """A Gaussian for the electrons that are not part of the density."""
    exponents = torch.tensor([_CORE], dtype=torch.float64)
    cores = rho.atoms.numbers - rho.core_charges
    # S_00 is the constant sqrt(1 / 4 pi)
    weights = torch.from_numpy(cores * (_CORE / np.pi) ** 1.5 * np.sqrt(4 * np.pi))
    positions = rho.atoms.positions / units.Bohr
    return [
        AtomTerms(positions[k], (TermClass(3.0, exponents, weights[k].reshape(1, 1)),))
        for k in np.flatnonzero(cores)
    ]


def _on_frame(rho: Density, frame: Grid, terms: list[AtomTerms]) -> np.ndarray:
    """Values on a grid in e/bohr^3."""
    task = GridTask(
        terms,
        frame.origin / units.Bohr,
        frame.cell / units.Bohr,
        frame.shape,
        rho.atoms.cell.array / units.Bohr,
        rho.atoms.pbc,
        tolerance=_TOLERANCE,
    )
    return task.values()


@dataclass(frozen=True)
class Basins:
    """Regions of a grid that belong to its maxima.

    Attributes
    ----------
    maxima
        Flat indices of the points without a higher neighbour: shape (n,).
    order
        Flat indices of all points, by ascending value.
    ascent
        Element [j, i] is what part of the i-th point's own goes to the j-th, in that order,
        with a minus sign; ones on the diagonal: sparse, lower triangular.
    """

    maxima: np.ndarray
    order: np.ndarray
    ascent: csc_array

    @classmethod
    def of(cls, values: np.ndarray, cell: np.ndarray) -> Basins:
        """Of values (nx, ny, nz) that repeat with the cell of the grid."""
        flat = values.ravel()
        order = np.argsort(flat, kind="stable")
        steps, alphas = voxel_faces(cell / np.array(values.shape)[:, None])
        indices = np.arange(flat.size, dtype=np.int32).reshape(values.shape)
        neighbours, flows = [], []
        for step, alpha in zip(steps, alphas, strict=True):
            neighbour = np.roll(indices, -step, axis=(0, 1, 2)).ravel()
            neighbours.append(neighbour)
            flows.append(alpha * np.maximum(flat[neighbour] - flat, 0.0))
        total = np.sum(flows, axis=0)
        rank = np.empty(flat.size, dtype=np.int32)
        rank[order] = np.arange(flat.size, dtype=np.int32)
        rows, columns, parts = [rank], [rank], [np.ones(flat.size)]
        for neighbour, flow in zip(neighbours, flows, strict=True):
            used = np.flatnonzero(flow)
            rows.append(rank[neighbour[used]])
            columns.append(rank[used])
            parts.append(-flow[used] / total[used])
        joined = [np.concatenate(part) for part in (parts, rows, columns)]
        ascent = coo_array((joined[0], (joined[1], joined[2])), shape=(flat.size,) * 2)
        return cls(np.flatnonzero(total == 0), order, ascent.tocsc())

    def integrals(self, values: np.ndarray) -> np.ndarray:
        """Sums of values (n_points, n) over each basin: shape (n_maxima, n)."""
        arrived = np.empty_like(values)
        arrived[self.order] = spsolve_triangular(
            self.ascent, values[self.order], lower=True, unit_diagonal=True
        )
        return arrived[self.maxima]


def voxel_faces(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of a voxel, the points nearest to a grid point, across its faces.

    Parameters
    ----------
    steps
        Rows are the steps of the grid: (3, 3).

    Returns
    -------
    tuple
        Steps along the axes (n, 3), integers, and areas of the faces over the distances (n,).
    """
    offsets = np.array(list(product(range(-2, 3), repeat=3)))
    middle = len(offsets) // 2
    diagram = Voronoi(offsets @ steps)
    neighbours, ratios = [], []
    for pair, corners in zip(diagram.ridge_points, diagram.ridge_vertices, strict=True):
        if middle not in pair:
            continue
        neighbour = offsets[pair[0] if pair[1] == middle else pair[1]]
        spokes = diagram.vertices[corners] - diagram.vertices[corners].mean(axis=0)
        area = 0.5 * np.linalg.norm(np.cross(spokes, np.roll(spokes, -1, axis=0)), axis=1).sum()
        neighbours.append(neighbour)
        ratios.append(area / np.linalg.norm(neighbour @ steps))
    used = np.array(ratios) > 1e-6 * max(ratios)
    return np.array(neighbours)[used], np.array(ratios)[used]


def _owners(rho: Density, frame: Grid, maxima: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The atom nearest to each maximum, and its distance in Angstrom."""
    places = np.stack(np.unravel_index(maxima, frame.shape), axis=1) / np.array(frame.shape)
    positions = frame.origin + places @ frame.cell
    rows = max(1, _TEMPORARY // (30 * len(rho.atoms)))
    owners, distances = [], []
    for start in range(0, len(positions), rows):
        part = positions[start : start + rows]
        _, apart = get_distances(part, rho.atoms.positions, cell=frame.cell, pbc=rho.atoms.pbc)
        owners.append(apart.argmin(axis=1))
        distances.append(apart.min(axis=1))
    return np.concatenate(owners), np.concatenate(distances)


def _missed(rho: Density, frame: Grid, terms: list[AtomTerms], step: float) -> np.ndarray:
    """Electrons of each atom's tight functions that the points of a grid do not sum up."""
    cell = frame.cell / np.array(frame.shape)[:, None] / units.Bohr
    inverse = np.linalg.inv(cell)
    voxel, none = abs(np.linalg.det(cell)), np.full(3, False)
    missed = np.zeros(len(terms))
    for index, atom in enumerate(terms):
        tight = [c for c in (_tight_part(c, _TIGHT / step**2) for c in atom.classes) if c]
        if not tight:
            continue
        centre = (atom.centre - frame.origin / units.Bohr) @ inverse
        reach = tight[0].radius * np.linalg.norm(inverse, axis=0)
        ranges = [
            range(int(np.ceil(c - r)), int(np.floor(c + r)) + 1)
            for c, r in zip(centre, reach, strict=True)
        ]
        points = (np.array(list(product(*ranges))) - centre) @ cell
        own = AtomTerms(np.zeros(3), tuple(tight))
        sampled = voxel * evaluate_at_points([own], points, cell, none).sum()
        missed[index] = sum(_electrons(c) for c in tight) - sampled
    return missed


def _tight_part(terms: TermClass, limit: float) -> TermClass | None:
    """The terms with exponents above a limit, if there are any."""
    chosen = terms.exponents > limit
    if not chosen.any():
        return None
    return TermClass(terms.radius, terms.exponents[chosen], terms.weights[chosen])


def _electrons(terms: TermClass) -> float:
    # S_00 is the constant sqrt(1 / 4 pi); the others integrate to zero
    per_term = (np.pi / terms.exponents) ** 1.5 / np.sqrt(4 * np.pi)
    return float((per_term * terms.weights[:, 0]).sum())
