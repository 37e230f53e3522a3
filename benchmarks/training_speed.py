"""Speed of a training step against rholearn's way, with the same features and data.

Both train the same linear map of the same lambda-SOAP features (rholearn's default l, n and
cutoff) to coefficients, on the same molecules and batches, each with the Adam of its own training;
the loss is the integral of the squared error of the density. A step is all that repeats: joining a
batch, prediction, loss, gradients, and the optimiser. What is done once, before, is timed apart.
Steps are interleaved in one process on one thread, and the minimum CPU time of each batch counts.
Ours are

- ``frozen``: the map of the principal components of the features, which are computed once
  (:mod:`ase_rholearn.training.learning.frozen`); in double precision, as rholearn does it, and
  in single precision, our default;
- ``all features``: the map with a weight for each feature, which are never formed;
- ``gates too``: the non-linear network with all of its weights.

First, the loss of random weights is compared in rholearn's layer, in our network, and as PySCF's
integral of the flat coefficients. Run

    pip install metatensor-learn
    python benchmarks/training_speed.py
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import rholearn_way
import torch
from ase import Atoms
from featomic_pipeline import flat_weight

from ase_rholearn.basis import Basis, block_keys
from ase_rholearn.model import DensityNetwork, NeighborDensity, NetworkOptions, build_network
from ase_rholearn.model.network import species_of
from ase_rholearn.references.pyscf import metric_matrix
from ase_rholearn.training import DataSet
from ase_rholearn.training.learning.frozen import FrozenNetwork
from ase_rholearn.training.learning.module import convert, density_loss
from ase_rholearn.training.learning.samples import Batch, BlockOrder, Sample, expand
from ase_rholearn.training.learning.symmetric import pack

DATA = Path(__file__).parents[1] / "models" / "organic-pbe" / "data"

#: rholearn's default features: cutoff 3 Angstrom, l up to 5, 8 radial functions.
DENSITY = NeighborDensity(cutoff=3.0, max_angular=5, max_radial=8, width=0.3)
SPECIES = (1, 6, 7, 8)
COMPONENTS = 256

LINEAR = NetworkOptions(density=DENSITY, tensors=0, linear=True)
GATED = NetworkOptions(density=DENSITY, tensors=24, gates=32, linear=True)


@dataclass(frozen=True)
class Molecule:
    """A structure with its reference coefficients and PySCF's overlap matrix, in flat order."""

    atoms: Atoms
    coefficients: np.ndarray
    overlap: np.ndarray


def load(folder: Path, count: int) -> tuple[Basis, list[Molecule]]:
    """The first molecules of these species alone, and the functions of these species."""
    dataset = DataSet.open(folder)
    # without free atoms, which play no part here
    basis = Basis({z: dataset.basis.shells[z] for z in SPECIES})
    found: list[Molecule] = []
    for name in dataset.ids:
        reference = dataset.load(name)
        atoms = reference.atoms
        if len(found) < count and set(atoms.numbers.tolist()) <= set(SPECIES):
            coefficients = np.asarray(reference.coefficients, dtype=float)
            found.append(Molecule(atoms, coefficients, metric_matrix(atoms, basis, "overlap")))
    return basis, found


def sample(molecule: Molecule, network: DensityNetwork, basis: Basis) -> Sample:
    order = BlockOrder(basis, molecule.atoms.numbers, "overlap")
    return Sample(
        expansions=expand(network, basis, molecule.atoms),
        target=torch.from_numpy(order.from_flat(molecule.coefficients)),
        metric=pack(order.metric(molecule.overlap)),
        electrons=1.0,
    )


class Ours:
    """Steps of this package, for any network that :func:`density_loss` takes."""

    def __init__(
        self, network: torch.nn.Module, samples: Sequence[Sample], dtype: torch.dtype
    ) -> None:
        self.network = network.to(dtype)
        self.samples = [
            dataclasses.replace(one, metric=one.load_metric().to(dtype))
            for one in convert(samples, dtype)
        ]
        trained = [p for p in network.parameters() if p.requires_grad and p.numel()]
        self.weights = sum(p.numel() for p in trained)
        # as in training
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)

    def loss(self, indices: Sequence[int]) -> torch.Tensor:
        batch = Batch.of([self.samples[i] for i in indices])
        return density_loss(self.network, batch).sum()  # type: ignore[arg-type]

    def step(self, indices: Sequence[int]) -> None:
        self.optimizer.zero_grad()
        self.loss(indices).backward()
        self.optimizer.step()


class Theirs:
    """Steps in rholearn's way."""

    def __init__(self, basis: Basis, structures: Sequence[rholearn_way.Structure]) -> None:
        self.structures = structures
        self.descriptor = rholearn_way.join(structures).descriptor
        self.layer = rholearn_way.layer(basis, self.descriptor)
        self.weights = sum(p.numel() for p in self.layer.parameters())
        self.optimizer = torch.optim.Adam(self.layer.parameters(), lr=1e-4)

    def loss(self, indices: Sequence[int]) -> torch.Tensor:
        batch = rholearn_way.join([self.structures[i] for i in indices])
        return rholearn_way.loss(self.layer(batch.descriptor), batch)

    def step(self, indices: Sequence[int]) -> None:
        self.optimizer.zero_grad()
        self.loss(indices).backward()
        self.optimizer.step()

    def take_weights(self, network: DensityNetwork, basis: Basis) -> None:
        """Those of our network, for the coefficients of the basis."""
        keys = rholearn_way.labels(basis)
        layers = [m for m in self.layer.modules() if isinstance(m, torch.nn.Linear)]
        with torch.no_grad():
            for index, (l, z) in enumerate(block_keys(basis)):
                linear = layers[index]
                properties = self.descriptor.block(keys.entry(index)).properties
                linear.weight.copy_(flat_weight(network, basis, l, z, properties))
                if linear.bias is not None:
                    linear.bias.zero_()


def random_network(basis: Basis) -> DensityNetwork:
    """Random weights for the products that rholearn's descriptor has."""
    network = build_network(LINEAR, basis)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "paths" in name and "readouts" in name:
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.copy_(0.01 * noise)
    return network


def integral(network: DensityNetwork, molecules: Sequence[Molecule], basis: Basis) -> float:
    """The sum of the squared errors' integrals, from flat coefficients and PySCF's matrices."""
    total = 0.0
    for molecule in molecules:
        order = BlockOrder(basis, molecule.atoms.numbers, "overlap")
        one = sample(molecule, network, basis)
        with torch.no_grad():
            outputs = [
                species.orthonormal(expansion)
                for species, expansion in zip(species_of(network), one.expansions, strict=True)
            ]
        predicted = order.to_flat(Batch.of([one]).split(outputs)[0].numpy())
        error = predicted - molecule.coefficients
        total += float(error @ molecule.overlap @ error)
    return total


def compare_losses(
    molecules: Sequence[Molecule], structures: Sequence[rholearn_way.Structure], basis: Basis
) -> None:
    network = random_network(basis)
    theirs = Theirs(basis, structures)
    theirs.take_weights(network, basis)
    indices = range(len(molecules))
    ours = Ours(network, [sample(m, network, basis) for m in molecules], torch.float64)
    exact = integral(network, molecules, basis)
    for name, way in (("rholearn's way", theirs), ("here", ours)):
        difference = abs(float(way.loss(indices).detach()) / exact - 1)
        print(f"loss of the same weights, {name}: relative difference to PySCF {difference:.0e}")


Result = TypeVar("Result")


def timed(name: str, call: Callable[[], Result]) -> Result:
    start = time.process_time()
    result = call()
    print(f"{name}: {time.process_time() - start:.2f} s", flush=True)
    return result


def freeze(
    network: DensityNetwork, samples: Sequence[Sample]
) -> tuple[FrozenNetwork, list[Sample]]:
    frozen = FrozenNetwork(network, samples, COMPONENTS)
    return frozen, frozen.samples(samples)


def measure(
    ways: dict[str, Ours | Theirs], n_structures: int, batch: int, epochs: int
) -> dict[str, float]:
    """Least CPU seconds of a step over the epochs, batches averaged, each way in turn."""
    starts = range(0, n_structures - batch + 1, batch)
    times = {name: np.full((epochs, len(starts)), np.inf) for name in ways}
    for epoch in range(epochs):
        for column, first in enumerate(starts):
            for name, way in ways.items():
                start = time.process_time()
                way.step(range(first, first + batch))
                times[name][epoch, column] = time.process_time() - start
    return {name: float(values.min(axis=0).mean()) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=DATA, help="a data set")
    parser.add_argument("--structures", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    basis, molecules = load(arguments.data, arguments.structures)
    structures = [m.atoms for m in molecules]
    print(
        f"{len(molecules)} molecules of {np.mean([len(a) for a in structures]):.1f} atoms, {basis}"
    )

    descriptors = timed(
        "descriptors, rholearn's way",
        lambda: rholearn_way.descriptors(structures, basis, DENSITY),
    )
    made = [
        rholearn_way.structure(m.atoms, basis, descriptor, m.coefficients, m.overlap)
        for m, descriptor in zip(molecules, descriptors, strict=True)
    ]
    linear, gated = build_network(LINEAR, basis), build_network(GATED, basis)
    timed("expansions, here", lambda: [expand(linear, basis, a) for a in structures])
    samples = [sample(m, linear, basis) for m in molecules]
    frozen, features = timed("components and features, here", lambda: freeze(linear, samples))
    compare_losses(molecules, made, basis)

    ways: dict[str, Ours | Theirs] = {
        "rholearn's way": Theirs(basis, made),
        "frozen": Ours(copy.deepcopy(frozen), features, torch.float64),
        "frozen, float32": Ours(frozen, features, torch.float32),
        "all features": Ours(copy.deepcopy(linear), samples, torch.float64),
        "all features, float32": Ours(linear, samples, torch.float32),
        "gates too, float32": Ours(gated, samples, torch.float32),
    }
    seconds = measure(ways, len(molecules), arguments.batch, arguments.epochs)
    rival = seconds["rholearn's way"]
    print(f"\n{'':24} {'weights':>9} {'ms/structure':>13} {'ratio':>6}")
    for name, way in ways.items():
        each = 1e3 * seconds[name] / arguments.batch
        print(f"{name:24} {way.weights:9} {each:13.2f} {rival / seconds[name]:6.1f}")


if __name__ == "__main__":
    main()
