"""Energies from the expansion that the density is predicted from: a sum over atoms.

E = sum_i E_z + w_z . (f(x_i) - f(x_z)), where z is the species of atom i, x_i the expansion of
its surroundings and x_z that of a lone atom: an atom without neighbours has the energy E_z,
exactly. The features f are invariants, shared by all species: channels of the expansion's l = 0
part, which make pair energies; scalar products of two channels of each l, which make three-body
energies; and cosines of random or learned projections of these (A. Rahimi and B. Recht, Adv.
Neural Inf. Process. Syst. 20, 1177 (2007)). The energy has continuous forces, and nothing beyond
the cutoff changes it. What no training structure tells, that nuclei repel each other, may be added
as a pair potential, see :mod:`ase_rholearn.model.repulsion`.

Everything here can be compiled by TorchScript and depends on nothing but torch.
"""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .network import Expansion
from .repulsion import NuclearRepulsion


@dataclass(frozen=True)
class EnergyOptions:
    """Architecture of the energy.

    Attributes
    ----------
    pairs
        Channels of the l = 0 part.
    products
        Scalar products of channels, for each l.
    gates
        Cosines of projections of all these.
    """

    pairs: int = 64
    products: int = 64
    gates: int = 256

    def __post_init__(self) -> None:
        if min(self.pairs, self.products, self.gates) < 0 or self.pairs + self.products == 0:
            raise ValueError(
                f"pairs is {self.pairs}, products {self.products} and gates {self.gates}: give 0 "
                "or more of each, and some pairs or products"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "EnergyOptions":
        """The inverse of :meth:`to_dict`."""
        return cls(**data)


class EnergyHead(torch.nn.Module):
    """Energies of atoms of several species.

    Parameters
    ----------
    expansion
        The one that its input comes from; the head keeps no reference to it.
    options
        Architecture.
    repulsion
        Pair potential that comes on top of what is learned; left out: none.
    """

    lone: torch.Tensor

    def __init__(
        self,
        expansion: Expansion,
        options: EnergyOptions,
        repulsion: NuclearRepulsion | None = None,
    ) -> None:
        super().__init__()
        self.repulsion = repulsion
        self.l_max = expansion.l_max
        n_in, n_species = expansion.size, expansion.n_species
        self.n_invariants = options.pairs + (self.l_max + 1) * options.products
        n_features = self.n_invariants + options.gates
        self.pairs = _weights(n_in, options.pairs)
        #: the two channels of each product: [l, q, product]
        self.first = _weights(self.l_max + 1, n_in, options.products)
        self.second = _weights(self.l_max + 1, n_in, options.products)
        self.frequencies = _weights(self.n_invariants, options.gates)
        self.phase = _weights(options.gates)
        self.weight = _weights(n_species, n_features)
        #: energies of lone atoms, eV
        self.baseline = _weights(n_species)
        lm_size = (self.l_max + 1) ** 2
        lone = expansion.self_contribution(torch.arange(n_species), lm_size)
        self.register_buffer("lone", lone.to(torch.float64))

    def forward(self, expansion: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
        """Energies of atoms, without the repulsion.

        Parameters
        ----------
        expansion
            Around the atoms: (n_atoms, (l_max + 1)^2, n_in).
        species
            Their species indices: (n_atoms,).

        Returns
        -------
        torch.Tensor
            eV: (n_atoms,).
        """
        features = self.features(expansion) - self.features(self.lone)[species]
        return (features * self.weight[species]).sum(dim=1) + self.baseline[species]

    def repel(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
    ) -> torch.Tensor:
        """The repulsion's part of the energies, eV: (n_atoms,); zero where there is none."""
        if self.repulsion is None:
            return torch.zeros(species.shape[0], dtype=vectors.dtype, device=vectors.device)
        total: torch.Tensor = self.repulsion(species, centers, neighbors, vectors)
        return total

    def features(self, expansion: torch.Tensor) -> torch.Tensor:
        """Invariants, and cosines of their projections: (n_atoms, n_features)."""
        invariants = self.invariants(expansion)
        waves = torch.cos(torch.matmul(invariants, self.frequencies) + self.phase)
        return torch.cat([invariants, waves], dim=1)

    def invariants(self, expansion: torch.Tensor) -> torch.Tensor:
        """Channels of l = 0, then products of each l: (n_atoms, n_invariants)."""
        parts = [torch.matmul(expansion[:, 0], self.pairs)]
        for l in range(self.l_max + 1):
            part = expansion[:, l * l : (l + 1) * (l + 1)]
            first = torch.matmul(part, self.first[l])
            parts.append((first * torch.matmul(part, self.second[l])).sum(dim=1))
        return torch.cat(parts, dim=1)


def _weights(*shape: int) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
