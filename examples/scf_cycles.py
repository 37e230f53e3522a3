"""Cycles of self-consistent calculations with and without a predicted density.

Water clusters cut out of a hexamer that the model has never seen, PBE/def2-TZVP as its training
set, density-fitted, to 1e-9 Hartree. PySCF starts from superposed atoms (minao), from the predicted
density, and from a fit of the converged density, which is the best that any model in this basis
could do. Takes some minutes; the picture goes to ``scf-output``. Run

    python examples/scf_cycles.py
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from matplotlib.figure import Figure
from pyscf import dft, gto

from ase_rholearn import RhoCalculator
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import density_from_mean_field
from ase_rholearn.scf import initial_guess

HERE = Path(__file__).parent
OUTPUT = Path("scf-output")

STARTS = ("superposed atoms", "predicted density", "exact fit")
COLORS = ("0.65", "tab:blue", "tab:orange")


def calculation(atoms: Atoms, basis: str) -> Any:
    """A fresh one: nothing of an earlier run is left in it."""
    geometry = [*zip(atoms.symbols, atoms.positions, strict=True)]
    mf = dft.RKS(gto.M(atom=geometry, basis=basis, verbose=0), xc="PBE").density_fit()
    mf.conv_tol = 1e-9
    mf.chkfile = mf._chkfile = None  # no file of this run is wanted
    return mf


def cycles(atoms: Atoms, calculator: RhoCalculator, basis: str) -> list[int]:
    """Of the three starts; all of them end at the same energy."""
    usual = calculation(atoms, basis)
    usual.kernel()
    predicted = calculator.get_density(atoms)
    fitted = density_from_mean_field(usual, predicted.basis)
    found, energies = [usual.cycles], [usual.e_tot]
    for density in (predicted, fitted):
        mf = calculation(atoms, basis)
        mf.kernel(initial_guess(mf, density))
        found.append(mf.cycles)
        energies.append(mf.e_tot)
    assert np.ptp(energies) < 1e-7
    return found


def plot(counts: np.ndarray, path: Path) -> None:
    """Bars: clusters by size, and the three starts (n, 3)."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    ax = figure.subplots()
    places = np.arange(len(counts))
    for i, (name, color) in enumerate(zip(STARTS, COLORS, strict=True)):
        bars = ax.bar(places + 0.27 * (i - 1), counts[:, i], 0.25, color=color, label=name)
        ax.bar_label(bars, fontsize=9)
    labels = ["H$_2$O", *(f"(H$_2$O)$_{n}$" for n in range(2, len(counts) + 1))]
    ax.set_xticks(places, labels)
    ax.set(ylabel="cycles to 10$^{-9}$ Hartree", ylim=(0, 1.25 * counts.max()))
    ax.legend(ncols=3, loc="upper center", frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=3, help="molecules, up to 6")
    parser.add_argument("--basis", default="def2-tzvp", help="orbitals of the calculations")
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    hexamer = Reference.load(HERE / "water-hexamer.npz").atoms
    calculator = RhoCalculator("water-pbe")
    rows = []
    print(f"{'':10}" + "".join(f"{name:>20}" for name in STARTS))
    for size in range(1, arguments.largest + 1):
        rows.append(cycles(hexamer[: 3 * size], calculator, arguments.basis))
        print(f"(H2O){size:<5}" + "".join(f"{n:20}" for n in rows[-1]), flush=True)
    plot(np.array(rows), OUTPUT / "scf-cycles.png")


if __name__ == "__main__":
    main()
