"""Made-up radial functions that end, and a program that does with them what FHI-aims does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from scipy.integrate import lebedev_rule

from ase_rholearn.aims import BasisInfo, read_basis_info
from ase_rholearn.aims.geometry import read_geometry
from ase_rholearn.aims.number_files import read_vector
from ase_rholearn.basis import Basis, NumericalShell, solid_harmonics

#: Where all functions end, bohr.
CUTOFF = 9.0

#: Factor, exponent of each radial function by species and l.
FUNCTIONS = {
    "H": {0: [(1.0, 0.6), (2.0, 1.5)], 1: [(0.7, 0.8)]},
    "O": {0: [(3.0, 0.5), (20.0, 4.0)], 1: [(1.0, 0.7), (2.5, 2.0)], 2: [(1.3, 1.2)]},
}

#: Radii of the integration grid, bohr, and their differences: V. Blum et al., Comput. Phys. Commun.
#: 180, 2175 (2009), equation 18.
_INDEX = np.arange(1, 141)
MESH = 12 * np.log(1 - (_INDEX / 141) ** 2) / np.log(1 - (140 / 141) ** 2)
STEPS = np.gradient(MESH)


def radial(symbol: str, l: int, n: int, r: np.ndarray) -> np.ndarray:
    """R(r): smooth, and zero from the cut-off on."""
    factor, exponent = FUNCTIONS[symbol][l][n]
    end = np.clip(1 - (r / CUTOFF) ** 2, 0, None) ** 6
    return np.asarray(factor * r**l * np.exp(-exponent * r) * end)


def product_basis() -> Basis:
    """The exact functions, as fine tables."""
    r = np.geomspace(1e-5, CUTOFF, 500)
    return Basis(
        {
            Atoms(symbol).numbers[0]: tuple(
                NumericalShell(l, tuple(r), tuple(radial(symbol, l, n, r)))
                for l, own in by_l.items()
                for n in range(len(own))
            )
            for symbol, by_l in FUNCTIONS.items()
        },
        name="made up",
    )


def info_of(atoms: Atoms) -> BasisInfo:
    counts = {
        symbol: tuple(len(own) for own in by_l.values()) for symbol, by_l in FUNCTIONS.items()
    }
    return BasisInfo.from_species(list(atoms.symbols), counts)


def atomic_overlap(atoms: Atoms) -> np.ndarray:
    """Overlaps of atoms that do not overlap each other."""
    basis, layout = product_basis(), info_of(atoms).layout
    matrix = np.zeros((len(layout.atom),) * 2)
    for atom, z in enumerate(atoms.numbers):
        for l in range(basis.l_max + 1):
            if not basis.radial_functions(int(z), l):
                continue
            for m in range(-l, l + 1):
                own = (layout.atom == atom) & (layout.l == l) & (layout.m == m)
                rows = np.flatnonzero(own)
                matrix[np.ix_(rows, rows)] = basis.radial_metric(int(z), l)
    return matrix


def run_made_up_aims(
    folder: Path,
    *,
    unit: float = units.Bohr,
    electrons: float | None = None,
    order: int | None = None,
) -> None:
    """Rebuild a density from ``ri_restart_coeffs.out`` on an integration grid.

    Parameters
    ----------
    folder
        Of the run.
    unit
        Of the coordinates in the files: one bohr in it.
    electrons
        To what the density is normalised; not at all if left out.
    order
        Seed of the order of the points.
    """
    atoms, info = read_geometry(folder).atoms, read_basis_info(folder)
    coefficients = read_vector(folder / "ri_restart_coeffs.out", info.size)
    positions = atoms.positions / units.Bohr
    points, weights = _grid(positions)
    density = np.zeros(len(points))
    layout = info.layout
    for atom, (symbol, position) in enumerate(zip(atoms.symbols, positions, strict=True)):
        vectors = points - position
        r = np.linalg.norm(vectors, axis=1)
        near = np.flatnonzero(r < CUTOFF)
        directions = torch.from_numpy(vectors[near] / r[near, None])
        harmonics = solid_harmonics(directions, 2).numpy()
        for row in np.flatnonzero(layout.atom == atom):
            l, n, m = int(layout.l[row]), int(layout.n[row]), int(layout.m[row])
            values = radial(symbol, l, n, r[near]) * harmonics[:, l * l + l + m]
            density[near] += coefficients[row] * values
    if electrons is not None:
        density *= electrons / (weights @ density)
    mixed = np.random.default_rng(order).permutation(len(points))
    for name, values in (("partition_tab.out", weights), ("rho_rebuilt_ri.out", density)):
        table = np.column_stack([points * unit, values])[mixed]
        np.savetxt(folder / name, table, fmt="%.12e")


def _grid(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spheres about each atom, with weights of a simple rule."""
    directions, angular = lebedev_rule(7)
    points = (MESH[:, None, None] * directions.T[None]).reshape(-1, 3)
    weights = ((MESH**2 * STEPS)[:, None] * angular[None]).ravel()
    everywhere = np.concatenate([points + position for position in positions])
    return everywhere, np.tile(weights, len(positions))
