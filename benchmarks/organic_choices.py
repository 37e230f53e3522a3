"""Choices behind ``organic-pbe``, each beside its alternatives on the same structures.

    python benchmarks/organic_choices.py gradients    # parts, epochs, averages of weights, means
    python benchmarks/organic_choices.py features     # neighbour densities
    python benchmarks/organic_choices.py basis        # fewer functions

Models are trained on N structures of the pool of ``active_learning.py``, by gradients (the first
part) or in closed form, and judged by the structures that are set aside there. The error of a
structure is that of its density relative to its deformation density, both as norms in the overlap
metric. Runs are kept, and gone on with; each takes some minutes of one core.

Densities in other bases are projections of those of the data set, whose own fits have an NMAE of
0.15 %. Errors against them say how hard a basis is to learn; floors (NMAE of a fit of the orbitals
against the SCF density) what it cannot describe at all. These are means over the first test
molecules, whose orbitals the data set has.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from active_learning import CLOSED_FORM, Comparison, exported, heading, summary
from learning_curves import LINEAR, SETS, sections
from organic_sets import RECIPE

from ase_rholearn import load_model
from ase_rholearn.basis import Basis
from ase_rholearn.references.pyscf import project, refit
from ase_rholearn.training import DataSet
from ase_rholearn.training.data import read_split
from ase_rholearn.training.evaluation import Settings, judge
from ase_rholearn.training.learning.samples import predictions
from ase_rholearn.training.learning.train import load_network
from ase_rholearn.training.options import GenerateOptions, TrainOptions, load_options
from ase_rholearn.training.options.references import BasisOptions

#: Runs by gradients, what is not that of ``medium``; most without its products, which came last.
RUNS: dict[str, dict[str, Any]] = {
    "without messages": {"model": {**CLOSED_FORM}},
    "without messages, average 0.98": {
        "model": {**CLOSED_FORM},
        "gradient": {"average": 0.98},
    },
    "without products": {"model": {"products": 0}},
    "medium": {},
    "scaling radius 3, exponent 4": {
        "model": {"products": 0, "scaling_radius": 3.0, "scaling_exponent": 4.0}
    },
    "32 messages": {"model": {"products": 0, "messages": 32}},
    "l <= 6": {"model": {"products": 0, "max_angular": 6}},
    "90 epochs": {"model": {"products": 0}, "gradient": {"epochs": 90}},
    "90 epochs, 16 messages": {
        "model": {"products": 0, "messages": 16},
        "gradient": {"epochs": 90},
    },
}

#: Seeds of the models whose mean is judged.
SEEDS = (0, 1, 2)

#: Neighbour densities of ``medium``, what is not the default.
FEATURES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "width 0.2": {"width": 0.2},
    "width 0.45": {"width": 0.45},
    "4 radial functions": {"max_radial": 4},
    "l <= 6": {"max_angular": 6},
    "cutoff 3.5": {"cutoff": 3.5},
}

HEAVY = ("C", "N", "O", "F", "S", "Cl")

#: Even-tempered bases: ratio of exponents, highest l where it is limited.
BASES: dict[str, dict[str, Any]] = {
    "beta 1.8": {"beta": 1.8},
    "beta 2.0": {"beta": 2.0},
    "beta 2.3": {"beta": 2.3},
    "beta 1.8, no g": {"beta": 1.8, "l_max": {"H": 2, **dict.fromkeys(HEAVY, 3)}},
    "def2-universal-jfit": {"name": "def2-universal-jfit"},
}


def gradients(arguments: argparse.Namespace) -> None:
    """Runs that differ in their average, in their parts or in their seed, and the mean of some."""
    runs = Comparison(0, arguments.work / "gradients")
    names = runs.pool[: arguments.size]

    linear = dataclasses.replace(SETS["organic"], ridges=(1e-7, 1e-5))
    fit = runs.train(LINEAR, names, **sections(LINEAR, linear))
    summary(LINEAR, runs.errors(fit), runs.rare)

    def run(label: str, seed: int = 0) -> TrainOptions:
        other = RUNS[label]
        model = {"preset": "medium", **other.get("model", {})}
        steps = {"epochs": arguments.epochs, "batch_size": 12, "finish": False}
        gradient = {**steps, **other.get("gradient", {})}
        return runs.train(f"{label}-{seed}", names, model=model, gradient=gradient, seed=seed)

    for label in RUNS:
        summary(label, runs.errors(run(label)), runs.rare)
    members = [run("without messages", seed) for seed in SEEDS]
    for seed, member in zip(SEEDS[1:], members[1:], strict=True):
        summary(f"without messages, seed {seed}", runs.errors(member), runs.rare)
    summary(f"mean of these {len(members)}", errors_of_mean(runs, members), runs.rare)


def errors_of_mean(runs: Comparison, members: list[TrainOptions]) -> np.ndarray:
    """Of the mean of the predictions of several runs, percent."""
    networks = [load_network(member, runs.dataset.basis) for member in members]
    found = []
    with torch.no_grad():
        for sample in runs.prepared(members[0], networks[0]):
            each = [next(predictions(network, [sample])) for network in networks]
            error = torch.stack(each).mean(dim=0).to(sample.target.dtype) - sample.target
            squares = [float(x @ sample.apply_metric(x)) for x in (error, sample.target)]
            found.append(100 * np.sqrt(squares[0] / squares[1]))
    return np.array(found)


def features(arguments: argparse.Namespace) -> None:
    """The same network on other neighbour densities, in closed form."""
    runs = Comparison(0, arguments.work / "features")
    for label, options in FEATURES.items():
        model = {"preset": "medium", **CLOSED_FORM, **options}
        run = runs.train(label, runs.pool[: arguments.size], model=model)
        summary(label, runs.errors(run), runs.rare)
        runs.samples.clear()


def basis(arguments: argparse.Namespace) -> None:
    """The same structures in several bases: size, error, floor."""
    level = load_options(GenerateOptions, RECIPE / "recipe" / "generate.yaml").kohn_sham
    names = Comparison(0, arguments.work).pool[: arguments.size]
    for label, choice in BASES.items():
        runs = Comparison(0, arguments.work / f"basis {label}")
        target = BasisOptions(**choice).build(["H", *HEAVY], level)
        made = projected(runs, target, names)
        options = runs.train("medium", made)
        floor = floor_of(options, target, arguments.molecules)
        size = exported(options).stat().st_size / 1e6
        per = {z: target.size([z]) for z in (1, 6)}
        summary(f"{label}: floor {floor:.3f} %", runs.errors(options), runs.rare)
        print(f"    {per[1]} functions on H, {per[6]} on C; file of {size:.1f} MB", flush=True)


def projected(runs: Comparison, target: Basis, names: list[str]) -> list[str]:
    """Puts the references that a comparison needs into another basis; new ids of ``names``."""
    source = runs.dataset
    wanted = [*names, *runs.judged, *runs.split["validation"]]
    first = project(source.load(wanted[0]), source.basis, target)
    dataset = DataSet.create(runs.work / "data", target, first.settings)
    for name in wanted:
        if dataset.id_of(source.load(name).atoms) not in dataset:
            dataset.add(project(source.load(name), source.basis, target))
    ids = {name: dataset.id_of(source.load(name).atoms) for name in wanted}
    runs.dataset = dataset
    runs.judged = [ids[name] for name in runs.judged]
    runs.split = {"validation": [ids[name] for name in runs.split["validation"]]}
    return [ids[name] for name in names]


def floor_of(options: TrainOptions, target: Basis, count: int) -> float:
    """Mean NMAE of fits of the first test molecules, percent."""
    source = DataSet.open(RECIPE / "densities")
    names = read_split(RECIPE / "split.json", source.ids)["test"][:count]
    model, found = load_model(exported(options)), []
    for name in names:
        figures = judge(model, refit(source.load(name), target), Settings(1, one_shot=False))
        found.append(figures["nmae_floor_percent"])
    return float(np.mean(found))


PARTS = {"gradients": gradients, "features": features, "basis": basis}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    parser.add_argument("--size", type=int, default=200, help="training structures")
    parser.add_argument("--epochs", type=int, default=30, help="of gradients")
    parser.add_argument("--molecules", type=int, default=10, help="for floors")
    parser.add_argument("--work", type=Path, default=Path("organic-choices"), help="folder of runs")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"PART is {sorted(unknown)}: give any of {', '.join(PARTS)}")
    torch.set_num_threads(1)
    heading()
    for part in arguments.parts:
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
