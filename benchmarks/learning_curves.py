"""Learning curves of the presets beside a linear lambda-SOAP model, on the same structures.

For each number of training structures N, every model is trained on the first N of one random order
and judged on the same test structures; organic ones share no molecule with the others. The linear
model maps lambda-SOAP features (512 components of those of the 16 leading channels of each l) to
coefficients, in closed form and in the same metric. The ridge terms of all are the best of several
on the validation part. Runs are kept and gone on with. Run

    python benchmarks/learning_curves.py organic
    python benchmarks/learning_curves.py water
    python benchmarks/learning_curves.py monomers --folder FOLDER    # as for salted_water.py

some hours on one core, or with --sizes and --models a part of it. Draws WORK/curves.png.

The error of a structure is that of its density relative to its deformation density, both as norms
in the overlap metric. Its mean over the test structures is drawn; printed too are the median, which
a few structures unlike all others do not move, and the quotient of the root mean squares, in which
those count most.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from salted_water import COPIES, DATA, Monomers

from ase_rholearn.model import DensityNetwork
from ase_rholearn.references import Reference
from ase_rholearn.training import DataSet, split_ids
from ase_rholearn.training.data import read_split, write_split
from ase_rholearn.training.learning.module import loss_of_free_atoms, mean_loss
from ase_rholearn.training.learning.prepare import prepare
from ase_rholearn.training.learning.samples import Sample
from ase_rholearn.training.learning.train import load_network, train
from ase_rholearn.training.options import TrainOptions
from ase_rholearn.training.options.train import PRESETS

MODELS = Path(__file__).parents[1] / "models"


@dataclass(frozen=True, kw_only=True)
class Set:
    """A data set, how it is divided, epochs of gradient training, and cutoffs in Angstrom.

    ``split`` is the fraction to test by, or a file that divides it, ``memory`` that for metrics in
    GB. Beyond ``scaling_radius`` neighbours count less, in all models.
    """

    folder: Path
    sizes: tuple[int, ...]
    cutoff: float
    split: float | Path
    epochs: int
    ridges: tuple[float, ...] = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
    memory: float = 8.0
    scaling_radius: float | None = PRESETS["medium"]["scaling_radius"]


MONOMERS = "monomers"

SETS = {
    "organic": Set(
        folder=MODELS / "organic-pbe" / "densities",
        sizes=(160, 320, 640, 1294),
        cutoff=4.0,
        split=MODELS / "organic-pbe" / "split.json",
        epochs=160,
        ridges=(1e-7, 1e-6, 1e-5),
        memory=13.0,
    ),
    "water": Set(
        folder=MODELS / "water-pbe" / "densities",
        sizes=(60, 240),
        cutoff=4.5,
        split=0.15,
        epochs=200,
        scaling_radius=None,  # hydrogen bonds are longer than that of the presets
    ),
    MONOMERS: Set(
        folder=Path("data"),
        sizes=(50, 100, 200, 400),
        cutoff=3.0,
        split=0.2,
        epochs=100,
        ridges=(1e-13, 1e-11, 1e-9, 1e-7, 1e-5),
    ),
}

LINEAR = "linear"

#: Channels of each l in its features: seven species with six radial functions would make 10,000
#: features of each lambda.
CHANNELS = 16


def make_monomers(folder: Path, path: Path) -> Path:
    """A data set of the distorted water monomers, without the turned copies of one of them.

    Their densities are stored less the mean coefficients of l = 0 of each species, so that
    errors are those that SALTED reports.
    """
    if path.exists():
        return path
    data = Monomers(folder, without_copies=True)
    settings = {"code": "PySCF", "xc": "B3LYP", "auxiliary_basis": "cc-pvqz-jkfit"}
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    dataset = DataSet.create(part, data.basis, settings)
    for index in range(COPIES, COPIES + 600):
        coefficients = data.coefficients[index] - data.averages
        reference = Reference(data.atoms(index), coefficients, dataset.settings, converged=True)
        dataset.add(reference)
    return part.rename(path)


def parts(dataset: DataSet, chosen: Set) -> dict[str, list[str]]:
    """Ids of the training part, in random order, of the validation and of the test part."""
    if isinstance(chosen.split, Path):
        split = read_split(chosen.split, dataset.ids)
    else:
        split = split_ids(dataset.ids, 0.1, chosen.split, seed=0)
    order = np.random.default_rng(0).permutation(len(split["training"]))
    return {**split, "training": [split["training"][i] for i in order]}


def sections(name: str, chosen: Set) -> dict[str, Any]:
    """Options of a model."""
    start = {"ridge": list(chosen.ridges), "iterations": 60}
    made = {"loss": {"memory": chosen.memory}, "start": start}
    surroundings = {"cutoff": chosen.cutoff, "scaling_radius": chosen.scaling_radius}
    if name != LINEAR:
        network = {"preset": name, **surroundings}
        return {**made, "model": network, "gradient": {"epochs": chosen.epochs}}
    exponent = PRESETS["medium"]["scaling_exponent"]
    linear = {"tensors": 0, "channels": CHANNELS, "scaling_exponent": exponent}
    return {
        **made,
        "model": {**linear, **surroundings},
        "start": {**start, "components": 512},
        "gradient": {"epochs": 0},
    }


@dataclass(frozen=True)
class Errors:
    """Over the test structures, in percent of the deformation density."""

    mean: float
    median: float
    root_mean_square: float


def run(name: str, size: int, chosen: Set, split: dict[str, list[str]], work: Path) -> Errors:
    """Errors of a model trained on ``size`` structures."""
    file = work / f"split-{size}.json"
    write_split(file, {**split, "training": split["training"][:size]})
    options = TrainOptions.model_validate(
        {
            "name": name,
            "dataset": chosen.folder,
            "output": work / f"{name}-{size}",
            "split": {"file": file},
            **sections(name, chosen),
        }
    )
    train(options, say=lambda text: print(f"  {text}", flush=True))
    return judged(options, split["test"])


def judged(options: TrainOptions, names: Sequence[str]) -> Errors:
    """Errors of a run; kept beside it."""
    kept = options.output / f"errors-{len(names)}-{names[0][:8]}.json"
    if not kept.exists():
        dataset = DataSet.open(options.dataset)
        network = load_network(options, dataset.basis)
        pairs = losses(network, prepare(dataset, names, network, options.loss))
        kept.write_text(json.dumps(pairs))
    found, scales = np.array(json.loads(kept.read_text())).T
    each = 100 * np.sqrt(found / scales)
    root = 100 * float(np.sqrt(found.mean() / scales.mean()))
    return Errors(float(each.mean()), float(np.median(each)), root)


def losses(network: DensityNetwork, samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Of each structure: the loss of the network, and that of its deformation density."""
    return [(mean_loss(network, [one]), loss_of_free_atoms([one])) for one in samples]


def draw(path: Path, curves: dict[str, dict[int, float]], title: str) -> None:
    """Error against N, logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
    for marker, (name, curve) in zip("os^Dv", curves.items(), strict=False):
        axes.loglog(list(curve), list(curve.values()), marker=marker, label=name)
    axes.set(
        xlabel="training structures", ylabel="error / % of the deformation density", title=title
    )
    ticks = sorted({size for curve in curves.values() for size in curve})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(loc="lower left")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("--sizes", type=int, nargs="+", help="values of N")
    parser.add_argument("--models", nargs="+", default=[LINEAR, "small", "medium", "large"])
    parser.add_argument("--epochs", type=int, help="of gradient training, instead of the set's")
    parser.add_argument("--work", type=Path, help="folder of the runs")
    parser.add_argument("--folder", type=Path, default=DATA, help="of the water monomers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = SETS[arguments.set]
    if arguments.epochs is not None:
        chosen = dataclasses.replace(chosen, epochs=arguments.epochs)
    work = arguments.work or Path("learning-curves") / arguments.set
    work.mkdir(parents=True, exist_ok=True)
    if arguments.set == MONOMERS:
        chosen = dataclasses.replace(chosen, folder=make_monomers(arguments.folder, work / "data"))
    dataset = DataSet.open(chosen.folder)
    split = parts(dataset, chosen)
    sizes = arguments.sizes or chosen.sizes
    print({part: len(names) for part, names in split.items()})
    curves: dict[str, dict[int, float]] = {name: {} for name in arguments.models}
    for size in sizes:
        for name in arguments.models:
            errors = run(name, size, chosen, split, work)
            curves[name][size] = errors.mean
            ratio = ""
            if LINEAR in curves and name != LINEAR:
                ratio = f", {errors.mean / curves[LINEAR][size]:.2f} of linear"
            text = f"test error {errors.mean:.3f} %{ratio}"
            print(
                f"N = {size:4} {name:7} {text}; median {errors.median:.3f} %, rms "
                f"{errors.root_mean_square:.3f} %",
                flush=True,
            )
    draw(work / "curves.png", curves, f"{arguments.set}, {len(split['test'])} test structures")
    (work / "curves.json").write_text(json.dumps(curves, indent=1))


if __name__ == "__main__":
    main()
