"""Expansion of the surroundings of every atom in radial functions and spherical harmonics."""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

import torch

from ...basis import solid_harmonics
from .radial import RadialTable
from .sending import blocks_of_atoms, send

#: Pairs that are expanded at once; their products stay in the processor's cache.
_PAIRS_PER_BLOCK = 4096


class Expansion(torch.nn.Module):
    """Expansion of the neighbour density of every atom.

    Parameters
    ----------
    table
        Radial functions.
    own
        What the atom itself adds to (l, m) = (0, 0): (n_radial,).
    n_species
        Number of species.
    """

    own: torch.Tensor

    def __init__(self, table: RadialTable, own: torch.Tensor, n_species: int) -> None:
        super().__init__()
        self.table = table
        self.l_max = table.l_size - 1
        self.n_radial = table.n_radial
        self.n_species = n_species
        self.size = n_species * table.n_radial
        self.pairs_per_block = _PAIRS_PER_BLOCK
        self.register_buffer("own", own)

    def forward(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
    ) -> torch.Tensor:
        """Expansion coefficients: (n_atoms, (l_max + 1)^2, n_species * n_radial)."""
        n_atoms = species.shape[0]
        lm_size = (self.l_max + 1) * (self.l_max + 1)
        rows = centers * self.n_species + species[neighbors]
        parts: list[torch.Tensor] = []
        for l in range(self.l_max + 1):
            shape = (n_atoms * self.n_species, 2 * l + 1, self.n_radial)
            parts.append(vectors.new_zeros(shape))
        for start in range(0, vectors.shape[0], self.pairs_per_block):
            stop = start + self.pairs_per_block
            r = torch.linalg.vector_norm(vectors[start:stop], dim=1, keepdim=True)
            harmonics = solid_harmonics(vectors[start:stop] / r, self.l_max)
            radial = self.table(r.squeeze(1))
            for l in range(self.l_max + 1):
                angular = harmonics[:, l * l : (l + 1) * (l + 1)].unsqueeze(2)
                product = angular * radial[:, l].unsqueeze(1)  # [pair, m, n]
                parts[l].index_add_(0, rows[start:stop], product)
        # [atom, species, lm, n] -> [atom, lm, (species, n)]
        total = torch.cat(parts, dim=1).reshape(n_atoms, self.n_species, lm_size, self.n_radial)
        total = total.permute(0, 2, 1, 3).reshape(n_atoms, lm_size, self.size)
        return total + self.self_contribution(species, lm_size)

    def products(self, vectors: torch.Tensor) -> torch.Tensor:
        """Radial functions times harmonics of pairs: (n_pairs, (l_max + 1)^2, n_radial)."""
        r = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        harmonics = solid_harmonics(vectors / r, self.l_max)
        radial = self.table(r.squeeze(1))
        parts: list[torch.Tensor] = []
        for l in range(self.l_max + 1):
            angular = harmonics[:, l * l : (l + 1) * (l + 1)].unsqueeze(2)
            parts.append(angular * radial[:, l].unsqueeze(1))  # [pair, m, n]
        return torch.cat(parts, dim=1)

    def weighted(
        self,
        weights: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
    ) -> torch.Tensor:
        """Expansion in which each neighbour counts with its weights.

        Parameters
        ----------
        weights
            Of every atom: (n_atoms, n_weights).
        centers, neighbors, vectors
            The pairs.

        Returns
        -------
        torch.Tensor
            (n_atoms, (l_max + 1)^2, n_weights * n_radial).
        """
        order = torch.argsort(centers, stable=True)
        counts = torch.bincount(centers, minlength=weights.shape[0])
        neighbors, vectors = neighbors[order], vectors[order]
        blocks = blocks_of_atoms(counts, self.pairs_per_block)
        lm_size = (self.l_max + 1) * (self.l_max + 1)
        # without atoms there is no block
        parts = [weights.new_zeros((0, lm_size, weights.shape[1] * self.n_radial))]
        for block in range(len(blocks) - 1):
            atom, pair = blocks[block]
            next_atom, next_pair = blocks[block + 1]
            products = self.products(vectors[pair:next_pair])
            sent = weights[neighbors[pair:next_pair]]
            parts.append(send(sent, products, counts[atom:next_atom]))
        return torch.cat(parts)

    def self_contribution(self, species: torch.Tensor, lm_size: int) -> torch.Tensor:
        """The atom's own Gaussian: (n_atoms, (l_max + 1)^2, n_species * n_radial)."""
        chosen = torch.nn.functional.one_hot(species, self.n_species).to(self.own.dtype)
        s = (chosen.unsqueeze(2) * self.own).reshape(-1, 1, self.size)
        return torch.nn.functional.pad(s, (0, 0, 0, lm_size - 1))
