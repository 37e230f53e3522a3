r"""What an atom is bonded to, in few numbers, and how far that is from what a model has seen.

Distances are counted in sums of covalent radii, x = r / (R_i + R_j), so that bonds of all species
lie around x = 1 and nothing lies between them and the next neighbours. Of each atom are taken

- numbers of neighbours at x = 0.5, 0.6 ... 1.6, hydrogen and others apart: sums of Gaussians;
- lengths :math:`2 \sqrt{4\pi/(2l+1)} |\sum_j w_j Y_l(\hat r_j)|` of the sums over bonded
  neighbours, l = 1 to 6, that change with the angles between bonds;
- bonded neighbours of each species, :math:`\sum_j w_j` times 0.7,

with :math:`w = 1 / (1 + \exp((x - 1.3) / 0.06))`. The Euclidean distance to the nearest training
atom of the species is zero where a bonding pattern is known. A stretched or compressed bond, a
radical or a bond between unknown partners is about one neighbour away. It depends on positions
alone, not on weights, and costs little beside the network.

Everything here can be compiled by TorchScript and depends on nothing but torch.
"""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from collections.abc import Sequence

import torch
from ase.data import covalent_radii

from ...basis import solid_harmonics

#: Where neighbours are counted, x, and the width of the Gaussians.
_PLACES, _WIDTH = tuple(0.1 * k for k in range(5, 17)), 0.07

#: End of the counts, end of bonds, and how smooth both are, x.
_LAST, _LAST_WIDTH = 1.5, 0.03
_BONDED, _BONDED_WIDTH = 1.3, 0.06

#: Highest l of the directions of bonds, their weight, and that of the species of neighbours.
_L_MAX = 6
_ANGLE_WEIGHT, _SPECIES_WEIGHT = 2.0, 0.7


class Surroundings(torch.nn.Module):
    """Numbers that describe the bonds of atoms.

    Parameters
    ----------
    species
        Atomic numbers, in the order of the model's species.
    """

    radii: torch.Tensor
    hydrogen: torch.Tensor
    places: torch.Tensor
    lengths: torch.Tensor

    def __init__(self, species: Sequence[int]) -> None:
        super().__init__()
        self.n_species = len(species)
        self.n_places = len(_PLACES)
        self.width = _WIDTH
        self.last, self.last_width = _LAST, _LAST_WIDTH
        self.bonded, self.bonded_width = _BONDED, _BONDED_WIDTH
        self.l_max = _L_MAX
        self.species_weight = _SPECIES_WEIGHT
        #: Numbers an atom.
        self.size = 2 * self.n_places + self.l_max + self.n_species
        numbers = list(species)
        radii = torch.tensor([float(covalent_radii[z]) for z in numbers], dtype=torch.float64)
        self.register_buffer("radii", radii)
        self.register_buffer("hydrogen", torch.tensor([float(z == 1) for z in numbers]).double())
        self.register_buffer("places", torch.tensor(_PLACES, dtype=torch.float64))
        lengths = [_ANGLE_WEIGHT * (4 * torch.pi / (2 * l + 1)) ** 0.5 for l in range(_L_MAX + 1)]
        self.register_buffer("lengths", torch.tensor(lengths, dtype=torch.float64))

    def forward(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Numbers of each atom, (n_atoms, size), and how bonded each pair is, (n_pairs,).

        The parameters are those of :class:`~ase_rholearn.model.network.DensityNetwork`.
        """
        n_atoms = species.shape[0]
        r = torch.linalg.vector_norm(vectors, dim=1)
        x = r / (self.radii[species[centers]] + self.radii[species[neighbors]])
        bonds = torch.sigmoid((self.bonded - x) / self.bonded_width)

        counts = torch.exp(-0.5 * ((x.unsqueeze(1) - self.places) / self.width).square())
        counts = counts * torch.sigmoid((self.last - x) / self.last_width).unsqueeze(1)
        hydrogen = self.hydrogen[species[neighbors]].unsqueeze(1)
        counts = torch.cat([counts * hydrogen, counts * (1.0 - hydrogen)], dim=1)
        kinds = torch.nn.functional.one_hot(species[neighbors], self.n_species).to(r.dtype)
        kinds = self.species_weight * kinds * bonds.unsqueeze(1)
        directions = solid_harmonics(vectors / r.unsqueeze(1), self.l_max) * bonds.unsqueeze(1)

        summed = counts.new_zeros((n_atoms, 2 * self.n_places)).index_add(0, centers, counts)
        kinds = kinds.new_zeros((n_atoms, self.n_species)).index_add(0, centers, kinds)
        directions = directions.new_zeros((n_atoms, directions.shape[1])).index_add(
            0, centers, directions
        )
        parts = [summed]
        for l in range(1, self.l_max + 1):
            part = directions[:, l * l : (l + 1) * (l + 1)]
            length = torch.linalg.vector_norm(part, dim=1, keepdim=True)
            parts.append(length * self.lengths[l])
        parts.append(kinds)
        return torch.cat(parts, dim=1), bonds


def farthest_points(numbers: torch.Tensor, count: int) -> torch.Tensor:
    """Rows that cover all others well: at most ``count`` of (n, size), the next always farthest.

    >>> farthest_points(torch.tensor([[0.0], [0.1], [5.0], [5.1]]), 2).flatten().tolist()
    [0.0, 5.099999904632568]
    """
    if len(numbers) == 0:
        return numbers
    chosen = [0]
    distances = torch.linalg.vector_norm(numbers - numbers[0], dim=1)
    while len(chosen) < count and bool(distances.max() > 0):
        chosen.append(int(distances.argmax()))
        step = torch.linalg.vector_norm(numbers - numbers[chosen[-1]], dim=1)
        distances = torch.minimum(distances, step)
    return numbers[chosen]
