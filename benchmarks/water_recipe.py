"""The clusters of the shipped water model, divided as its training divided them.

The draw goes by the ids of references, which depend on every digit of the basis: on the one that is
in the model file, not on one that is built again, which another processor rounds otherwise.
"""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.io import read

from ase_rholearn import load_model
from ase_rholearn.references.reference import reference_id
from ase_rholearn.training.data import split_ids
from ase_rholearn.training.options import GenerateOptions, TrainOptions, load_options

RECIPE = Path(__file__).parents[1] / "models" / "water-pbe"


def parts_of_the_recipe() -> dict[str, list[Atoms]]:
    """Clusters of the training, validation and test part."""
    making = load_options(GenerateOptions, RECIPE / "generate.yaml")
    split = load_options(TrainOptions, RECIPE / "train.yaml").split
    level = load_model("water-pbe").card.level_of_theory
    names = {reference_id(a, level): a for a in read(making.structures, index=":")}
    parts = split_ids(list(names), split.validation, split.test, split.seed)
    return {part: [names[name] for name in ids] for part, ids in parts.items()}
