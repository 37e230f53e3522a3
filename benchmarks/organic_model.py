"""What ``organic-pbe`` is worth on molecules that it was not trained on.

Parts:

    python benchmarks/organic_model.py test        # densities and dipoles of the held-out molecules
    python benchmarks/organic_model.py cycles      # SCF cycles saved, and by an exact fit
    python benchmarks/organic_model.py energies    # one-shot energies and forces
    python benchmarks/organic_model.py transfer    # other kinds of molecules, see organic_sets.py
    python benchmarks/organic_model.py time        # a prediction beside matrix products

The references of the test molecules and of the other kinds are in ``models/organic-pbe``; PySCF
makes those that are missing, at the level of theory of the model. Everything else is kept in the
recipe's work folder: a second run goes on from there. ``--first`` takes fewer structures of each
set, in the order of the test set. CPU times are those of one thread.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from harris_forces import LEVEL, THRESHOLDS, cycles_of, kept, self_consistent
from organic_sets import RECIPE, SETS, drugs
from tqdm import tqdm

from ase_rholearn import RhoCalculator, load_model
from ase_rholearn.references.pyscf import PySCF
from ase_rholearn.scf import one_shot
from ase_rholearn.training.data import DataSet, read_split
from ase_rholearn.training.evaluation import Job, Reporting, Settings, evaluate_models
from ase_rholearn.training.generation import Workers, generate
from ase_rholearn.training.options import GenerateOptions, load_options

MODEL = "organic-pbe"
WORK = RECIPE / "work"
TRANSFER = RECIPE / "transfer"


def test_set(first: int | None) -> tuple[DataSet, list[str]]:
    """The data set, and ids of its held-out molecules."""
    dataset = DataSet.open(RECIPE / "densities")
    return dataset, read_split(RECIPE / "split.json", dataset.ids)["test"][:first]


def judged(
    dataset: DataSet, names: list[str], folder: Path, processes: int
) -> list[dict[str, Any]]:
    """Figures of structures of a data set."""
    job = Job(MODEL, dataset.folder, Settings(2), device="cpu")
    with tqdm(total=len(names), unit="structure") as bar:
        [result] = evaluate_models(
            [job],
            names,
            folder,
            Reporting(page=False),
            workers=Workers(count=processes) if processes > 1 else None,
            on_progress=lambda progress: bar.update(progress.done - bar.n),
        )
    found: list[dict[str, Any]] = result["structures"]
    return found


#: Figures of an evaluation, and titles of their columns; energies are per atom.
COLUMNS = {
    "nmae_scf_percent": "(a) %",
    "nmae_fit_percent": "(b) %",
    "nmae_floor_percent": "(c) %",
    "nmae_one_shot_percent": "(d) %",
    "nmae_screened_percent": "(e) %",
    "dipole_error_debye": "dip. D",
    "dipole_error_screened_debye": "(e) D",
    "energy_error_one_shot_mev_per_atom": "(d) meV",
    "energy_error_screened_mev_per_atom": "(e) meV",
}

HEAD = " ".join([" " * 29, *(f"{title:>8}" for title in [*COLUMNS.values(), "worst"])])


def summary(title: str, found: list[dict[str, Any]]) -> None:
    """One line: means, and the worst of (a)."""
    means = [np.mean([one[name] for one in found if name in one] or [np.nan]) for name in COLUMNS]
    worst = max(one["nmae_scf_percent"] for one in found)
    figures = " ".join(f"{x:8.3f}" for x in [*means, worst])
    print(f"{title:24} {len(found):4} {figures}", flush=True)


def test(arguments: argparse.Namespace) -> None:
    """Figures of the test set: all, by element, by size."""
    dataset, names = test_set(arguments.first)
    found = judged(dataset, names, WORK / "evaluation-test", arguments.processes)
    print(HEAD)
    summary("all", found)
    by_element, by_size = defaultdict(list), defaultdict(list)
    for one in found:
        atoms = dataset.load(one["id"]).atoms
        for symbol in set(atoms.symbols):
            by_element[symbol].append(one)
        heavy = int((atoms.numbers > 1).sum())
        by_size[f"{heavy} heavy atoms"].append(one)
    for symbol, some in sorted(by_element.items()):
        summary(f"with {symbol}", some)
    for size, some in sorted(by_size.items()):
        summary(size, some)


def transfer_set(name: str, first: int | None) -> tuple[DataSet, list[Atoms]]:
    """The data set of the other sets, with all references of this one, and its structures."""
    making = load_options(GenerateOptions, RECIPE / "recipe" / "generate.yaml")
    code = PySCF(load_model(MODEL).basis, making.kohn_sham.settings())
    structures = SETS[name]()[:first]
    dataset = DataSet.create(TRANSFER, code.basis, code.settings())
    with tqdm(total=len(structures), desc=name, unit="structure") as bar:
        generate(
            structures,
            dataset,
            code,
            making.workers.workers(),
            on_progress=lambda progress: bar.update(progress.done + progress.failed - bar.n),
        )
    return dataset, structures


def transfer(arguments: argparse.Namespace) -> None:
    """Figures of the other sets."""
    for name in arguments.sets:
        dataset, structures = transfer_set(name, arguments.first)
        names = [n for n in map(dataset.id_of, structures) if n in dataset]
        found = judged(dataset, names, WORK / "transfer" / name, arguments.processes)
        print(HEAD)
        summary(name, found)
        if arguments.each:
            by_id = {dataset.id_of(atoms): atoms.info["name"] for atoms in structures}
            for one in found:
                summary(f"  {by_id[one['id']]}", [one])


def cycles(arguments: argparse.Namespace) -> None:
    """Cycles from PySCF's start, from the model and from a fit of the converged density."""
    model = RhoCalculator(MODEL, device="cpu")
    rows, refused = [], 0
    for atoms in held_out(arguments.first, arguments.skip):
        found = cycles_of(atoms, model, WORK)
        rows.append(found["cycles"])
        refused += found["refused"]
        print(f"{atoms.get_chemical_formula():16} {found}", flush=True)
    table = np.array(rows)
    for k, tolerance in enumerate(THRESHOLDS):
        usual, mine, fit = table[:, k].mean(axis=0)
        slower = int((table[:, k, 1] + 1 > table[:, k, 0]).sum())
        print(
            f"to {tolerance:g}: {usual:.1f} cycles from minao, {mine:.1f} from the model, "
            f"{fit:.1f} from the fit; with one more for the start the model saves "
            f"{100 * (usual - mine - 1) / (usual - fit - 1):.0f} % of what the fit saves; "
            f"more than minao for {slower} of {len(table)}"
        )
    print(f"the start of the model was dropped for minao for {refused} of {len(table)}")


def energies(arguments: argparse.Namespace) -> None:
    """One-shot energies, as they are and screened, and forces, of distorted geometries."""
    model = RhoCalculator(MODEL, device="cpu", dtype="float64")

    def run(atoms: Atoms) -> dict[str, Any]:
        mine = atoms.copy()
        mine.calc = RhoCalculator(MODEL, device="cpu", energy="harris")
        found = one_shot(atoms, model.get_density(atoms), LEVEL.xc, LEVEL.orbital_basis)
        return {
            "energy": mine.get_potential_energy(),
            "screened": found.screened().energy,
            "forces": mine.get_forces().tolist(),
        }

    rows, errors = [], []
    for atoms in held_out(arguments.first, arguments.skip):
        usual = kept("scf", atoms, lambda a=atoms: self_consistent(a), WORK)
        mine = kept("harris", atoms, lambda a=atoms: run(a), WORK)
        shifts = [1e3 * (mine[k] - usual["energy"]) / len(atoms) for k in ("energy", "screened")]
        rows.append(shifts)
        errors.append(1e3 * np.abs(np.array(mine["forces"]) - usual["forces"]).ravel())
        print(
            f"{atoms.get_chemical_formula():16} {shifts[0]:8.2f} {shifts[1]:8.2f} meV/atom "
            f"{errors[-1].mean():8.1f} meV/A",
            flush=True,
        )
    table = np.abs(rows)
    print(
        f"{len(rows)} molecules: one-shot energy {table[:, 0].mean():.2f} meV/atom on average, "
        f"{table[:, 0].max():.2f} at worst; screened {table[:, 1].mean():.2f} and "
        f"{table[:, 1].max():.2f}; forces {np.concatenate(errors).mean():.1f} meV/A"
    )


def held_out(first: int | None, skip: int = 0) -> list[Atoms]:
    """Molecules of the test set."""
    dataset, names = test_set(first)
    found = [dataset.load(name).atoms for name in names[skip:]]
    return [Atoms(a.symbols, a.positions) for a in found]


def times(arguments: argparse.Namespace) -> None:
    """A molecule of 21 atoms beside twenty products of 1000 x 1000 matrices, float64."""
    import torch

    torch.set_num_threads(1)
    calculator = RhoCalculator(MODEL, device="cpu")
    atoms = next(a for a in drugs() if len(a) == 21)
    left, right = np.random.default_rng(0).normal(size=(2, 1000, 1000))
    for _ in range(5):
        atoms.rattle(1e-4, rng=np.random.default_rng(0))
        calculator.get_density(atoms)
    ratios = []
    for seed in range(10):
        start = time.process_time()
        for _ in range(20):
            left @ right
        middle = time.process_time()
        atoms.rattle(1e-4, rng=np.random.default_rng(seed))
        calculator.get_density(atoms)
        ratios.append((time.process_time() - middle) / (middle - start))
    print(f"{atoms.get_chemical_formula()}: {np.median(ratios):.2f} of the time of twenty products")


PARTS = {"test": test, "cycles": cycles, "energies": energies, "transfer": transfer, "time": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    parser.add_argument("--first", type=int, help="structures of each set; left out: all")
    parser.add_argument(
        "--skip", type=int, default=0, help="molecules to begin after: cycles, energies"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="of transfer")
    parser.add_argument("--processes", type=int, default=1, help="structures judged at once")
    parser.add_argument("--each", action="store_true", help="print every structure of transfer")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"PART is {sorted(unknown)}: give any of {', '.join(PARTS)}")
    if arguments.first is not None and arguments.skip >= arguments.first:
        parser.error(f"--skip {arguments.skip} leaves nothing of --first {arguments.first}")
    for part in arguments.parts:
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
