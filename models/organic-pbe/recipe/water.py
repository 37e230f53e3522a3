"""Water clusters of water-pbe in the basis of organic-pbe, without new calculations.

    python models/organic-pbe/recipe/water.py           # writes the folder orbitals
    ase-rholearn fit models/organic-pbe/recipe/water.yaml

The first 60 clusters of three to five molecules of its training part: the pair and the hexamer
are transfer tests.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import units

from ase_rholearn.training.data import DataSet, read_split

HERE = Path(__file__).parent
WATER = HERE.parents[1] / "water-pbe"
COUNT = 60


def main() -> None:
    """Write one file of orbitals for each cluster."""
    dataset = DataSet.open(WATER / "densities")
    names = read_split(WATER / "split.json", dataset.ids)["training"]
    sizes = {name: len(dataset.load(name).atoms) // 3 for name in names}
    (HERE / "orbitals").mkdir(exist_ok=True)
    for name in [name for name in names if sizes[name] in (3, 4, 5)][:COUNT]:
        reference = dataset.load(name)
        np.savez(
            HERE / "orbitals" / f"{name}.npz",
            numbers=reference.atoms.numbers,
            positions=reference.atoms.positions,
            mo_occ_coeff=reference.occupied_orbitals / np.sqrt(2),
            energy=reference.energy / units.Hartree,
            dipole_debye=reference.dipole / units.Debye,
            smiles=".".join("O" * sizes[name]),
            source="water cluster",
            temperature=reference.atoms.info["temperature"],
        )


if __name__ == "__main__":
    main()
