"""Speed of the native network core against featomic-torch with the same weights.

Both models are exported, saved and loaded again, and see the same structures; calls are
interleaved in one process on one thread, and the minimum CPU time counts. Run

    python benchmarks/speed.py
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from featomic_pipeline import FeatomicPipeline, exported
from metatomic.torch import ModelEvaluationOptions, ModelOutput, load_atomistic_model
from scipy.spatial.transform import Rotation

from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    OUTPUT,
    ModelCard,
    NeighborDensity,
    NetworkOptions,
    build_network,
    export_model,
)
from ase_rholearn.model.systems import to_system


def ladder(high: float, n: int) -> list[float]:
    return np.geomspace(high, 0.2, n).tolist()


HYDROGEN = [(0, ladder(20, 5)), (1, ladder(5, 4)), (2, ladder(3, 3)), (3, ladder(2, 2))]
HEAVY = [
    (0, ladder(200, 10)),
    (1, ladder(50, 8)),
    (2, ladder(20, 7)),
    (3, ladder(4, 4)),
    (4, ladder(3, 2)),
]


def water_box(n_molecules: int, seed: int = 0) -> Atoms:
    """Randomly turned molecules on a cubic lattice at 0.997 g/cm^3."""
    rng = np.random.default_rng(seed)
    per_edge = int(np.ceil(n_molecules ** (1 / 3) - 1e-9))
    edge = (n_molecules / 0.03333) ** (1 / 3)
    one = molecule("H2O")
    box = Atoms(cell=[edge] * 3, pbc=True)
    sites = [(i, j, k) for i in range(per_edge) for j in range(per_edge) for k in range(per_edge)]
    for index in rng.choice(len(sites), n_molecules, replace=False):
        turned = one.copy()
        turned.positions = Rotation.random(rng=rng).apply(turned.positions)
        turned.positions += (np.array(sites[index]) + 0.5) * edge / per_edge
        box += turned
    return box


def organic_pair() -> Atoms:
    """Benzonitrile-like and acetamide-like fragments with fluorine: 22 atoms of 5 species."""
    ring = molecule("C6H6")
    ring.numbers[[6, 8]] = 9
    amide = molecule("CH3CONH2")
    amide.translate([0.0, 0.0, 3.6])
    both = ring + amide
    return both + Atoms("N", positions=[[0, 0, -3.0]])


SYSTEMS = {
    "22 atoms, 5 species": organic_pair,
    "24 atoms of water": lambda: water_box(8),
    "96 atoms of water": lambda: water_box(32),
    "384 atoms of water": lambda: water_box(128),
    "1536 atoms of water": lambda: water_box(512),
}


def random_network(basis: Basis, options: NetworkOptions):
    network = build_network(options, basis)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("weight") and "paths" in name:
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.copy_(noise * 0.05)
    return network


def run(model, atoms: Atoms) -> tuple[float, list]:
    options = ModelEvaluationOptions(
        length_unit="angstrom", outputs={OUTPUT: ModelOutput(unit="", sample_kind="atom")}
    )
    start = time.process_time()
    neighbors = model.requested_neighbor_lists()[0]
    system = to_system(atoms, [neighbors], torch.float64, torch.device("cpu"))
    with torch.no_grad():
        tensor = model([system], options, check_consistency=False)[OUTPUT]
    return time.process_time() - start, tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    density = NeighborDensity(cutoff=4.0, max_angular=4, max_radial=6)
    print(f"{'':22} {'featomic':>10} {'native':>10} {'ratio':>7} {'difference':>11}")
    for name, build in SYSTEMS.items():
        atoms = build()
        species = sorted(set(atoms.numbers.tolist()))
        basis = Basis.from_shells({z: HYDROGEN if z == 1 else HEAVY for z in species})
        network = random_network(basis, NetworkOptions(density=density, tensors=0, linear=True))
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / "featomic.pt", Path(folder) / "native.pt"]
            exported(FeatomicPipeline(density, basis, network), basis, 4.0).save(str(paths[0]))
            export_model(network, basis, ModelCard("native"), paths[1], dtype="float64")
            models = [load_atomistic_model(path) for path in paths]
        best = [np.inf, np.inf]
        for _ in range(arguments.repeats):
            tensors = []
            for which, model in enumerate(models):
                seconds, tensor = run(model, atoms)
                best[which] = min(best[which], seconds)
                tensors.append(tensor)
        difference = max(
            float((tensors[1].block(key).values - block.values).abs().max())
            for key, block in tensors[0].items()
            if len(block.samples)
        )
        print(
            f"{name:22} {best[0] * 1e3:7.1f} ms {best[1] * 1e3:7.1f} ms "
            f"{best[0] / best[1]:7.1f} {difference:11.1e}"
        )


if __name__ == "__main__":
    main()
