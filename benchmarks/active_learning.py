"""What chosen structures are worth beside random ones.

The references of ``organic-pbe`` are known for all of its training structures, so that a choice
can be judged afterwards. Some of them are set aside to judge by, with all others of the same
molecules; water clusters, whose few sizes would be a molecule each, are left out. Of the rest, N
random ones train a first model; N more come from what is left, either at random or those of which
this model expects the largest errors, as ``ase-rholearn select --group smiles`` chooses; and a
second model is trained on both lots. Run

    python benchmarks/active_learning.py --sizes 100 200 --seeds 3

some ten minutes of one core for each N = 200 and seed. Runs are kept, and gone on with. Models are
``medium`` in closed form, without messages and products, with the better of two ridge terms on the
validation part of ``organic-pbe``. The error of a structure is that of its density relative to its
deformation density, both as norms in the overlap metric.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from learning_curves import losses
from organic_sets import RECIPE

from ase_rholearn import load_model
from ase_rholearn.model import DensityNetwork
from ase_rholearn.training import DataSet
from ase_rholearn.training.data import read_split, write_split
from ase_rholearn.training.export import export_run
from ase_rholearn.training.learning.prepare import prepare
from ase_rholearn.training.learning.samples import Sample
from ase_rholearn.training.learning.train import load_network, train
from ase_rholearn.training.options import TrainOptions
from ase_rholearn.training.selection import candidates, select

#: Structures to judge by.
JUDGED = 200

#: What the closed form is better without.
CLOSED_FORM = {"messages": 0, "products": 0}

#: Elements that few molecules have.
RARE = ("F", "S", "Cl")


class Comparison:
    """Runs of one seed, which divides the structures."""

    def __init__(self, seed: int, work: Path) -> None:
        self.dataset = DataSet.open(RECIPE / "densities")
        self.work = work
        work.mkdir(parents=True, exist_ok=True)
        self.split = read_split(RECIPE / "split.json", self.dataset.ids)
        order = np.random.default_rng(seed).permutation(self.split["training"]).tolist()
        molecules = {name: self.smiles(name) for name in order}
        order = [name for name in order if set(molecules[name].split(".")) != {"O"}]  # no water
        aside = {molecules[name] for name in order[:JUDGED]}
        self.judged = [name for name in order if molecules[name] in aside]
        self.pool = [name for name in order if molecules[name] not in aside]
        self.samples: dict[str, list[Sample]] = {}

    def smiles(self, name: str) -> str:
        """The molecule of a structure."""
        return str(self.dataset.load(name).atoms.info["smiles"])

    def train(self, label: str, names: Sequence[str], **sections: Any) -> TrainOptions:
        """A run on some structures; sections of its options may be others."""
        split = {"training": list(names), "validation": self.split["validation"], "test": []}
        file = self.work / f"{label}.json"
        write_split(file, split)
        settings = {
            "name": label,
            "dataset": self.dataset.folder,
            "output": self.work / label,
            "split": {"file": file},
            "model": {"preset": "medium", **CLOSED_FORM},
            "start": {"ridge": [1e-7, 1e-5], "iterations": 60},
            "gradient": {"epochs": 0},
            "uncertainty": {"vectors": 64},
            **sections,
        }
        options = TrainOptions.model_validate(settings)
        train(options)
        return options

    def errors(self, options: TrainOptions) -> np.ndarray:
        """Of each of the structures to judge by, percent."""
        kept = options.output / "errors.npy"
        if not kept.exists():
            network = load_network(options, self.dataset.basis)
            samples = self.prepared(options, network)
            found, scales = np.array(losses(network, samples)).T
            np.save(kept, 100 * np.sqrt(found / scales))
        errors: np.ndarray = np.load(kept)
        return errors

    def prepared(self, options: TrainOptions, network: DensityNetwork) -> list[Sample]:
        """The structures to judge by, as networks like that of a run see them."""
        key = options.model.model_dump_json()
        if key not in self.samples:
            self.samples[key] = prepare(self.dataset, self.judged, network, options.loss)
        return self.samples[key]

    def chosen(self, options: TrainOptions, names: Sequence[str], count: int) -> list[str]:
        """Those of which a run's model expects most to learn."""
        atoms = [self.dataset.load(name).atoms for name in names]
        found = candidates(load_model(exported(options)), atoms)
        return [self.dataset.id_of(c.atoms) for c in select(found, count, group="smiles")]

    def elements(self, names: Sequence[str]) -> str:
        """In how many of the structures the rare ones are."""
        found: Counter[str] = Counter()
        for name in names:
            found.update(self.rare_elements(name))
        return ", ".join(f"{symbol} {found[symbol]}" for symbol in RARE)

    def rare_elements(self, name: str) -> set[str]:
        """Those that few molecules have."""
        return set(self.dataset.load(name).atoms.symbols) & set(RARE)

    @cached_property
    def rare(self) -> np.ndarray:
        """Which of the structures to judge by have rare elements."""
        return np.array([bool(self.rare_elements(name)) for name in self.judged])


def exported(options: TrainOptions) -> Path:
    """The model file of a run."""
    path = options.output / "model.pt"
    if not path.exists():
        export_run(options, path)
    return path


def heading() -> None:
    """Titles of :func:`summary`."""
    titles = ("mean", "median", "90 %", "worst", "F S Cl", "others")
    print(f"  {'percent':40}" + " ".join(f"{title:>8}" for title in titles))


def summary(title: str, errors: np.ndarray, rare: np.ndarray) -> None:
    """One line: mean, median, what a tenth of the structures exceed; means with rare elements."""
    figures = [errors.mean(), np.median(errors), np.quantile(errors, 0.9), errors.max()]
    figures += [errors[rare].mean(), errors[~rare].mean()]
    print(f"  {title:40}" + " ".join(f"{x:8.2f}" for x in figures), flush=True)


def compare(seed: int, size: int, work: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Which structures are rare; errors of the first model, with random and chosen ones besides."""
    runs = Comparison(seed, work / f"seed-{seed}")
    first, rest = runs.pool[:size], runs.pool[size:]
    start = runs.train(f"first-{size}", first)
    lots = {"random": rest[:size], "chosen": runs.chosen(start, rest, size)}
    print(f"seed {seed}, N = {size}, {len(rest)} to choose from, judged by {len(runs.judged)}:")
    found = {"first": runs.errors(start)}
    for name, lot in lots.items():
        found[name] = runs.errors(runs.train(f"{name}-{size}", [*first, *lot]))
    for name, errors in found.items():
        title = f"{name} ({runs.elements(lots[name])})" if name in lots else name
        summary(title, errors, runs.rare)
    return runs.rare, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 200], help="values of N")
    parser.add_argument("--seeds", type=int, default=3, help="how many divisions")
    parser.add_argument("--work", type=Path, default=Path("active-learning"), help="folder of runs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    heading()
    for size in arguments.sizes:
        rare, found = zip(
            *(compare(seed, size, arguments.work) for seed in range(arguments.seeds)), strict=True
        )
        print(f"all seeds, N = {size}:")
        for name in found[0]:
            summary(name, np.concatenate([one[name] for one in found]), np.concatenate(rare))
        for statistic in ("mean", "median"):
            function = getattr(np, statistic)
            ratios = [function(one["chosen"]) / function(one["random"]) for one in found]
            print(f"  chosen / random, {statistic}: " + ", ".join(f"{x:.3f}" for x in ratios))


if __name__ == "__main__":
    main()
