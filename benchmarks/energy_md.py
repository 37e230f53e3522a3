"""Energies of a model: accuracy on molecules that it has not seen, and dynamics on them.

Trains energies and forces in closed form on 250 organic molecules (PBE/def2-TZVP, one geometry
each, up to 700 K), judges them on others, exports a double-precision model, and runs the same
dynamics at constant energy through RhoCalculator and through metatomic's own calculator. Run

    python benchmarks/energy_md.py            # molecules: some minutes
    python benchmarks/energy_md.py --water 60 # water, references made on the spot
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.io import read
from ase.md.verlet import VelocityVerlet
from metatomic_ase import MetatomicCalculator
from tqdm import tqdm

from ase_rholearn import Basis, RhoCalculator
from ase_rholearn.model import ModelCard, build_network, export_model, load_model
from ase_rholearn.references.pyscf import KohnSham, reference
from ase_rholearn.references.reference import Reference
from ase_rholearn.torchscript import quiet_torchscript
from ase_rholearn.training import DataSet
from ase_rholearn.training.evaluation import evaluate_energies
from ase_rholearn.training.learning.energies.repulsion import make_contacts
from ase_rholearn.training.learning.energies.samples import prepare_energies
from ase_rholearn.training.learning.energies.stage import (
    composition_errors,
    energy_errors,
    new_energy,
    refine_energy,
)
from ase_rholearn.training.options import ModelOptions
from ase_rholearn.training.options.energy import EnergyTrainingOptions

MODELS = Path(__file__).parents[1] / "models"

#: Structures of the training and the validation part; the others are the test part.
TRAINING, VALIDATION = 250, 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--water", type=int, default=0, help="structures of water")
    parser.add_argument("--work", type=Path, default=MODELS / "water-pbe" / "work" / "energies")
    parser.add_argument("--epochs", type=int, default=0, help="of gradient training")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--bare", action="store_true", help="without repulsion and contacts")
    parser.add_argument("--save", type=Path, help="where to keep the model")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    options = EnergyTrainingOptions(epochs=arguments.epochs)
    if arguments.bare:
        options = options.model_copy(update={"repulsion": False, "contacts": 0})
    if arguments.water:
        references, basis = water(arguments.water, arguments.work)
        parts = split(references, int(0.7 * len(references)), len(references) // 10, arguments.seed)
        model_options = ModelOptions(cutoff=5.0)
    else:
        data = DataSet.open(MODELS / "organic-pbe" / "data")
        references, basis = [data.load(name) for name in data.ids], data.basis
        parts = split(references, TRAINING, VALIDATION, arguments.seed)
        model_options = ModelOptions()
    with tempfile.TemporaryDirectory() as folder:
        path = train(parts, basis, model_options, options, Path(folder))
        print(f"test part: {evaluate_energies(load_model(path, 'cpu'), parts[2])}")
        run_dynamics(parts[2], path, arguments.steps)
        run_others(parts[2] + parts[1], path, arguments.steps)
        if arguments.save:
            shutil.copy(path, arguments.save)


def split(
    references: Sequence[Reference], training: int, validation: int, seed: int
) -> list[list[Reference]]:
    """Parts by molecule, so that no molecule is in two of them."""
    names = [r.atoms.info.get("smiles", str(i)) for i, r in enumerate(references)]
    order = sorted(set(names))
    np.random.default_rng(seed).shuffle(order)
    bounds = (order[:training], order[training : training + validation])
    rest = order[training + validation :]
    return [
        [r for r, name in zip(references, names, strict=True) if name in set(part)]
        for part in (*bounds, rest)
    ]


def train(
    parts: Sequence[Sequence[Reference]],
    basis: Basis,
    model_options: ModelOptions,
    options: EnergyTrainingOptions,
    folder: Path,
) -> Path:
    """Energies in closed form, exported; the density is left untrained, which energies ignore."""
    network = build_network(model_options.network(), basis)
    begin = time.process_time()
    samples = [prepare_energies(part, network.expansion, basis) for part in parts]
    contacts = prepare_energies(
        make_contacts(parts[0].__getitem__, range(len(parts[0])), options.contacts),
        network.expansion,
        basis,
        options.contact_weight,
    )
    prepared = time.process_time()
    head, ridge = new_energy(network, samples[0], samples[1], options, basis, contacts=contacts)
    solved = time.process_time()
    print(f"{len(samples[0])} training, {len(samples[2])} test structures; ridge term {ridge}")
    print(f"CPU time: samples {prepared - begin:.0f} s, closed form {solved - prepared:.0f} s")
    nothing = composition_errors(samples[0], samples[2], len(basis.species))
    print(f"composition alone, no forces: {nothing}")
    print(f"closed form:                  {energy_errors(head, samples[2])}")
    if options.epochs:
        refine_energy(head, samples[0], samples[1], options, folder, 0, contacts=contacts)
        print(f"gradient training:            {energy_errors(head, samples[2])}")
    path = folder / "model.pt"
    export_model(network, basis, ModelCard("benchmark"), path, dtype="float64", energy=head)
    return path


def run_dynamics(references: Sequence[Reference], path: Path, steps: int) -> None:
    """The first test structure of at least six atoms, 0.5 fs, velocities of 300 K."""
    atoms = next(r.atoms for r in references if len(r.atoms) >= 6)
    with quiet_torchscript():
        theirs = MetatomicCalculator(
            path, device="cpu", neighbor_skin=0.0, do_gradients_with_energy=False
        )
    runs = []
    for calculator in (RhoCalculator(path, device="cpu"), theirs):
        begin = time.process_time()
        positions, energies = nve(atoms, calculator, steps)
        runs.append((positions, energies, time.process_time() - begin))
        drift = np.polyfit(np.arange(len(energies)) * 0.5e-3, energies / len(atoms), 1)[0]
        name = type(calculator).__name__
        print(
            f"{name}: {len(energies) - 1} steps of {atoms.get_chemical_formula()}, drift "
            f"{1e3 * drift:+.4f} meV/atom/ps, fluctuation {1e3 * energies.std():.3f} meV, "
            f"{1e3 * runs[-1][2] / steps:.1f} ms CPU a step"
        )
    length = min(len(run[0]) for run in runs)
    first, second = (run[0][:length] for run in runs)
    for end in (100, length - 1):
        apart = np.abs(first[: end + 1] - second[: end + 1]).max()
        print(f"positions of both over {end} steps: {apart:.1e} Angstrom apart at most")
    print(f"farthest that an atom moved: {np.abs(first - first[0]).max():.2f} Angstrom")


def run_others(references: Sequence[Reference], path: Path, steps: int, count: int = 8) -> None:
    """Some more structures: how long, how well energy is conserved, how near molecules come."""
    chosen = [r.atoms for r in references if len(r.atoms) >= 6][1 : count + 1]
    for atoms in chosen:
        positions, energies = nve(atoms, RhoCalculator(path, device="cpu"), steps)
        heavy = positions[:, atoms.numbers > 1]
        distances = np.linalg.norm(heavy[:, :, None] - heavy[:, None], axis=-1)
        distances[distances == 0] = np.inf
        print(
            f"{atoms.get_chemical_formula()}: {len(energies) - 1} steps, fluctuation "
            f"{1e3 * energies.std():.2f} meV, heavy atoms {distances.min():.2f} Angstrom apart "
            f"at least ({distances[0].min():.2f} at the start)"
        )


def nve(start: Atoms, calculator: Calculator, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (steps + 1, natoms, 3) and total energies (steps + 1,)."""
    atoms = start.copy()
    scale = np.sqrt(atoms.get_masses() * units.kB * 300)[:, None]
    atoms.set_momenta(scale * np.random.default_rng(0).normal(size=(len(atoms), 3)))
    atoms.calc = calculator
    dynamics = VelocityVerlet(atoms, 0.5 * units.fs)
    positions, energies = [], []
    try:
        for _ in dynamics.irun(steps):
            positions.append(atoms.positions.copy())
            energies.append(atoms.get_total_energy())
    except ValueError as error:  # atoms fell into each other: too few training structures
        print(f"the dynamics broke after {len(energies)} steps: {error}")
        positions = positions[: len(energies)]
    return np.array(positions), np.array(energies)


def water(count: int, folder: Path) -> tuple[list[Reference], Basis]:
    """Molecules and pairs of the water model's clusters at PBE/def2-SVP; what is done is kept."""
    clusters = read(MODELS / "water-pbe" / "water-clusters.xyz", ":")
    structures = [atoms for atoms in clusters if len(atoms) <= 6][:count]
    basis = Basis.from_shells({"H": [(0, [1.0])], "O": [(0, [1.0])]})  # densities do not matter
    level = KohnSham("PBE", "def2-svp", grid_level=2)
    folder.mkdir(parents=True, exist_ok=True)
    references = []
    for atoms in tqdm(structures, disable=None):
        path = folder / f"{len(references):04d}.npz"
        if not path.exists():
            reference(atoms, basis, level).save(path)
        references.append(Reference.load(path))
    return references, basis


if __name__ == "__main__":
    main()
