"""Structures as the training loop sees them: everything that does not depend on weights.

Coefficients are those of the orthonormalised radial basis, in *block order*: species, lambda,
atom, mu, n. In it the network's outputs follow each other without any shuffling.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from ase import Atoms

from ...basis import Basis, orthonormal_transform
from ...model.network import DensityNetwork, blocks_of_atoms, send, species_of
from .neighbors import Neighbors, neighbors_of
from .symmetric import metric_on, product

#: Pairs that are copied at once: the start has those of all samples in one batch.
_PAIRS_PER_BLOCK = 65536


class Learner(Protocol):
    """What predictions and losses need of a network, be it whole or frozen up to its readouts."""

    n_messages: int
    species: torch.nn.ModuleList


@dataclass(frozen=True)
class Pairs:
    """Neighbours, for networks with messages. Atoms are counted species by species.

    Attributes
    ----------
    centers, neighbors
        Indices of atoms: (n_pairs,) each; in a batch, in the order of the centres.
    products
        Radial functions times harmonics: (n_pairs, (l_max + 1)^2, n_radial).
    """

    centers: torch.Tensor
    neighbors: torch.Tensor
    products: torch.Tensor

    def to(self, device: torch.device) -> Pairs:
        """The same on another device."""
        tensors = (self.centers, self.neighbors, self.products)
        return Pairs(*(tensor.to(device) for tensor in tensors))

    def to_dtype(self, dtype: torch.dtype) -> Pairs:
        """The same in another precision."""
        return Pairs(self.centers, self.neighbors, self.products.to(dtype))

    @classmethod
    def join(cls, parts: Sequence[Pairs], counts: Sequence[Sequence[int]]) -> Pairs:
        """Pairs of several structures; counts[species][structure] of atoms."""
        places = _places(counts)
        centers = torch.cat([at[part.centers] for at, part in zip(places, parts, strict=True)])
        neighbors = torch.cat([at[part.neighbors] for at, part in zip(places, parts, strict=True)])
        products = torch.cat([part.products for part in parts])
        order = torch.argsort(centers, stable=True)
        return cls(centers[order], neighbors[order], products[order])


def _places(counts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """For each structure, where its atoms are when atoms of all are counted by species.

    >>> _places([[1, 2], [1, 1]])  # A, B | A, A, B
    [tensor([0, 3]), tensor([1, 2, 4])]
    """
    labels = torch.repeat_interleave(torch.tensor([n for row in counts for n in row]))
    structures = labels % len(counts[0])
    return [torch.nonzero(structures == index).squeeze(1) for index in range(len(counts[0]))]


@dataclass(frozen=True)
class Sample:
    """One structure of a data set.

    Attributes
    ----------
    expansions
        For each species of the basis, the expansion around its atoms:
        (n_atoms, (l_max + 1)^2, n_in).
    target
        Reference coefficients, orthonormal, in block order: (size,).
    metric
        Metric of the loss in the same basis and order, packed (see the module ``symmetric``) or
        (size, size), or a function that computes it where it does not fit into memory.
    electrons
        Number of electrons, which normalises the loss.
    residual
        Metric times target, less the projections of the reference, where these are what the
        density is compared with: (size,). None where it is the target.
    pairs
        Neighbours, if the network has messages.
    """

    expansions: tuple[torch.Tensor, ...]
    target: torch.Tensor
    metric: torch.Tensor | Callable[[], torch.Tensor]
    electrons: float
    residual: torch.Tensor | None = None
    pairs: Pairs | None = None

    def load_metric(self) -> torch.Tensor:
        """The metric, computed if it is not in memory."""
        return self.metric if isinstance(self.metric, torch.Tensor) else self.metric()

    def apply_metric(self, vector: torch.Tensor) -> torch.Tensor:
        """Metric times a vector, per electron, in the precision of the vector: (size,)."""
        metric = self.load_metric()
        return product(metric, vector.to(metric.dtype)).to(vector.dtype) / self.electrons

    def projected_target(self) -> torch.Tensor:
        """What metric times coefficients should be, per electron: (size,)."""
        projected = self.apply_metric(self.target)
        if self.residual is None:
            return projected
        return projected - self.residual.to(projected.dtype) / self.electrons


@dataclass(frozen=True)
class Batch:
    """Several samples, joined per species."""

    expansions: tuple[torch.Tensor, ...]
    counts: tuple[tuple[int, ...], ...]
    targets: tuple[torch.Tensor, ...]
    metrics: tuple[torch.Tensor, ...]
    electrons: tuple[float, ...]
    residuals: tuple[torch.Tensor | None, ...]
    pairs: Pairs | None = None

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Batch:
        """Join samples."""
        by_species = list(zip(*(s.expansions for s in samples), strict=True))
        counts = tuple(tuple(len(part) for part in parts) for parts in by_species)
        pairs = [sample.pairs for sample in samples if sample.pairs is not None]
        return cls(
            expansions=tuple(torch.cat(parts) for parts in by_species),
            counts=counts,
            targets=tuple(s.target for s in samples),
            metrics=tuple(s.load_metric() for s in samples),
            electrons=tuple(s.electrons for s in samples),
            residuals=tuple(s.residual for s in samples),
            pairs=Pairs.join(pairs, counts) if pairs else None,
        )

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""

        def moved(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            return tuple(tensor.to(device) for tensor in tensors)

        return Batch(
            moved(self.expansions),
            self.counts,
            moved(self.targets),
            tuple(metric_on(device, metric) for metric in self.metrics),
            self.electrons,
            tuple(None if r is None else r.to(device) for r in self.residuals),
            None if self.pairs is None else self.pairs.to(device),
        )

    def split(self, outputs: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        """Outputs [species][lambda] (n_atoms, mu, n) as one vector in block order a sample."""
        parts: list[list[torch.Tensor]] = [[] for _ in self.targets]
        for counts, tensors in zip(self.counts, outputs, strict=True):
            for tensor in tensors:
                for part, piece in zip(parts, tensor.split(list(counts)), strict=True):
                    part.append(piece.reshape(-1))
        return [torch.cat(part) for part in parts]


def expand(network: DensityNetwork, basis: Basis, atoms: Atoms) -> tuple[torch.Tensor, ...]:
    """Expansion around the atoms of each species: tuple of (n_atoms, (l_max + 1)^2, n_in)."""
    return expansions_of(network, neighbors_of(basis, atoms, network.cutoff))


def expansions_of(network: DensityNetwork, found: Neighbors) -> tuple[torch.Tensor, ...]:
    """The same for neighbours that are known."""
    with torch.no_grad():
        expansion = network.expansion(*found)
    return tuple(expansion[found.species == k] for k in range(network.expansion.n_species))


def pairs_of(network: DensityNetwork, found: Neighbors) -> Pairs | None:
    """What messages need of the pairs of a structure; None for a network without messages."""
    if network.n_messages == 0:
        return None
    places = torch.argsort(torch.argsort(found.species, stable=True))
    with torch.no_grad():
        products = network.expansion.products(found.vectors)
    return Pairs(places[found.centers], places[found.neighbors], products)


def mixed_expansions(network: Learner, batch: Batch) -> list[torch.Tensor]:
    """What gates and readouts of each species see: (n_atoms, (l_max + 1)^2, n_channels)."""
    return [
        species.channels(expansion)
        for species, expansion in zip(
            species_of(network), expansions_with_messages(network, batch), strict=True
        )
    ]


def expansions_with_messages(network: Learner, batch: Batch) -> list[torch.Tensor]:
    """Expansions of each species, those in messages after those in species."""
    if network.n_messages == 0 or batch.pairs is None:
        return list(batch.expansions)
    pairs = batch.pairs
    messages = torch.cat(
        [
            species.messages(expansion)
            for species, expansion in zip(species_of(network), batch.expansions, strict=True)
        ]
    )
    counts = torch.bincount(pairs.centers, minlength=len(messages))
    blocks = blocks_of_atoms(counts, _PAIRS_PER_BLOCK)
    parts = []
    for (atom, pair), (next_atom, next_pair) in pairwise(blocks):
        sent = messages[pairs.neighbors[pair:next_pair]]
        products = pairs.products[pair:next_pair]
        parts.append(send(sent, products, counts[atom:next_atom]))
    second = torch.cat(parts)
    sizes = [len(expansion) for expansion in batch.expansions]
    return [
        torch.cat(parts, dim=2) for parts in zip(batch.expansions, second.split(sizes), strict=True)
    ]


def predict(network: Learner, batch: Batch) -> list[list[torch.Tensor]]:
    """Orthonormal coefficients [species][lambda]: (n_atoms, mu, n)."""
    expansions = mixed_expansions(network, batch)
    return [
        species.outputs(expansion)
        for species, expansion in zip(species_of(network), expansions, strict=True)
    ]


def predictions(network: Learner, samples: Sequence[Sample]) -> Iterator[torch.Tensor]:
    """Orthonormal coefficients of each sample, in block order: (size,)."""
    for sample in samples:
        batch = without_metrics([sample])
        yield batch.split(predict(network, batch))[0]


def without_metrics(samples: Sequence[Sample]) -> Batch:
    """Samples as one batch for predictions, not for losses."""
    nothing = torch.zeros((0, 0))
    return Batch.of([dataclasses.replace(sample, metric=nothing) for sample in samples])


class BlockOrder:
    """Between flat vectors of the auxiliary basis and orthonormal ones in block order.

    Parameters
    ----------
    basis
        The auxiliary basis.
    numbers
        Atomic numbers of the structure.
    metric
        In which the radial functions are orthonormalised, as in
        :func:`~ase_rholearn.model.build_network`.
    """

    def __init__(self, basis: Basis, numbers: np.ndarray, metric: str) -> None:
        layout = basis.layout(numbers)
        species = np.searchsorted(basis.species, numbers)[layout.atom]
        #: flat vector -> block order
        self.order = np.lexsort((layout.n, layout.m, layout.atom, layout.l, species))
        self._transform = orthonormal_transform(basis, numbers, metric)
        self._inverse = orthonormal_transform(basis, numbers, metric, inverse=True)

    def from_flat(self, coefficients: np.ndarray) -> np.ndarray:
        """Orthonormal coefficients in block order: (size,)."""
        return np.asarray((self._inverse @ coefficients)[self.order])

    def to_flat(self, values: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`from_flat`."""
        flat = np.empty_like(values)
        flat[self.order] = values
        return np.asarray(self._transform @ flat)

    def project(self, projections: np.ndarray) -> np.ndarray:
        """Projections on the functions (size,), on the orthonormal ones in block order."""
        return np.asarray((self._transform.T @ projections)[self.order])

    def metric(self, matrix: np.ndarray) -> np.ndarray:
        """A metric of flat vectors in the new basis and order: (size, size)."""
        half = self._transform.T @ matrix
        full = (self._transform.T @ half.T).T
        return np.asarray(full[np.ix_(self.order, self.order)])
