"""Energies from the expansion that the density is predicted from: a sum over atoms.

E = sum_i E_z + w_z . (f_z(x_i) - f_z(x_z)), where z is the species of atom i, x_i the expansion
of its surroundings and x_z that of a lone atom: an atom without neighbours has the energy E_z,
exactly. The features f are invariants of the expansion and cosines of their projections (A. Rahimi
and B. Recht, Adv. Neural Inf. Process. Syst. 20, 1177 (2007)), so that the energy has continuous
forces and takes nothing but E_z from atoms beyond the cutoff.

Everything here can be compiled by TorchScript and depends on nothing but torch.
"""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch

from .network import CoupledProduct, Expansion


@dataclass(frozen=True)
class EnergyOptions:
    """Architecture of the energy.

    Attributes
    ----------
    invariants
        Invariants of each atom's surroundings that its energy depends on.
    gates
        Cosines of their projections.
    """

    invariants: int = 64
    gates: int = 512

    def __post_init__(self) -> None:
        if self.invariants < 1 or self.gates < 0:
            raise ValueError(
                f"invariants is {self.invariants} and gates {self.gates}: give at least 1 and 0"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "EnergyOptions":
        """The inverse of :meth:`to_dict`."""
        return cls(**data)


class AtomicEnergy(torch.nn.Module):
    """Energy of atoms of one species, relative to a lone one.

    Parameters
    ----------
    l_max
        Highest l of the expansion.
    lone
        Expansion of an atom without neighbours: (1, (l_max + 1)^2, n_in).
    options
        Architecture.
    """

    lone: torch.Tensor

    def __init__(self, l_max: int, lone: torch.Tensor, options: EnergyOptions) -> None:
        super().__init__()
        size, waves = options.invariants, options.gates
        self.product = CoupledProduct(l_max, 0, lone.shape[2], size)
        self.frequencies = torch.nn.Parameter(torch.zeros((size, waves), dtype=torch.float64))
        self.phase = torch.nn.Parameter(torch.zeros(waves, dtype=torch.float64))
        self.weight = torch.nn.Parameter(torch.zeros(size + waves, dtype=torch.float64))
        self.register_buffer("lone", lone.to(torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """Energies in eV: (n_atoms,)."""
        return torch.matmul(self.features(expansion), self.weight)

    def features(self, expansion: torch.Tensor) -> torch.Tensor:
        """Invariants and cosines, minus those of a lone atom: (n_atoms, n_features)."""
        features = self.of_invariants(self.invariants(torch.cat([self.lone, expansion])))
        return features[1:] - features[:1]

    def invariants(self, expansion: torch.Tensor) -> torch.Tensor:
        """(n_atoms, n_invariants)."""
        return self.product(expansion).squeeze(1)

    def of_invariants(self, invariants: torch.Tensor) -> torch.Tensor:
        """Features of given invariants, those of a lone atom not subtracted."""
        waves = torch.cos(torch.matmul(invariants, self.frequencies) + self.phase)
        return torch.cat([invariants, waves], dim=1)


class EnergyHead(torch.nn.Module):
    """Energies of atoms of several species.

    Parameters
    ----------
    expansion
        The one that its input comes from; the head keeps no reference to it.
    options
        Architecture.
    """

    baseline: torch.Tensor

    def __init__(self, expansion: Expansion, options: EnergyOptions) -> None:
        super().__init__()
        lm_size = (expansion.l_max + 1) ** 2
        lone = expansion.self_contribution(torch.arange(expansion.n_species), lm_size)
        self.species = torch.nn.ModuleList(
            AtomicEnergy(expansion.l_max, one.unsqueeze(0), options) for one in lone
        )
        #: energies of lone atoms, eV: (n_species,)
        self.register_buffer("baseline", torch.zeros(len(lone), dtype=torch.float64))

    def forward(self, expansion: torch.Tensor, rows: list[torch.Tensor]) -> torch.Tensor:
        """Energies of the chosen atoms.

        Parameters
        ----------
        expansion
            Expansion around all atoms: (n_atoms, (l_max + 1)^2, n_in).
        rows
            For each species the atoms wanted.

        Returns
        -------
        torch.Tensor
            eV: (n_atoms,), zero for the others.
        """
        energies = expansion.new_zeros(expansion.shape[0])
        for k, network in enumerate(self.species):
            one = network(expansion[rows[k]]) + self.baseline[k]
            energies = energies.index_add(0, rows[k], one)
        return energies


def atomic_energies_of(head: EnergyHead) -> list[AtomicEnergy]:
    """The parts of each species, with their type."""
    return cast("list[AtomicEnergy]", list(head.species))
