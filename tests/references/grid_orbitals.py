"""Densities of periodic PySCF calculations on grids of any spacing."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols

from ase_rholearn.density import Grid
from ase_rholearn.references.grid import GridDensity

DATA = Path(__file__).with_name("data")

#: Orbital bases of the calculations, see ``data/make_grid_orbitals.py``.
ORBITAL_BASES = {"si": "gth-dzvp", "nacl": "gth-dzvp-molopt-sr", "waters": "gth-dzvp"}


@cache
def crystal_orbitals(name: str) -> tuple[Atoms, Any, dict[str, np.ndarray]]:
    """Structure, PySCF's cell, and what ``data/grid_orbitals.npz`` holds of a calculation."""
    from pyscf.pbc import gto

    with np.load(DATA / "grid_orbitals.npz") as data:
        arrays = {
            key.removeprefix(f"{name}_"): data[key] for key in data if key.startswith(f"{name}_")
        }
    atoms = Atoms(arrays["numbers"], arrays["positions"], cell=arrays["cell"], pbc=True)
    cell = gto.Cell(
        atom=[(chemical_symbols[a.number], tuple(a.position / units.Bohr)) for a in atoms],
        a=atoms.cell.array / units.Bohr,
        unit="B",
        basis=ORBITAL_BASES[name],
        pseudo="gth-pbe",
        verbose=0,
    )
    cell.build()
    return atoms, cell, arrays


def valence_density(name: str, shape: tuple[int, int, int]) -> GridDensity:
    """``"si"``, ``"nacl"`` or ``"waters"`` on a grid over the cell."""
    atoms, cell, arrays = crystal_orbitals(name)
    grid = Grid(np.zeros(shape), np.zeros(3), atoms.cell.array)
    points = grid.points().reshape(-1, 3) / units.Bohr
    values = np.zeros(len(points))
    for start in range(0, len(points), 20000):
        block = slice(start, start + 20000)
        orbitals = cell.pbc_eval_gto("GTOval_sph", points[block], kpts=arrays["kpts"])
        for ao, c in zip(orbitals, arrays["orbitals"], strict=True):
            values[block] += np.square(np.abs(ao @ c)).sum(axis=1)
    charges = {int(z): float(q) for z, q in zip(arrays["numbers"], arrays["valence"], strict=True)}
    grid = Grid(values.reshape(shape) / units.Bohr**3, grid.origin, grid.cell)
    return GridDensity(atoms, grid, "valence", charges)
