"""Structures as the training loop sees them: everything that does not depend on weights.

Coefficients are those of the orthonormalised radial basis, in *block order*: species, lambda,
atom, mu, n. In it the network's outputs follow each other without any shuffling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from ase import Atoms
from metatomic.torch import NeighborListOptions

from ...basis import Basis, radial_transform
from ...model.network import DensityNetwork
from ...model.systems import to_system


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
        Metric of the loss in the same basis and order: (size, size).
    electrons
        Number of electrons, which normalises the loss.
    """

    expansions: tuple[torch.Tensor, ...]
    target: torch.Tensor
    metric: torch.Tensor
    electrons: float

    def apply_metric(self, vector: torch.Tensor) -> torch.Tensor:
        """Metric times a vector, per electron, in the precision of the vector: (size,)."""
        product = (self.metric @ vector.to(self.metric.dtype)).to(vector.dtype)
        return product / self.electrons


@dataclass(frozen=True)
class Batch:
    """Several samples, joined per species."""

    expansions: tuple[torch.Tensor, ...]
    counts: tuple[tuple[int, ...], ...]
    targets: tuple[torch.Tensor, ...]
    metrics: tuple[torch.Tensor, ...]
    electrons: tuple[float, ...]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Batch:
        """Join samples."""
        by_species = list(zip(*(s.expansions for s in samples), strict=True))
        return cls(
            expansions=tuple(torch.cat(parts) for parts in by_species),
            counts=tuple(tuple(len(part) for part in parts) for parts in by_species),
            targets=tuple(s.target for s in samples),
            metrics=tuple(s.metric for s in samples),
            electrons=tuple(s.electrons for s in samples),
        )

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""

        def moved(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            return tuple(tensor.to(device) for tensor in tensors)

        return Batch(
            moved(self.expansions),
            self.counts,
            moved(self.targets),
            moved(self.metrics),
            self.electrons,
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
    table = network.expansion.table
    options = NeighborListOptions(cutoff=table.cutoff, full_list=True, strict=True)
    system = to_system(atoms, [options], torch.float64, torch.device("cpu"))
    block = system.get_neighbor_list(options)
    species = torch.tensor([basis.species.index(int(z)) for z in atoms.numbers])
    pairs = block.samples.values.to(torch.long)
    with torch.no_grad():
        expansion = network.expansion(species, pairs[:, 0], pairs[:, 1], block.values.squeeze(2))
    return tuple(expansion[species == k] for k in range(len(basis.species)))


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
        blocks, inverses = [], []
        for z in numbers:
            for l in range(basis.l_max + 1):
                if basis.radial_functions(int(z), l):
                    transform = radial_transform(basis, int(z), l, metric)
                    identity = np.eye(2 * l + 1)
                    blocks.append(np.kron(transform, identity))
                    inverses.append(np.kron(np.linalg.inv(transform), identity))
        self._transform = scipy.sparse.block_diag(blocks, format="csr")
        self._inverse = scipy.sparse.block_diag(inverses, format="csr")

    def from_flat(self, coefficients: np.ndarray) -> np.ndarray:
        """Orthonormal coefficients in block order: (size,)."""
        return np.asarray((self._inverse @ coefficients)[self.order])

    def to_flat(self, values: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`from_flat`."""
        flat = np.empty_like(values)
        flat[self.order] = values
        return np.asarray(self._transform @ flat)

    def metric(self, matrix: np.ndarray) -> np.ndarray:
        """A metric of flat vectors in the new basis and order: (size, size)."""
        half = self._transform.T @ matrix
        full = (self._transform.T @ half.T).T
        return np.asarray(full[np.ix_(self.order, self.order)])


def loss_metric(basis: Basis, atoms: Atoms, coulomb: float) -> np.ndarray:
    """(1 - coulomb) overlap + coulomb * Coulomb matrix, in our flat order: (size, size).

    Overlap measures the density error pointwise, Coulomb the error of its potential.
    """
    from ...references.pyscf import metric_matrix

    total = np.zeros((basis.size(atoms.numbers),) * 2)
    if coulomb < 1:
        total += (1 - coulomb) * metric_matrix(atoms, basis, "overlap")
    if coulomb > 0:
        total += coulomb * metric_matrix(atoms, basis, "coulomb")
    return total
