"""Predicted against true errors of held-out molecules, and alarms about molecules unlike them.

A small network is trained in closed form on three quarters of the organic references in this
repository; no molecule of the test part (by SMILES) is in the other parts. On the test part

- the rank correlation, within each species, between the predicted error around each atom and the
  true one, the integral of Hirshfeld's share times |rho - rho_fitted|, shall be above 0.5;
- at 5 % false alarms (structures of the test part with an atom beyond the limit), at least 80 % of
  these structures, of which no references are needed, shall be found to be outside:

  stretched      one bond of each test molecule 40 % longer
  compressed     each test molecule, all lengths times 0.88
  H abstracted   each test molecule without one of its hydrogen atoms
  g2 radicals    open shells of ASE's g2 collection, atoms among them
  foreign        31 molecules of other chemistry: S(VI), S-S, S-Cl, N-O, N-N, O-O and C-halogen
                 bonds, cages, cumulenes; some are hydrocarbons that the model may well know

Alarms are counted over twenty random splits, by the limit that a model file would get from the
validation part, and by the one that gives 5 % on the test part. Needs RDKit and tblite
(``pip install 'ase-rholearn[sampling]'``) for the last family; some ten minutes of one core:

    python benchmarks/uncertainty.py

and of the shipped model with its own limit and test molecules

    python benchmarks/uncertainty.py --shipped
"""

import argparse
import collections
import json
from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.collections import g2
from organic_sets import RECIPE
from scipy.sparse.csgraph import connected_components
from scipy.stats import spearmanr

from ase_rholearn import Density, load_model
from ase_rholearn.bonds import close_pairs
from ase_rholearn.density import DensityUncertainty
from ase_rholearn.density.charges.stockholders import stockholder_blocks
from ase_rholearn.model.uncertainty.surroundings import Surroundings, farthest_points
from ase_rholearn.training.data import DataSet, groups_by, read_split, split_ids
from ase_rholearn.training.export import export_run
from ase_rholearn.training.learning.train import train
from ase_rholearn.training.learning.uncertainty.limit import conformal_limit
from ase_rholearn.training.options import TrainOptions
from ase_rholearn.training.sampling import Conformers, SamplingError, conformers, relax

DATA = RECIPE / "data"

FOREIGN = [
    "CS(C)(=O)=O",
    "OS(=O)(=O)O",
    "FS(F)(F)F",
    "CS(=O)(=O)Cl",
    "OCl(=O)(=O)=O",
    "CN=[N+]=[N-]",
    "C=[N+]=[N-]",
    "[C-]#[N+]C",
    "C[N+](C)(C)[O-]",
    "ClC(Cl)(Cl)Cl",
    "FC(F)(F)C(F)(F)F",
    "CSSC",
    "ClSSCl",
    "FN(F)F",
    "ClN(Cl)Cl",
    "CC=C=CC",
    "C12C3C4C1C5C2C3C45",
    "C1C2CC3CC1CC(C2)C3",
    "c1ccc2ccccc2c1",
    "C1=CSC=C1",
    "c1ccsc1",
    "COOC",
    "N(=O)N=O",
    "O=S=O",
    "CS(C)=O",
    "C#CC#CC#C",
    "FC(F)=C(F)F",
    "ClC#CCl",
    "C1CSSC1",
    "S=C=S",
    "N#CC(C#N)=C(C#N)C#N",
]

#: Of the network, Angstrom.
CUTOFF = 4.0

#: Fewer test atoms of a species than this give no rank correlation.
FEW = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, default=Path("uncertainty-work"))
    parser.add_argument("--seed", type=int, default=1, help="of split and gates")
    parser.add_argument("--splits", type=int, default=20, help="over which alarms are counted")
    parser.add_argument("--level", type=int, default=1, help="quality of the quadrature, 0 to 5")
    parser.add_argument("--shipped", action="store_true", help="alarms of organic-pbe alone")
    arguments = parser.parse_args()
    if arguments.shipped:
        alarms_of_shipped()
        return
    options = run_options(arguments.data, arguments.work / f"run-{arguments.seed}", arguments.seed)
    train(options, say=print)
    path = options.output / "model.pt"
    export_run(options, path)
    dataset, model = DataSet.open(arguments.data), load_model(path, "cpu")
    split = json.loads((options.output / "split.json").read_text())
    print({part: len(names) for part, names in split.items()}, "structures")
    references = [dataset.load(name) for name in split["test"]]
    compare_errors(model, references, arguments.level)
    count_alarms(dataset, arguments.splits)


def run_options(data, output, seed):
    return TrainOptions.model_validate(
        {
            "name": "organic",
            "dataset": data,
            "output": output,
            "split": {"validation": 0.12, "test": 0.16, "group": "smiles", "seed": seed},
            "model": {
                "cutoff": CUTOFF,
                "max_angular": 3,
                "max_radial": 4,
                "tensors": 24,
                "invariants": 24,
                "gates": 24,
                "linear": False,
            },
            "start": {"iterations": 100, "tolerance": 1e-4},
            "gradient": {"epochs": 0},
            "seed": seed,
        }
    )


def compare_errors(model, references, level):
    symbols, predicted, true, ratios, dipoles = [], [], [], [], []
    for reference in references:
        atoms = reference.atoms
        found = model.uncertainty([atoms])[0]
        fitted = Density(atoms, model.basis, reference.coefficients, normalize=False)
        rho = Density(atoms, model.basis, model.coefficients([atoms])[0], normalize=False)
        deviation = DensityUncertainty(rho, found.variances)
        errors, inside = true_errors(rho - fitted, fitted, deviation, level)
        symbols += list(atoms.symbols)
        predicted.append(found.errors)
        true.append(errors)
        ratios.append(inside)
        dipoles.append((rho.dipole() - fitted.dipole()) / deviation.dipole())
    symbols, predicted, true = np.array(symbols), np.concatenate(predicted), np.concatenate(true)
    print("\nerror of the density around each atom, electrons")
    print(f"{'':3} {'atoms':>6} {'true mean':>10} {'predicted':>10} {'rank correlation':>17}")
    for symbol, count in collections.Counter(symbols.tolist()).most_common():
        own = symbols == symbol
        rank = f"{spearmanr(predicted[own], true[own])[0]:17.2f}" if count >= FEW else ""
        print(f"{symbol:3} {count:6} {true[own].mean():10.4f} {predicted[own].mean():10.4f} {rank}")
    print(f"within one standard deviation of the density: {np.mean(ratios):.2f} (normal: 0.68)")
    spread = np.sqrt(np.mean(np.square(dipoles)))
    print(f"error of the dipole over its standard deviation, rms: {spread:.2f} (ideal: 1)")


def true_errors(difference, fitted, deviation, level):
    """Of each atom, and the share of the predicted error where the true one is below it."""
    errors, below, total = np.zeros(len(fitted.atoms)), 0.0, 0.0
    for block in stockholder_blocks(fitted, level):
        points = block.points * units.Bohr
        values = np.abs(difference.evaluate(points)) * units.Bohr**3
        expected = np.abs(block.weights) * deviation.evaluate(points) * units.Bohr**3
        inside = values < deviation.evaluate(points) * units.Bohr**3
        below, total = below + expected @ inside, total + expected.sum()
        for atom, _, _, near, share in block.shares.atoms:
            errors[atom] += (block.weights * values)[near] @ share
    return errors, below / total


def count_alarms(dataset, splits):
    """Detection at 5 % false alarms: mean and standard deviation over random splits.

    Distances depend on geometries alone, so that this needs no network and no references.
    """
    surroundings = Surroundings(dataset.basis.species)
    structures = {name: dataset.load(name).atoms for name in dataset.ids}
    described = {name: describe(surroundings, dataset, atoms) for name, atoms in structures.items()}
    others = list(foreign())
    groups = groups_by(dataset, "smiles")
    rows, sizes = [], {}
    for seed in range(splits):
        split = split_ids(dataset.ids, 0.12, 0.16, seed, groups=groups)
        parts = zip(*(described[name] for name in split["training"]), strict=True)
        species, numbers = (torch.cat(part) for part in parts)
        if len(species.unique()) < len(dataset.basis.species):
            print(f"split {seed} left out: its training part lacks a species")
            continue
        known = {int(k): farthest_points(numbers[species == k], 512) for k in species.unique()}
        test = [structures[name] for name in split["test"]]
        families = out_of_domain(test, dataset.basis.species, seed, others)
        own = largest([described[name] for name in split["test"]], known)
        judged = largest([described[name] for name in split["validation"]], known)
        found = {
            name: largest([describe(surroundings, dataset, atoms) for atoms in family], known)
            for name, family in families.items()
        }
        found = {"test part": own, **found, "all but test": np.concatenate(list(found.values()))}
        sizes = {name: len(values) for name, values in found.items()}
        limits = conformal_limit(judged.tolist(), 0.05), np.quantile(own, 0.95)
        rows.append([[100 * (v > limit).mean() for limit in limits] for v in found.values()])
    mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0)
    print(f"\nstructures with an atom beyond the limit, %, over {len(rows)} splits")
    print(f"{'':14} {'number':>6} {'limit of validation':>20} {'5 % of the test part':>21}")
    for (name, size), m, s in zip(sizes.items(), mean, spread, strict=True):
        print(f"{name:14} {size:6} {m[0]:13.1f} +- {s[0]:4.1f} {m[1]:13.1f} +- {s[1]:4.1f}")


def alarms_of_shipped():
    """Detection by organic-pbe, at its limit and at 5 % of its test molecules."""
    model, dataset = load_model("organic-pbe", "cpu"), DataSet.open(RECIPE / "densities")
    names = read_split(RECIPE / "split.json", dataset.ids)["test"]
    test = [dataset.load(name).atoms for name in names]
    families = out_of_domain(test, dataset.basis.species, 0, list(foreign()))
    found = {
        name: np.array([float(x.extrapolation.max()) for x in model.uncertainty(family)])
        for name, family in {"test part": test, **families}.items()
    }
    strict = np.quantile(found["test part"], 0.95)
    found["all but test"] = np.concatenate([found[name] for name in families])
    print("structures with an atom beyond the limit, %")
    print(f"{'':14} {'number':>6} {'its own limit':>14} {'5 % of the test part':>21}")
    for name, values in found.items():
        shares = [100 * float((values > limit).mean()) for limit in (1.0, strict)]
        print(f"{name:14} {len(values):6} {shares[0]:14.0f} {shares[1]:21.0f}")


def describe(surroundings, dataset, atoms):
    """Species indices and surroundings of the atoms of one structure."""
    vectors = atoms.get_all_distances(vector=True)
    near = (np.linalg.norm(vectors, axis=2) < CUTOFF) & ~np.eye(len(atoms), dtype=bool)
    first, second = np.nonzero(near)
    species = torch.tensor([dataset.basis.species.index(int(z)) for z in atoms.numbers])
    pairs = torch.from_numpy(first), torch.from_numpy(second)
    return species, surroundings(species, *pairs, torch.from_numpy(vectors[near]))[0]


def largest(described, known):
    """Largest distance of an atom of each structure to what is known."""
    return np.array(
        [
            max(float(torch.cdist(x[z == k], known[int(k)]).min(1)[0].max()) for k in z.unique())
            for z, x in described
        ]
    )


def out_of_domain(test, species, seed, others):
    random = np.random.default_rng(seed)
    radicals = [molecule(name) for name in g2.names]
    return {
        "stretched": [stretched(atoms, random) for atoms in test],
        "compressed": [Atoms(atoms.numbers, 0.88 * atoms.positions) for atoms in test],
        "H abstracted": [without_hydrogen(atoms, random) for atoms in test if 1 in atoms.numbers],
        "g2 radicals": [
            Atoms(atoms.numbers, atoms.positions)
            for atoms in radicals
            if set(atoms.numbers) <= set(species) and atoms.get_initial_magnetic_moments().any()
        ],
        "foreign": others,
    }


def stretched(atoms, random):
    """One bond that is in no ring, 40 % longer."""
    pairs = close_pairs(atoms, 1.3)
    bridges = []
    for i, j in zip(pairs.i, pairs.j, strict=True):
        kept = ((pairs.i != i) | (pairs.j != j)) & ((pairs.i != j) | (pairs.j != i))
        graph = np.zeros((len(atoms), len(atoms)))
        graph[pairs.i[kept], pairs.j[kept]] = 1
        count, labels = connected_components(graph)
        if count > 1:
            bridges.append((i, j, labels == labels[j]))
    i, j, side = bridges[random.integers(len(bridges))]
    positions = atoms.positions.copy()
    positions[side] += 0.4 * (atoms.positions[j] - atoms.positions[i])
    return Atoms(atoms.numbers, positions)


def without_hydrogen(atoms, random):
    gone = random.choice(np.flatnonzero(atoms.numbers == 1))
    kept = np.arange(len(atoms)) != gone
    return Atoms(atoms.numbers[kept], atoms.positions[kept])


def foreign():
    for smiles in FOREIGN:
        try:
            found = relax(conformers(smiles, Conformers(count=1))[0])
        except SamplingError as error:
            print(f"left out: {smiles} ({error})")
            continue
        yield Atoms(found.numbers, found.positions)


if __name__ == "__main__":
    main()
