"""Cycles and time of self-consistent calculations that start from a density.

For each molecule, PBE/def2-SVP with density-fitted Coulomb integrals: PySCF's own start (minao),
and a start from the fit of the converged density (no model: what a perfect one would save). The
time of the start is counted; so is, in the last column, one Fock build for it. Both sides have the
same threshold and the same Coulomb treatment. Some minutes on one core. Run

    python benchmarks/scf_guess.py
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule

from ase_rholearn import Density
from ase_rholearn.basis import Basis, even_tempered
from ase_rholearn.references.pyscf import KohnSham, atomic_densities, density_from_mean_field
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.scf import initial_guess

NAMES = (
    *("H2O", "NH3", "CH4", "CO2", "HCN", "H2CO", "CH3OH", "CH3CH2OH", "HCOOH", "CH3CONH2"),
    *("CH3NO2", "C6H6", "C5H5N", "C4H4O", "CH3SH"),
)
ORBITAL_BASIS = "def2-svp"


@dataclass(frozen=True)
class Run:
    """One self-consistent calculation."""

    cycles: int
    seconds: float
    energy: float


def run(atoms: Atoms, tolerance: float, density: Density | None) -> tuple[Run, Any]:
    """CPU time includes the start."""
    mean_field = kohn_sham(atoms, KohnSham("PBE", ORBITAL_BASIS, conv_tol=tolerance))
    start = time.process_time()
    dm0 = None if density is None else initial_guess(mean_field, density)
    mean_field.kernel(dm0)
    return Run(mean_field.cycles, time.process_time() - start, mean_field.e_tot), mean_field


def fit_basis(atoms: Atoms, beta: float) -> Basis:
    """Even-tempered functions of this ratio, with free atoms."""
    basis = even_tempered(sorted(set(atoms.symbols)), beta=beta, orbital_basis=ORBITAL_BASIS)
    numbers = sorted(set(atoms.numbers.tolist()))
    return basis.with_atomic_densities(atomic_densities(numbers, orbital_basis=ORBITAL_BASIS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", nargs="+", default=NAMES)
    parser.add_argument("--tolerance", type=float, default=1e-9, help="Hartree")
    parser.add_argument("--beta", type=float, default=1.8, help="ratio of the fit's exponents")
    arguments = parser.parse_args()
    found = []
    print(f"{'':10} minao: cycles, s      fit: cycles, s   energies differ")
    for name in arguments.molecules:
        atoms = molecule(name)
        usual, mean_field = run(atoms, arguments.tolerance, None)
        basis = fit_basis(atoms, arguments.beta)
        better, _ = run(atoms, arguments.tolerance, density_from_mean_field(mean_field, basis))
        found.append((usual, better))
        print(
            f"{name:10} {usual.cycles:8} {usual.seconds:8.1f} {better.cycles:13} "
            f"{better.seconds:8.1f} {better.energy - usual.energy:12.1e}",
            flush=True,
        )
    cycles = np.array([[a.cycles, b.cycles] for a, b in found]).mean(axis=0)
    seconds = np.array([[a.seconds, b.seconds] for a, b in found]).sum(axis=0)
    print(
        f"cycles {cycles[0]:.1f} and {cycles[1]:.1f}: {100 * (1 - cycles[1] / cycles[0]):.0f} % "
        f"fewer, {100 * (1 - (cycles[1] + 1) / cycles[0]):.0f} % with one more for the start; "
        f"CPU time {100 * (1 - seconds[1] / seconds[0]):.0f} % less"
    )


if __name__ == "__main__":
    main()
