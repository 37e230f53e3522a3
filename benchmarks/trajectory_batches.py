"""How many structures to predict together.

One thread, one process: the batch sizes take turns, and the least CPU time of each counts, as
a ratio to structures one at a time. Run

    python benchmarks/trajectory_batches.py
"""

import argparse
import time
from pathlib import Path

import torch
from ase import Atoms
from ase.build import molecule
from ase.io import read

from ase_rholearn import load_model
from ase_rholearn.model import DensityModel
from ase_rholearn.references import Reference
from ase_rholearn.trajectory import densities

EXAMPLES = Path(__file__).parents[1] / "examples"
SIZES = (1, 16, 64, 256)


def rattled(atoms: Atoms, count: int) -> list[Atoms]:
    frames = [atoms.copy() for _ in range(count)]
    for seed, frame in enumerate(frames):
        frame.rattle(0.02, seed=seed)
    return frames


def seconds(model: DensityModel, frames: list[Atoms], batch_atoms: int) -> float:
    start = time.process_time()
    for _ in densities(model, frames, batch_atoms=batch_atoms):
        pass
    return (time.process_time() - start) / len(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model("water-pbe", "cpu")
    systems = {
        "H2O": rattled(molecule("H2O"), 64),
        "(H2O)6": rattled(Reference.load(EXAMPLES / "water-hexamer.npz").atoms, 16),
        "64 H2O, periodic": rattled(read(EXAMPLES / "water-box.xyz"), 4),
    }
    print(f"{'atoms together':20}" + "".join(f"{size:>10}" for size in SIZES))
    for name, frames in systems.items():
        best = dict.fromkeys(SIZES, float("inf"))
        for _ in range(arguments.repeats):
            for size in SIZES:
                best[size] = min(best[size], seconds(model, frames, size))
        ratios = "".join(f"{best[1] / best[size]:10.2f}" for size in SIZES)
        print(f"{name:20}{ratios}   times as fast as one at a time, {1e3 * best[1]:.1f} ms")


if __name__ == "__main__":
    main()
