"""Occupied orbitals of periodic PySCF calculations, from which tests make densities on grids.

    python make_grid_orbitals.py [names]

Writes ``grid_orbitals.npz`` beside itself: PBE with GTH pseudopotentials, multigrid. About
two minutes on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk, molecule
from pyscf.pbc import dft, gto

#: Orbital basis, k points along each axis, and kinetic energy cut-off (Hartree).
LEVELS = {
    "si": ("gth-dzvp", 2, 60.0),
    "nacl": ("gth-dzvp-molopt-sr", 2, 120.0),
    "waters": ("gth-dzvp", 1, 120.0),
}


def structures() -> dict[str, Atoms]:
    """Two primitive cells, and a box with the density of water."""
    rng = np.random.default_rng(0)
    box = Atoms(cell=[6.2, 6.2, 6.2], pbc=True)
    for site in np.ndindex(2, 2, 2):
        one = molecule("H2O")
        one.rotate(rng.uniform(0, 360), rng.normal(size=3))
        one.positions += np.array(site) * 3.1 + 0.4
        box += one
    return {"si": bulk("Si", a=5.43), "nacl": bulk("NaCl", "rocksalt", a=5.64), "waters": box}


def cell_of(atoms: Atoms, basis: str, cutoff: float) -> gto.Cell:
    """The structure for PySCF."""
    cell = gto.Cell(
        atom=[(a.symbol, tuple(a.position / units.Bohr)) for a in atoms],
        a=atoms.cell.array / units.Bohr,
        unit="B",
        basis=basis,
        pseudo="gth-pbe",
        ke_cutoff=cutoff,
        verbose=4,
    )
    cell.build()
    return cell


def run(name: str, atoms: Atoms) -> dict[str, np.ndarray]:
    """k points and orbitals, scaled so that the density is the sum of their squares."""
    basis, mesh, cutoff = LEVELS[name]
    cell = cell_of(atoms, basis, cutoff)
    kpts = cell.make_kpts([mesh] * 3)
    mean_field = dft.KRKS(cell, kpts, xc="PBE").multigrid_numint()
    mean_field.conv_tol = 1e-8
    mean_field.kernel()
    assert mean_field.converged
    occupied = [
        c[:, n > 0] * np.sqrt(n[n > 0] / len(kpts))
        for c, n in zip(mean_field.mo_coeff, mean_field.mo_occ, strict=True)
    ]
    orbitals = np.stack(occupied)
    return {
        "numbers": atoms.numbers,
        "positions": atoms.positions,
        "cell": atoms.cell.array,
        "kpts": kpts,
        "orbitals": orbitals.astype(np.complex64 if mesh > 1 else np.float32),
        "valence": np.array(cell.atom_charges()),
    }


if __name__ == "__main__":
    path = Path(__file__).with_name("grid_orbitals.npz")
    arrays = dict(np.load(path)) if path.exists() else {}
    for name, atoms in structures().items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        arrays.update({f"{name}_{key}": value for key, value in run(name, atoms).items()})
    np.savez_compressed(path, **arrays)
