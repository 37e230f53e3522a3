"""Make ``water-box.xyz``: a periodic box of 64 water molecules at the density of the liquid.

Molecules sit near the sites of a cubic lattice, turned at random until no two atoms of
different molecules are closer than hydrogen bonds are. A stand-in for a frame of a liquid. Run

    python examples/make_water_box.py
"""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from ase.io import write
from scipy.spatial.transform import Rotation

MOLECULES_PER_EDGE = 4
EDGE = (MOLECULES_PER_EDGE**3 / 0.03333) ** (1 / 3)  # Angstrom; 0.997 g/cm^3
BOND, ANGLE = 0.97, np.radians(105.0)
CLOSEST = 1.75  # Angstrom, between atoms of different molecules
TRIALS = 10_000


def main() -> None:
    rng = np.random.default_rng(1)
    x, z = BOND * np.sin(ANGLE / 2), BOND * np.cos(ANGLE / 2)
    molecule = np.array([[0.0, 0.0, 0.0], [x, 0.0, z], [-x, 0.0, z]])
    sites = (np.indices((MOLECULES_PER_EDGE,) * 3).reshape(3, -1).T + 0.5) / MOLECULES_PER_EDGE
    box = Atoms(cell=[EDGE] * 3, pbc=True)
    for site in sites:
        for _ in range(TRIALS):
            turned = Rotation.random(rng=rng).apply(molecule)
            placed = turned + EDGE * site + rng.normal(scale=0.25, size=3)
            _, distances = get_distances(box.positions, placed, cell=box.cell, pbc=True)
            if distances.min(initial=np.inf) > CLOSEST:
                break
        else:
            raise RuntimeError("no room for a molecule: choose another seed")
        box += Atoms("OHH", placed)
    write(Path(__file__).with_name("water-box.xyz"), box, format="extxyz")


if __name__ == "__main__":
    main()
