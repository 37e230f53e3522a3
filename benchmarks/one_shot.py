"""One-shot energies from exact fits, beside self-consistent ones: error and CPU time.

PBE/def2-SVP. Energies are compared with a self-consistent calculation with exact Coulomb integrals,
times with one whose Coulomb integrals are density-fitted. Some minutes on one core. Run

    python benchmarks/one_shot.py
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from ase import units
from ase.build import molecule
from scf_guess import NAMES, ORBITAL_BASIS, fit_basis

from ase_rholearn.references.pyscf import KohnSham, density_from_mean_field
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.scf import one_shot


def timed(work: Any) -> tuple[float, Any]:
    """CPU seconds, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", nargs="+", default=NAMES)
    parser.add_argument("--beta", type=float, default=1.8, help="ratio of the fit's exponents")
    arguments = parser.parse_args()
    found = []
    print(f"{'':10} {'error, meV':>10} {'SCF, s':>8} {'one shot, s':>12}")
    for name in arguments.molecules:
        atoms = molecule(name)
        exact = kohn_sham(atoms, KohnSham("PBE", ORBITAL_BASIS, density_fit=False))
        exact.kernel()
        rho = density_from_mean_field(exact, fit_basis(atoms, arguments.beta))
        usual, _ = timed(kohn_sham(atoms, KohnSham("PBE", ORBITAL_BASIS)).kernel)
        seconds, result = timed(lambda a=atoms, r=rho: one_shot(a, r, "PBE", ORBITAL_BASIS))
        error = 1000 * (result.energy - exact.e_tot * units.Hartree)
        found.append((abs(error), usual, seconds))
        print(f"{name:10} {error:10.3f} {usual:8.1f} {seconds:12.1f}", flush=True)
    errors, usual, seconds = np.array(found).T
    print(
        f"error {errors.mean():.2f} meV on average, {errors.max():.2f} at worst; "
        f"CPU time {seconds.sum() / usual.sum():.2f} of the self-consistent calculations'"
    )


if __name__ == "__main__":
    main()
