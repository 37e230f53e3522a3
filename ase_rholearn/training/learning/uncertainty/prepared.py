"""One structure as the network and the surroundings see it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from ase import Atoms

from ....basis import Basis
from ....model.network import DensityNetwork
from ....model.uncertainty.surroundings import Surroundings
from ..neighbors import Neighbors, neighbors_of


@dataclass(frozen=True)
class Prepared:
    """One structure as the network and the surroundings see it.

    Attributes
    ----------
    atoms
        The structure.
    found
        Its neighbours.
    rows
        For each species its atoms.
    layers
        Gates, and tensors of each lambda, for each species.
    surroundings, bonds
        Of :class:`~ase_rholearn.model.uncertainty.surroundings.Surroundings`.
    """

    atoms: Atoms
    found: Neighbors
    rows: list[torch.Tensor]
    layers: list[tuple[torch.Tensor, list[torch.Tensor]]]
    surroundings: torch.Tensor
    bonds: torch.Tensor

    @classmethod
    def of(
        cls, network: DensityNetwork, basis: Basis, surroundings: Surroundings, atoms: Atoms
    ) -> Prepared:
        """Evaluate what does not depend on the uncertainty itself."""
        found = neighbors_of(basis, atoms, network.cutoff)
        rows = [torch.nonzero(found.species == k).squeeze(1) for k in range(len(basis.species))]
        with torch.no_grad():
            layers = network.last_layers(*found, rows)
            return cls(atoms, found, rows, layers, *surroundings(*found))
