"""Make ``water-box.xyz``: 64 molecules of water at 300 K in a periodic box.

Molecular dynamics with the TIP3P force field of ASE, from molecules on a lattice; rigid
molecules, 0.997 g/cm^3. Run

    python examples/make_water_box.py
"""

from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.tip3p import TIP3P, angleHOH, rOH
from ase.constraints import FixBondLengths
from ase.io import write
from ase.md.langevin import Langevin
from scipy.spatial.transform import Rotation

MOLECULES_PER_EDGE = 4
EDGE = (MOLECULES_PER_EDGE**3 / 0.03333) ** (1 / 3)  # Angstrom


def lattice_of_molecules(rng: np.random.Generator) -> Atoms:
    """Randomly turned molecules on a cubic lattice."""
    x, z = rOH * np.sin(np.radians(angleHOH) / 2), rOH * np.cos(np.radians(angleHOH) / 2)
    molecule = np.array([[0.0, 0.0, 0.0], [x, 0.0, z], [-x, 0.0, z]])
    sites = (np.indices((MOLECULES_PER_EDGE,) * 3).reshape(3, -1).T + 0.5) / MOLECULES_PER_EDGE
    positions = [Rotation.random(rng=rng).apply(molecule) + EDGE * site for site in sites]
    return Atoms("OHH" * len(sites), np.concatenate(positions), cell=[EDGE] * 3, pbc=True)


def main() -> None:
    rng = np.random.default_rng(1)
    atoms = lattice_of_molecules(rng)
    first = np.arange(0, len(atoms), 3)
    bonds = [(o + a, o + b) for o in first for a, b in ((0, 1), (0, 2), (1, 2))]
    atoms.constraints = FixBondLengths(bonds, tolerance=1e-5)
    atoms.calc = TIP3P(rc=EDGE / 2 - 0.5)
    # long enough for hydrogen bonds to form; not a sample of the liquid
    for femtoseconds, friction, steps in ((1.0, 0.1, 150), (2.0, 0.02, 250)):
        dynamics = Langevin(
            atoms,
            femtoseconds * units.fs,
            temperature_K=300,
            friction=friction / units.fs,
            rng=rng,
            fixcm=False,
        )
        dynamics.run(steps)
    atoms.constraints = []
    box = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    write(Path(__file__).with_name("water-box.xyz"), box, format="extxyz")


if __name__ == "__main__":
    main()
