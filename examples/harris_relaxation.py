"""Relaxation on a model of the density alone, beside PySCF's own self-consistent one.

The model knows densities and no energies; one Kohn-Sham diagonalisation a step gives energy and
forces. Both start from the same distorted water molecules and end in the same place. Some minutes
for two molecules; files go to ``harris-output``. Run

    python examples/harris_relaxation.py
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from matplotlib.figure import Figure

from ase_rholearn import RhoCalculator
from ase_rholearn.references.pyscf import KohnSham
from ase_rholearn.references.pyscf.run import kohn_sham

OUTPUT = Path("harris-output")


class SelfConsistent(Calculator):
    """Energies and forces of PySCF."""

    implemented_properties = ("energy", "forces")

    def __init__(self, level: KohnSham) -> None:
        super().__init__()
        self.level = level

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Run the self-consistent calculation; ASE calls this."""
        super().calculate(atoms, properties, system_changes)
        mean_field = kohn_sham(self.atoms, self.level)
        energy = mean_field.kernel()
        gradient = mean_field.nuc_grad_method()
        gradient.grid_response = True
        self.results = {
            "energy": energy * units.Hartree,
            "forces": -gradient.kernel() * units.Hartree / units.Bohr,
        }


def distorted(n_molecules: int) -> Atoms:
    """One water molecule, or two of which one offers a hydrogen to the other."""
    donor = molecule("H2O")
    donor.rotate(142.0, "x")
    atoms = donor.copy()
    if n_molecules == 2:
        acceptor = molecule("H2O")
        acceptor.rotate(60.0, "y")
        acceptor.positions += donor.positions[0] - acceptor.positions[0] + [0.2, 0.0, 3.1]
        atoms += acceptor
    atoms.rattle(0.04, seed=1)
    return atoms


def relaxed(atoms: Atoms, calculator: Calculator, fmax: float) -> tuple[Atoms, list[float]]:
    """The structure at the end, and the energies on the way there."""
    moved = atoms.copy()
    moved.calc = calculator
    energies: list[float] = []
    optimizer = BFGS(moved, logfile=None)
    optimizer.attach(lambda: energies.append(moved.get_potential_energy()))
    optimizer.run(fmax=fmax, steps=100)
    return moved, energies


def draw(curves: dict[str, list[float]], path: Path) -> None:
    """Energy above the lowest of each relaxation, by step."""
    figure = Figure(figsize=(5.5, 3.5), layout="constrained")
    axes = figure.subplots()
    for (name, energies), style in zip(curves.items(), ("o-", "x--"), strict=True):
        above = 1000 * (np.array(energies) - min(energies))
        axes.plot(range(len(above)), above, style, label=name)
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step")
    axes.set_ylabel("energy above the minimum / meV")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--molecules", type=int, choices=(1, 2), default=2)
    parser.add_argument("--basis", default="def2-svp", help="of the orbitals, on both sides")
    parser.add_argument("--level", type=int, default=2, help="PySCF's quadrature grid")
    parser.add_argument("--fmax", type=float, default=0.02, help="eV/Angstrom")
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    start = distorted(arguments.molecules)
    options = {"basis": arguments.basis, "grid_level": arguments.level}
    level = KohnSham("PBE", arguments.basis, grid_level=arguments.level)
    calculators = {
        "density model, one diagonalisation": RhoCalculator(
            "water-pbe", device="cpu", energy="harris", energy_options=options
        ),
        "self-consistent": SelfConsistent(level),
    }
    ends, curves = [], {}
    for name, calculator in calculators.items():
        end, curves[name] = relaxed(start, calculator, arguments.fmax)
        ends.append(end)
        distances = end.get_all_distances()
        bond = f"O-H {distances[0, 1]:.4f} A"
        if arguments.molecules == 2:
            bond += f", O-O {distances[0, 3]:.4f} A"
        print(f"{name}: {len(curves[name]) - 1} steps, {bond}")
    difference = np.abs(ends[0].get_all_distances() - ends[1].get_all_distances()).max()
    print(f"all distances agree to {difference:.4f} A")
    draw(curves, OUTPUT / "relaxation.png")


if __name__ == "__main__":
    main()
