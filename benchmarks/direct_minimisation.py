"""Direct minimisation against PySCF's DIIS: 20 molecules, and structures where DIIS fails.

    python benchmarks/direct_minimisation.py [easy] [hard]

PBE/def2-SVP, closed shells, no density fitting, grid level 1, one thread. Energies in Hartree;
Fock matrices are those of default DIIS (cycles + 1), of the minimisation from PySCF's guess, and
from one-shot orbitals of an exact fit of the density (``easy``). For ``hard``: the span of the
energy in the last ten of 50 cycles of DIIS; the energies of the minimum and of PySCF's
second-order solver from the same guess, less the lowest of DIIS; and the gap (eV).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from functools import cache
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.data import atomic_numbers
from ase.symbols import string2symbols

from ase_rholearn.basis import Basis, even_tempered
from ase_rholearn.references.pyscf import atomic_densities, density_from_mean_field
from ase_rholearn.references.pyscf.molecule import build_molecule
from ase_rholearn.scf import minimize_energy, one_shot_orbitals
from ase_rholearn.scf.functionals import functional

EASY = (
    *("H2O", "NH3", "CH4", "CO2", "HCN", "H2CO", "CH3OH", "HCOOH", "C2H2", "C2H4", "C2H6"),
    *("N2", "CO", "HF", "F2", "LiH", "H2O2", "N2H4", "CH3Cl", "SO2"),
)


def diatomic(symbols: str, distance: float) -> Atoms:
    return Atoms(symbols, [[0, 0, 0], [0, 0, distance]])


HARD = {
    "F2, 2.8 A": diatomic("F2", 2.8),
    "C2, 1.243 A": diatomic("C2", 1.243),
    "Si2, 2.25 A": diatomic("Si2", 2.25),
    "singlet O2, 1.21 A": diatomic("O2", 1.21),
    "NaCl, 6 A": diatomic("NaCl", 6.0),
    "square H4, 1.5 A": Atoms("H4", [[0, 0, 0], [1.5, 0, 0], [1.5, 1.5, 0], [0, 1.5, 0]]),
    "CrO, 1.62 A": diatomic("CrO", 1.62),
    "TiO, 1.62 A": diatomic("TiO", 1.62),
    "Fe-CO": Atoms("FeCO", [[0, 0, 0], [0, 0, 1.75], [0, 0, 2.91]]),
}


def mean_field(atoms: Atoms) -> Any:
    from pyscf import dft

    run = dft.RKS(build_molecule(atoms, "def2-svp"), xc="PBE")
    run.grids.level = 1
    return run


@cache
def rich_basis() -> Basis:
    symbols = sorted({symbol for name in EASY for symbol in string2symbols(name)})
    numbers = [atomic_numbers[symbol] for symbol in symbols]
    free_atoms = atomic_densities(numbers, orbital_basis="def2-svp")
    basis = even_tempered(symbols, beta=2.0, orbital_basis="def2-svp")
    return basis.with_atomic_densities(free_atoms)


def easy() -> None:
    print("                  Fock matrices                CPU time, DIIS = 1   error, Hartree")
    print("             DIIS  minimum  from density      libxc   functional")
    rows = []
    minimize_energy(mean_field(Atoms("He")), functional=functional("PBE"))  # imports
    for name in EASY:
        atoms = molecule(name)
        exact = mean_field(atoms)
        exact.conv_tol = 1e-12
        exact.kernel()
        run = mean_field(atoms)
        start = time.process_time()
        run.kernel()
        unit = time.process_time() - start
        fresh = mean_field(atoms)
        seconds, results = [], []
        for chosen in (None, functional("PBE")):
            start = time.process_time()
            results.append(minimize_energy(fresh, functional=chosen))
            seconds.append((time.process_time() - start) / unit)
        rho = density_from_mean_field(exact, rich_basis())
        orbitals, _ = one_shot_orbitals(run.mol, rho, "PBE")
        results.append(minimize_energy(fresh, orbitals @ orbitals.T))
        error = max(abs(one.energy - exact.e_tot) for one in results)
        counts = [run.cycles + 1, results[0].evaluations, results[2].evaluations]
        rows.append([*counts, *seconds, error])
        print(f"{name:10} {counts[0]:6} {counts[1]:8} {counts[2]:13}", end="")
        print(f"      {seconds[0]:6.2f} {seconds[1]:12.2f}     {error:.0e}", flush=True)
    mean = np.mean(rows, axis=0)
    print(f"mean       {mean[0]:6.1f} {mean[1]:8.1f} {mean[2]:13.1f}", end="")
    print(f"      {mean[3]:6.2f} {mean[4]:12.2f}     {np.max(rows, axis=0)[5]:.0e} at most")


def hard() -> None:
    print("                      DIIS     span    minimum  Fock matrices   gap   second order")
    for name, atoms in HARD.items():
        run, energies = mean_field(atoms), []
        run.callback = lambda local, energies=energies: energies.append(local["e_tot"])
        run.kernel()
        found = minimize_energy(mean_field(atoms))
        second = mean_field(atoms).newton()
        second.verbose = 0
        second.kernel()
        print(
            f"{name:20} {'ends' if run.converged else 'fails':>6} {np.ptp(energies[-10:]):8.0e} "
            f"{found.energy - min(energies):+10.6f} {found.evaluations:8} "
            f"{'' if found.converged else 'not converged'} {found.gap * units.Hartree:12.2f} "
            f"{second.e_tot - min(energies):+12.6f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", default=["easy", "hard"])
    for part in parser.parse_args().parts:
        {"easy": easy, "hard": hard}[part]()


if __name__ == "__main__":
    main()
