"""The network core behind metatomic's interface: systems in, TensorMap out."""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from typing import Dict, List, Optional

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import ModelOutput, NeighborListOptions, System

from ..basis import Basis, block_keys
from .network import DensityNetwork

#: Name of the output of every model of this package.
OUTPUT = "rholearn::coefficients"


class CoefficientModel(torch.nn.Module):
    """Coefficients of the density as a metatomic output.

    Parameters
    ----------
    network
        The core; its species are in the order of ``basis.species``.
    basis
        The auxiliary basis of the output.
    """

    species_index: torch.Tensor

    def __init__(self, network: DensityNetwork, basis: Basis) -> None:
        super().__init__()
        self.network = network
        self.output = OUTPUT
        self.n_species = len(basis.species)
        self.has_messages = network.n_messages > 0
        cutoff = network.cutoff
        self.neighbors = NeighborListOptions(cutoff=cutoff, full_list=True, strict=True)
        index = torch.full((max(basis.species) + 1,), -1, dtype=torch.long)
        index[list(basis.species)] = torch.arange(self.n_species)
        self.register_buffer("species_index", index)
        keys = block_keys(basis)
        #: (lambda, species index) of every block
        self.blocks: List[List[int]] = [[l, basis.species.index(z)] for l, z in keys]
        self.keys = Labels(
            ["o3_lambda", "o3_sigma", "center_type"], torch.tensor([[l, 1, z] for l, z in keys])
        )

    @torch.jit.export
    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        """All pairs within the cutoff, in both directions."""
        return [self.neighbors]

    def forward(
        self,
        systems: List[System],
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels],
    ) -> Dict[str, TensorMap]:
        """Evaluate the model; see :class:`metatomic.torch.ModelInterface`."""
        result: Dict[str, TensorMap] = {}
        if self.output not in outputs or len(systems) == 0:
            return result
        device = systems[0].device

        types: List[torch.Tensor] = []
        samples: List[torch.Tensor] = []
        pairs: List[torch.Tensor] = []
        vectors: List[torch.Tensor] = []
        sizes: List[int] = []
        offset = 0
        for index, system in enumerate(systems):
            n_atoms = len(system)
            block = system.get_neighbor_list(self.neighbors)
            types.append(system.types)
            atoms = torch.arange(n_atoms, device=device)
            samples.append(torch.stack([torch.full_like(atoms, index), atoms], dim=1))
            pairs.append(block.samples.values[:, :2] + offset)
            vectors.append(block.values.squeeze(2))
            sizes.append(offset)
            offset += n_atoms
        species = self.species_index[torch.cat(types).to(torch.long)]
        all_samples = torch.cat(samples)
        all_pairs = torch.cat(pairs).to(torch.long)
        all_vectors = torch.cat(vectors)

        selected = torch.ones_like(species, dtype=torch.bool)
        if selected_atoms is not None:
            starts = torch.tensor(sizes, device=device)
            wanted = selected_atoms.values.to(torch.long)
            selected = torch.zeros_like(selected)
            selected[starts[wanted[:, 0]] + wanted[:, 1]] = True
            if not self.has_messages:  # with them, neighbours need their own neighbours
                used = selected[all_pairs[:, 0]]
                all_pairs, all_vectors = all_pairs[used], all_vectors[used]

        rows: List[torch.Tensor] = []
        labels: List[Labels] = []
        for k in range(self.n_species):
            chosen = torch.nonzero(torch.logical_and(species == k, selected)).squeeze(1)
            rows.append(chosen)
            values = all_samples[chosen].to(torch.int32)
            labels.append(Labels(["system", "atom"], values, assume_unique=True))

        coefficients = self.network(species, all_pairs[:, 0], all_pairs[:, 1], all_vectors, rows)

        blocks: List[TensorBlock] = []
        for l, k in self.blocks:
            values = coefficients[k][l]
            mu = torch.arange(-l, l + 1, device=device).reshape(-1, 1)
            n = torch.arange(values.shape[2], device=device).reshape(-1, 1)
            blocks.append(
                TensorBlock(
                    values=values,
                    samples=labels[k],
                    components=[Labels(["o3_mu"], mu)],
                    properties=Labels(["n"], n),
                )
            )
        result[self.output] = TensorMap(self.keys.to(device), blocks)
        return result
