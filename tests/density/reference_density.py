"""A density evaluated by brute force, from the definitions alone.

Shares no code with the package: SciPy's spherical harmonics, explicit sums over functions
and periodic images.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from ase import Atoms, units
from scipy.special import sph_harm_y

from ase_rholearn import Basis, Density


def real_harmonics(vectors: np.ndarray, l: int) -> np.ndarray:
    """Y_lm of the directions of vectors, m = -l..l: shape (n, 2 l + 1)."""
    r = np.maximum(np.linalg.norm(vectors, axis=1), 1e-300)
    polar = np.arccos(np.clip(vectors[:, 2] / r, -1, 1))
    azimuth = np.arctan2(vectors[:, 1], vectors[:, 0])
    columns = []
    for m in range(-l, l + 1):
        value = sph_harm_y(l, abs(m), polar, azimuth)
        scale = 1.0 if m == 0 else np.sqrt(2) * (-1) ** m
        columns.append(scale * (value.imag if m < 0 else value.real))
    return np.stack(columns, axis=1)


def atom_value(basis: Basis, z: int, coefficients: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Density of one atom at vectors from its nucleus, in bohr and e/bohr^3."""
    r = np.linalg.norm(vectors, axis=1)
    total = np.zeros(len(vectors))
    if basis.atomic_densities:
        atomic = basis.atomic_densities[z]
        for a, amplitude in zip(atomic.exponents, atomic.amplitudes, strict=True):
            total += amplitude * np.exp(-a * r**2)
    start = 0
    for shell in basis.shells[z]:
        own = coefficients[start : start + 2 * shell.l + 1]
        total += shell.radial(r) * (real_harmonics(vectors, shell.l) @ own)
        start += 2 * shell.l + 1
    return total


def brute_force(density: Density, points: np.ndarray, reach: float = 0.0) -> np.ndarray:
    """Value at points in Angstrom, with all images closer than ``reach`` (Angstrom)."""
    atoms, basis = density.atoms, density.basis
    offsets = basis.offsets(atoms.numbers)
    total = np.zeros(len(points))
    for atom, z in enumerate(atoms.numbers):
        own = density.coefficients[offsets[atom] : offsets[atom + 1]]
        shifts = image_shifts(atoms, points - atoms.positions[atom], reach)
        vectors = points[:, None] - atoms.positions[atom] - shifts  # [point, image, 3]
        near = np.full(vectors.shape[:2], True)
        if atoms.pbc.any():
            near = np.linalg.norm(vectors, axis=2) < reach
        values = np.zeros(near.shape)
        values[near] = atom_value(basis, int(z), own, vectors[near] / units.Bohr)
        total += values.sum(axis=1)
    return total / units.Bohr**3


def image_shifts(atoms: Atoms, vectors: np.ndarray, reach: float) -> np.ndarray:
    """Lattice vectors that may bring an atom within reach of some point."""
    if not atoms.pbc.any():
        return np.zeros((1, 3))
    lattice = atoms.cell.array[atoms.pbc]
    reciprocal = np.linalg.pinv(lattice)  # columns: fractional coordinates of a point
    centre = vectors @ reciprocal
    margin = reach * np.linalg.norm(reciprocal, axis=0)
    low = np.floor(centre.min(axis=0) - margin).astype(int)
    high = np.ceil(centre.max(axis=0) + margin).astype(int)
    ranges = [range(a, b + 1) for a, b in zip(low, high, strict=True)]
    return np.array(list(product(*ranges))) @ lattice


def field_divergence(density: Density, points: np.ndarray, h: float = 1e-4) -> np.ndarray:
    """Divergence of the electric field by finite differences: (n,) V/Angstrom^2."""
    return sum(
        density.electric_field(points + h * axis)[:, k]
        - density.electric_field(points - h * axis)[:, k]
        for k, axis in enumerate(np.eye(3))
    ) / (2 * h)


def voxel_means(density: Density, shape: tuple[int, int, int], n: int) -> np.ndarray:
    """Averages over the voxel around each point of a periodic grid, from n^3 points in each."""
    nx, ny, nz = shape
    fine = density.on_grid(shape=(nx * n, ny * n, nz * n)).values
    # midpoints of n cells of each voxel, half of which lie below its point
    for axis in range(3):
        fine = (fine + np.roll(fine, -1, axis)) / 2
        fine = np.roll(fine, n // 2, axis)
    return fine.reshape(nx, n, ny, n, nz, n).mean(axis=(1, 3, 5))
