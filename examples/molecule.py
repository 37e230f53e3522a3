"""A molecule from a SMILES or a file: density, charges, potential, and DFT with and without it.

The shipped model of organic molecules predicts the density. From it come a cube, a page to turn
in a browser, dipole, charges, a map of the electrostatic potential, and an energy by one
diagonalisation; PySCF's self-consistent calculation is run beside it, from its own start and from
the density. Files go to ``molecule-output``. Run

    make demo MOLECULE="CC(=O)Nc1ccc(O)cc1"
    python examples/molecule.py ethanol.xyz
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.io import read
from matplotlib.figure import Figure

from ase_rholearn import Density, RhoCalculator
from ase_rholearn.references.pyscf import KohnSham
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.scf import initial_guess, one_shot
from ase_rholearn.training.sampling import conformers

OUTPUT = Path("molecule-output")


def structure(text: str) -> Atoms:
    """Of a file, or else of a SMILES."""
    if Path(text).exists():
        return read(text)
    return conformers(text)[0]


def properties(atoms: Atoms, rho: Density, calculator: RhoCalculator) -> None:
    """What the density says at once, and how certain it is."""
    charges = rho.charges()
    expected = 100 * calculator.get_uncertainty(atoms).sum() / rho.number_of_electrons
    print(f"{atoms.get_chemical_formula():16} {len(atoms)} atoms, {rho.number_of_electrons:.6f} e")
    print(f"  expected error of the density    {expected:.2f} %")
    print(f"  dipole                           {np.linalg.norm(rho.dipole()) / units.Debye:.3f} D")
    print("  Hirshfeld charges")
    for start in range(0, len(atoms), 6):
        part = range(start, min(start + 6, len(atoms)))
        print("   " + "".join(f" {atoms.symbols[i]:>2}{i:<3}{charges[i]:+.3f}" for i in part))


def pictures(rho: Density) -> None:
    """A cube, a page, and the potential on the surface of the molecule."""
    rho.write(OUTPUT / "density.cube", spacing=0.15)
    rho.view(OUTPUT / "density.html")
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    (rho - rho.free_atoms()).plot(ax=left, title="density minus free atoms")
    rho.plot_potential(ax=right, title="electrostatic potential on the surface")
    figure.savefig(OUTPUT / "molecule.png", dpi=110)


def energies(atoms: Atoms, rho: Density, level: KohnSham) -> None:
    """One diagonalisation beside self-consistent calculations from two starts."""
    start = time.perf_counter()
    found = one_shot(atoms, rho, level.xc, level.orbital_basis).screened()
    seconds = time.perf_counter() - start
    mean_field, usual = self_consistent(atoms, level, None)
    seeded, better = self_consistent(atoms, level, rho)
    energy = seeded.e_tot * units.Hartree
    dipole = np.linalg.norm(mean_field.dip_moment(unit="Debye", verbose=0))
    print(
        f"{level.xc}/{level.orbital_basis:12} {'energy, eV':>14} {'dipole, D':>10} "
        f"{'time, s':>8} {'cycles':>7}"
    )
    print(
        f"  one shot       {found.energy:14.3f} "
        f"{np.linalg.norm(found.dipole()) / units.Debye:10.3f} {seconds:8.1f}"
    )
    print(
        f"  SCF            {mean_field.e_tot * units.Hartree:14.3f} {dipole:10.3f} {usual:8.1f} "
        f"{mean_field.cycles:7}"
    )
    print(f"  from the density {energy:12.3f} {'':10} {better:8.1f} {seeded.cycles:7}")


def self_consistent(atoms: Atoms, level: KohnSham, rho: Density | None) -> tuple[Any, float]:
    """A calculation, and its time with that of its start."""
    mean_field = kohn_sham(atoms, level)
    start = time.perf_counter()
    mean_field.kernel(None if rho is None else initial_guess(mean_field, rho))
    return mean_field, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("molecule", nargs="?", default="CC(=O)O", help="SMILES, or a file")
    parser.add_argument("--model", default="organic-pbe")
    parser.add_argument("--basis", help="orbitals; left out: those of the model's references")
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    atoms = structure(arguments.molecule)
    calculator = RhoCalculator(arguments.model)
    start = time.perf_counter()
    rho = calculator.get_density(atoms)
    print(f"predicted in {time.perf_counter() - start:.2f} s, with the loading of the network")
    properties(atoms, rho, calculator)
    pictures(rho)
    known = calculator.model.card.level_of_theory
    energies(atoms, rho, KohnSham(known["xc"], arguments.basis or known["orbital_basis"]))
    print(f"files           {', '.join(sorted(str(p) for p in OUTPUT.iterdir()))}")


if __name__ == "__main__":
    main()
