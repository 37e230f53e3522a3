"""Speed of a training step against rholearn's way, with the same features and data.

Both train a linear map of the same lambda-SOAP features (rholearn's default l, n and cutoff) to
coefficients, on the same molecules, batches and optimiser, in double precision, as rholearn
does; the loss is the integral of the squared error of the density. A step is all that repeats:
joining a batch, prediction, loss, gradients, and the optimiser. What is computed once, before,
is timed apart. Steps are interleaved in one process on one thread, and CPU time counts. Run

    pip install metatensor-learn
    python benchmarks/training_speed.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rholearn_way
import torch
from ase import Atoms

from ase_rholearn.basis import Basis, block_keys
from ase_rholearn.model import DensityNetwork, NeighborDensity, NetworkOptions, build_network
from ase_rholearn.references.pyscf import metric_matrix
from ase_rholearn.training import DataSet
from ase_rholearn.training.learning.module import convert, density_loss
from ase_rholearn.training.learning.samples import Batch, BlockOrder, Sample, expand

DATA = Path(__file__).parents[1] / "models" / "organic-pbe" / "data"

#: rholearn's default features: cutoff 3 Angstrom, l up to 5, 8 radial functions.
DENSITY = NeighborDensity(cutoff=3.0, max_angular=5, max_radial=8, width=0.3)
SPECIES = (1, 6, 7, 8)


def restricted(basis: Basis) -> Basis:
    """The functions of the species that are here, without free atoms: they play no part."""
    return Basis({z: basis.shells[z] for z in SPECIES})


def molecules(dataset: DataSet, count: int) -> list[tuple[Atoms, np.ndarray]]:
    """The first molecules of these species alone, and their coefficients."""
    found = []
    for name in dataset.ids:
        reference = dataset.load(name)
        if set(reference.atoms.numbers.tolist()) <= set(SPECIES):
            found.append((reference.atoms, np.asarray(reference.coefficients, dtype=float)))
        if len(found) == count:
            break
    return found


def cpu(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


class Ours:
    """The network of the package with a linear map alone."""

    def __init__(self, basis: Basis, options: NetworkOptions, dtype: torch.dtype) -> None:
        self.basis, self.dtype = basis, dtype
        self.network = build_network(options, basis)

    def sample(self, atoms: Atoms, coefficients: np.ndarray, overlap: np.ndarray) -> Sample:
        order = BlockOrder(self.basis, atoms.numbers, "overlap")
        return Sample(
            expansions=expand(self.network, self.basis, atoms),
            target=torch.from_numpy(order.from_flat(coefficients)),
            metric=torch.from_numpy(order.metric(overlap)),
            electrons=1.0,
        )

    def start(self, samples: Sequence[Sample]) -> None:
        self.samples = convert(samples, self.dtype)
        self.network.to(self.dtype)
        parameters = [p for p in self.network.parameters() if p.requires_grad and p.numel()]
        self.optimizer = torch.optim.Adam(parameters, lr=1e-4)

    def loss(self, indices: Sequence[int]) -> torch.Tensor:
        return density_loss(self.network, Batch.of([self.samples[i] for i in indices])).sum()

    def step(self, indices: Sequence[int]) -> None:
        self.optimizer.zero_grad()
        self.loss(indices).backward()
        self.optimizer.step()


class Theirs:
    """rholearn's way."""

    def __init__(self, basis: Basis, structures: Sequence[rholearn_way.Structure]) -> None:
        self.structures = structures
        full = rholearn_way.join(structures).descriptor
        self.layer = rholearn_way.layer(basis, full)
        self.optimizer = torch.optim.Adam(self.layer.parameters(), lr=1e-4)

    def loss(self, indices: Sequence[int]) -> torch.Tensor:
        batch = rholearn_way.join([self.structures[i] for i in indices])
        return rholearn_way.loss(self.layer(batch.descriptor), batch)

    def step(self, indices: Sequence[int]) -> None:
        self.optimizer.zero_grad()
        self.loss(indices).backward()
        self.optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=DATA, help="a data set")
    parser.add_argument("--structures", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset = DataSet.open(arguments.data)
    basis = restricted(dataset.basis)
    chosen = molecules(dataset, arguments.structures)
    overlaps = [metric_matrix(atoms, basis, "overlap") for atoms, _ in chosen]
    everything = [(a, c, s) for (a, c), s in zip(chosen, overlaps, strict=True)]

    made: list = []
    seconds = cpu(
        lambda: made.extend(rholearn_way.descriptors([a for a, _ in chosen], basis, DENSITY))
    )
    print(f"descriptors, rholearn's way: {seconds:.1f} s", flush=True)
    structures = [
        rholearn_way.structure(a, basis, d, c, s)
        for (a, c, s), d in zip(everything, made, strict=True)
    ]
    theirs = Theirs(basis, structures)
    linear = NetworkOptions(density=DENSITY, tensors=0, linear=True)
    double = Ours(basis, linear, torch.float64)
    samples: list[Sample] = []
    seconds = cpu(lambda: [expand(double.network, basis, a) for a, _ in chosen])
    print(f"expansions, here: {seconds:.1f} s", flush=True)
    samples = [double.sample(*one) for one in everything]
    double.start(samples)
    single = Ours(basis, linear, torch.float32)
    single.start(samples)
    gated = Ours(basis, NetworkOptions(density=DENSITY, tensors=24, gates=32), torch.float32)
    gated.start(samples)
    ways = {"rholearn": theirs, "linear f64": double, "linear f32": single, "gated f32": gated}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.epochs):
        for start in range(0, len(chosen), arguments.batch):
            indices = list(range(start, start + arguments.batch))
            for name, way in ways.items():
                times[name].append(cpu(lambda: way.step(indices)))
    print(np.mean([len(a) for a, _ in chosen]), "atoms")
    for name, values in times.items():
        print(name, f"{arguments.batch/np.median(values):.2f} structures/s", np.round(values, 3)[:6])


if __name__ == "__main__":
    main()
