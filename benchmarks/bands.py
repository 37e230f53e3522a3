"""Band structures from one diagonalisation, beside self-consistent ones.

Silicon and diamond, PBE with GTH pseudopotentials and gth-dzvp, 2 x 2 x 2 k-points, PySCF's uniform
grid on both sides. The Hamiltonian is made from a fit of the self-consistent density (no model:
what a perfect one would give) and from the superposition of atoms that PySCF itself starts from.
Errors are those of the four valence and four conduction bands along a path; CPU time is that of
one diagonalisation at the k-points over that of the self-consistent calculation. Then helium under
pressure with all electrons, 6-31G, at the k-points, against PySCF with density fitting. Some
minutes on one core. Run

    python benchmarks/bands.py
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk

from ase_rholearn import Density
from ase_rholearn.density import Grid
from ase_rholearn.references.grid import GridDensity, fit_grid, grid_basis
from ase_rholearn.scf import one_shot_crystal
from ase_rholearn.scf.crystals.exchange_correlation import LocalExchangeCorrelation
from ase_rholearn.scf.crystals.hamiltonian import mesh_hamiltonian

#: Structure, points of the grid along each axis, and largest exponent of the fit.
CRYSTALS = {
    "silicon": (bulk("Si", a=5.43), 20, 4.0),
    "diamond": (bulk("C", "diamond", a=3.567), 24, 12.0),
}
ORBITAL_BASIS, XC, KPTS = "gth-dzvp", "PBE", (2, 2, 2)
BANDS = 8


def calculation(atoms: Atoms, points: int, basis: str, pseudo: Any) -> Any:
    """PySCF's, not yet converged."""
    from pyscf.pbc import dft, gto

    cell = gto.Cell(
        atom=[(a.symbol, tuple(a.position / units.Bohr)) for a in atoms],
        a=atoms.cell.array / units.Bohr,
        unit="B",
        basis=basis,
        pseudo=pseudo,
        mesh=[points] * 3,
        verbose=0,
    )
    cell.build()
    return dft.KRKS(cell, cell.make_kpts(KPTS), xc=XC)


def superposition(mean_field: Any) -> Any:
    """Hamiltonian of the density that PySCF starts from."""
    from pyscf.pbc.dft.numint import KNumInt

    cell, grids = mean_field.cell, mean_field.grids
    values = cell.pbc_eval_gto("GTOval_sph_deriv1", grids.coords, kpts=mean_field.kpts)
    rho = KNumInt().eval_rho(cell, values, mean_field.get_init_guess(), xctype="GGA").real
    found = LocalExchangeCorrelation.of_values(rho, grids.weights, XC)
    return mesh_hamiltonian(cell, grids.coords, grids.weights, found)


def fitted(values: np.ndarray, atoms: Atoms, largest: float, **kind: Any) -> tuple[Density, float]:
    """Fit of the converged density on the grid (e/bohr^3), and its error in per cent."""
    grid = Grid(values / units.Bohr**3, np.zeros(3), atoms.cell.array)
    density = GridDensity(atoms, grid, **kind)
    basis = grid_basis(density, largest=largest)
    reference = fit_grid(density, basis)
    return Density(atoms, basis, reference.coefficients), reference.fit["nmae"]


def helium() -> None:
    """With all electrons: no pseudopotentials, and another Coulomb treatment on the two sides."""
    from pyscf.pbc.dft.gen_grid import UniformGrids

    atoms, points, basis = bulk("He", "fcc", a=2.6), 40, "6-31g"
    mean_field = calculation(atoms, points, basis, {}).density_fit()
    mean_field.grids.level = 4
    energy = mean_field.kernel() * units.Hartree
    expected = np.array(mean_field.mo_energy) * units.Hartree
    values = mean_field.get_rho(grids=UniformGrids(mean_field.cell)).reshape([points] * 3)
    density, nmae = fitted(values, atoms, 100.0, kind="all-electron")
    print(f"helium, all electrons: fit {nmae:.2f} %")
    for level in (3, 4):
        found = one_shot_crystal(atoms, density, XC, basis, kpts=KPTS, grid_level=level)
        errors = found.orbital_energies - expected
        print(
            f"  grid level {level}: bands {1000 * np.abs(errors - errors.mean()).max():.2f} at "
            f"worst, energy {1000 * (found.energy - energy):.2f} meV",
            flush=True,
        )


def report(name: str, bands: np.ndarray, expected: np.ndarray, energy: float) -> None:
    """Errors with the averages of the bands aligned, since a crystal's potential has no zero."""
    errors = (bands - expected)[:, :BANDS]
    errors = 1000 * (errors - errors.mean())
    gaps = [b[:, BANDS // 2].min() - b[:, BANDS // 2 - 1].max() for b in (bands, expected)]
    print(
        f"  {name:28} bands {np.abs(errors).mean():8.2f} on average, {np.abs(errors).max():8.2f} "
        f"at worst; gap {1000 * (gaps[0] - gaps[1]):8.2f}; energy {1000 * energy:9.2f} meV",
        flush=True,
    )


def with_pseudopotentials(name: str, npoints: int) -> None:
    """One of the crystals, along a path."""
    atoms, points, largest = CRYSTALS[name]
    mean_field = calculation(atoms, points, ORBITAL_BASIS, "gth-pbe")
    start = time.process_time()
    energy = mean_field.kernel() * units.Hartree
    seconds = time.process_time() - start
    path = atoms.cell.bandpath("LGXWG", npoints=npoints)
    absolute = mean_field.cell.get_abs_kpts(path.kpts)
    expected = np.array(mean_field.get_bands(absolute)[0]) * units.Hartree
    charges = dict(zip(atoms.symbols, mean_field.cell.atom_charges().tolist(), strict=True))
    values = mean_field.get_rho().reshape([points] * 3)
    density, nmae = fitted(values, atoms, largest, kind="valence", core_charges=charges)
    start = time.process_time()
    found = one_shot_crystal(atoms, density, XC, ORBITAL_BASIS, kpts=KPTS, shape=(points,) * 3)
    ratio = (time.process_time() - start) / seconds
    print(f"{name}: {mean_field.cycles} cycles; fit {nmae:.2f} %; CPU time {ratio:.2f}")
    report("from the fit", found.bands(path.kpts), expected, found.energy - energy)
    atomic = superposition(mean_field)
    bands = atomic.bands(path.kpts)[0] * units.Hartree
    filled = atomic.bands(mean_field.cell.get_scaled_kpts(mean_field.kpts))[0]
    total = 2 * filled[:, : BANDS // 2].sum(axis=1).mean() + atomic.offset
    report("from superposed atoms", bands, expected, total * units.Hartree - energy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*CRYSTALS, "helium"]
    parser.add_argument("--crystals", nargs="+", default=names, choices=names)
    parser.add_argument("--npoints", type=int, default=30, help="k-points along the path")
    arguments = parser.parse_args()
    for name in arguments.crystals:
        if name == "helium":
            helium()
        else:
            with_pseudopotentials(name, arguments.npoints)


if __name__ == "__main__":
    main()
