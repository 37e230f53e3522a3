"""Neighbours of a structure, as networks take them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from ase import Atoms
from metatomic.torch import NeighborListOptions

from ...basis import Basis
from ...model.systems import to_system


class Neighbors(NamedTuple):
    """Arguments of :class:`~ase_rholearn.model.network.DensityNetwork`, in their order.

    Attributes
    ----------
    species
        Species index of every atom: (n_atoms,).
    centers, neighbors
        Pairs within the cutoff, both directions: (n_pairs,) each.
    vectors
        From centre to neighbour, Angstrom, double precision: (n_pairs, 3).
    """

    species: torch.Tensor
    centers: torch.Tensor
    neighbors: torch.Tensor
    vectors: torch.Tensor


def neighbors_of(basis: Basis, atoms: Atoms, cutoff: float) -> Neighbors:
    """Pairs of a structure within a cutoff (Angstrom); species are those of a basis.

    >>> from ase.build import molecule
    >>> basis = Basis.from_shells({"H": [(0, [1.0])], "O": [(0, [1.0])]})
    >>> found = neighbors_of(basis, molecule("OH"), cutoff=3.0)
    >>> found.species.tolist(), found.centers.tolist(), found.neighbors.tolist()
    ([1, 0], [0, 1], [1, 0])
    """
    options = NeighborListOptions(cutoff=cutoff, full_list=True, strict=True)
    system = to_system(atoms, [options], torch.float64, torch.device("cpu"))
    block = system.get_neighbor_list(options)
    species = torch.tensor([basis.species.index(int(z)) for z in atoms.numbers])
    pairs = block.samples.values[:, :2].to(torch.long)
    return Neighbors(species, pairs[:, 0], pairs[:, 1], block.values.squeeze(2))
