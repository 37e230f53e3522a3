"""Make ``water-hexamer.npz``: a ring of six hydrogen-bonded molecules, and its PySCF density.

Oxygen atoms 2.75 Angstrom apart in a puckered ring, one hydrogen of each molecule towards the
next oxygen, the other one up or down, so that the ring has a dipole moment. A minute; needs
``ase-rholearn[train]``. Run

    python examples/make_water_hexamer.py
"""

from pathlib import Path

import numpy as np
from ase import Atoms

from ase_rholearn import load_model
from ase_rholearn.references.pyscf import KohnSham, reference
from ase_rholearn.training.options import GenerateOptions, load_options

HERE = Path(__file__).parent
RECIPE = HERE.parent / "models" / "water-pbe" / "generate.yaml"

OXYGEN_DISTANCE, HEIGHT = 2.75, 0.25  # Angstrom
UP_OR_DOWN = (1.0, 1.0, -1.0, 1.0, -1.0, 1.0)  # of the hydrogen atoms that are not donated
BOND, ANGLE = 0.98, np.radians(106.0)


def ring() -> Atoms:
    """The molecule."""
    side = np.sqrt(OXYGEN_DISTANCE**2 - (2 * HEIGHT) ** 2)
    turns = np.arange(6) * np.pi / 3
    puckered = HEIGHT * (-1.0) ** np.arange(6)
    oxygens = np.c_[side * np.cos(turns), side * np.sin(turns), puckered]
    atoms = Atoms()
    for k, oxygen in enumerate(oxygens):
        donated = oxygens[(k + 1) % 6] - oxygen
        donated /= np.linalg.norm(donated)
        outwards = oxygen * [1.0, 1.0, 0.0] / side
        free = np.array([0.0, 0.0, UP_OR_DOWN[k]]) + 0.4 * outwards
        free -= (free @ donated) * donated
        free /= np.linalg.norm(free)
        free = np.cos(ANGLE) * donated + np.sin(ANGLE) * free
        atoms += Atoms("OHH", [oxygen, oxygen + BOND * donated, oxygen + BOND * free])
    return atoms


def main() -> None:
    options = load_options(GenerateOptions, RECIPE)
    settings: KohnSham = options.kohn_sham.settings()
    basis = load_model("water-pbe", "cpu").basis
    result = reference(ring(), basis, settings, keep_orbitals=True)
    result.save(HERE / "water-hexamer.npz")


if __name__ == "__main__":
    main()
