"""One-shot energies and dipoles beside self-consistent ones: errors and CPU time.

PBE/def2-SVP, from exact fits, or from fits that lack a share of their deformation density (with 1:
superposed free atoms). Energies are compared with a self-consistent calculation of exact Coulomb
integrals, times with one whose Coulomb integrals are density-fitted. Some minutes on one core. Run

    python benchmarks/one_shot.py
    python benchmarks/one_shot.py --missing 0.1
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from ase import units
from ase.build import molecule
from scf_guess import NAMES, ORBITAL_BASIS, fit_basis

from ase_rholearn import Density
from ase_rholearn.references.pyscf import KohnSham, density_from_mean_field
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.scf import OneShot, one_shot


def timed(work: Any) -> tuple[float, Any]:
    """CPU seconds, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", nargs="+", default=NAMES)
    parser.add_argument("--beta", type=float, default=1.8, help="ratio of the fit's exponents")
    parser.add_argument("--missing", type=float, default=0.0, help="share of the deformation")
    arguments = parser.parse_args()
    found = []
    print(f"{'':10} {'plain':>23} {'screened':>23} {'SCF':>8} {'one shot':>9} {'screened':>9}")
    for name in arguments.molecules:
        atoms = molecule(name)
        exact = kohn_sham(atoms, KohnSham("PBE", ORBITAL_BASIS, density_fit=False))
        exact.kernel()
        fit = density_from_mean_field(exact, fit_basis(atoms, arguments.beta))
        rho = Density(atoms, fit.basis, (1 - arguments.missing) * fit.raw_coefficients)
        usual, _ = timed(kohn_sham(atoms, KohnSham("PBE", ORBITAL_BASIS)).kernel)
        seconds, plain = timed(lambda a=atoms, r=rho: one_shot(a, r, "PBE", ORBITAL_BASIS))
        more, screened = timed(plain.screened)
        errors = [*compared(plain, exact), *compared(screened, exact)]
        found.append([*np.abs(errors), usual, seconds, seconds + more])
        print(
            f"{name:10} {errors[0]:10.3f} meV {errors[1]:6.4f} D {errors[2]:10.3f} meV "
            f"{errors[3]:6.4f} D {usual:6.1f} s {seconds:7.1f} s {seconds + more:7.1f} s",
            flush=True,
        )
    table = np.array(found)
    for title, column in (("plain", 0), ("screened", 2)):
        errors, dipoles = table[:, column], table[:, column + 1]
        print(
            f"{title:10} {errors.mean():.2f} meV on average, {errors.max():.2f} at worst; dipole "
            f"{dipoles.mean():.4f} D, {dipoles.max():.4f} at worst; CPU time "
            f"{table[:, 5 + column // 2].sum() / table[:, 4].sum():.2f} of self-consistent "
            "calculations"
        )


def compared(found: OneShot, exact: Any) -> tuple[float, float]:
    """Error of the energy, meV, and length of the dipole's error, D."""
    dipole = exact.dip_moment(unit="Debye", verbose=0)
    return (
        1000 * (found.energy - exact.e_tot * units.Hartree),
        float(np.linalg.norm(found.dipole() / units.Debye - dipole)),
    )


if __name__ == "__main__":
    main()
