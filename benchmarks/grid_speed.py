"""Densities on grids: this package against PySCF's evaluation of the same functions.

One thread, the same grid and coefficients, calls interleaved in one process, the minimum CPU
time counts. PySCF evaluates every function at every point and multiplies by the coefficients;
for the periodic box it sums over images (``pbc_eval_gto``). Run

    python benchmarks/grid_speed.py
"""

import argparse
import time

import numpy as np
import torch
from ase import Atoms, units
from ase.build import molecule
from pyscf import lib
from speed import water_box

from ase_rholearn import Density
from ase_rholearn.basis import Basis, even_tempered, to_pyscf_order
from ase_rholearn.references.pyscf.integrals import auxiliary_molecule

BLOCK = 20_000


def hexamer() -> Atoms:
    """Six molecules of the random box."""
    atoms = water_box(8)[:18]
    atoms.pbc = False
    return atoms


def random_density(atoms: Atoms, basis: Basis) -> Density:
    rng = np.random.default_rng(0)
    return Density(atoms, basis, 0.05 * rng.normal(size=basis.size(atoms.numbers)))


def by_pyscf(density: Density, points: np.ndarray) -> np.ndarray:
    """The expansion at points in Angstrom, in e/Angstrom^3."""
    atoms, basis = density.atoms, density.basis
    auxiliary = auxiliary_molecule(atoms, basis)
    coefficients = to_pyscf_order(basis, atoms.numbers, density.coefficients)
    name = "GTOval_sph"
    if atoms.pbc.any():
        from pyscf.pbc import gto

        cell = gto.Cell()
        cell.atom, cell.basis, cell.unit = auxiliary.atom, auxiliary.basis, "B"
        cell.a = atoms.cell.array / units.Bohr
        cell.spin = None
        cell.precision = 1e-10
        cell.verbose = 0
        auxiliary, name = cell.build(), "PBCGTOval_sph"
    parts = []
    for start in range(0, len(points), BLOCK):
        values = auxiliary.eval_gto(name, points[start : start + BLOCK] / units.Bohr)
        parts.append(np.asarray(values).real @ coefficients)
    return np.concatenate(parts) / units.Bohr**3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--points", type=int, default=64, help="along each axis")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lib.num_threads(1)
    basis = even_tempered(["H", "O"])
    print(f"{'':26} {'points':>8} {'PySCF':>10} {'here':>10} {'ratio':>7} {'difference':>11}")
    shape = (arguments.points,) * 3
    for name, atoms in (
        ("water molecule", molecule("H2O")),
        ("water hexamer", hexamer()),
        ("64 waters, periodic", water_box(64)),
    ):
        density = random_density(atoms, basis)
        points = density.on_grid(shape=shape).points().reshape(-1, 3)
        # the periodic box costs PySCF minutes: a part of the points stands for all
        part = np.arange(0, len(points), 16 if atoms.pbc.any() else 1)
        best = [np.inf, np.inf]
        for _ in range(arguments.repeats):
            start = time.process_time()
            expected = by_pyscf(density, points[part])
            middle = time.process_time()
            values = density.on_grid(shape=shape).values.reshape(-1)
            end = time.process_time()
            best = [
                min(best[0], (middle - start) * len(points) / len(part)),
                min(best[1], end - middle),
            ]
        difference = np.abs(values[part] - expected).max()
        print(
            f"{name:26} {len(points):8d} {best[0]:8.2f} s {best[1]:8.3f} s "
            f"{best[0] / best[1]:7.1f} {difference:11.1e}"
        )


if __name__ == "__main__":
    main()
