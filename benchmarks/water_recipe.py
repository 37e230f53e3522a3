"""The clusters of the shipped water model, divided as its training divided them."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from ase_rholearn.training.data import DataSet, read_split

RECIPE = Path(__file__).parents[1] / "models" / "water-pbe"


def parts_of_the_recipe() -> dict[str, list[Atoms]]:
    """Clusters of the training, validation and test part."""
    dataset = DataSet.open(RECIPE / "densities")
    parts = read_split(RECIPE / "split.json", dataset.ids)
    return {part: [dataset.load(name).atoms for name in names] for part, names in parts.items()}
