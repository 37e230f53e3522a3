"""Repulsion of nuclei that come close: the universal screened Coulomb potential.

Two nuclei repel each other as

    V(r) = Z Z' e^2 / r  sum_k c_k exp(-b_k r / a),   a = 0.8854 a_0 / (Z^0.23 + Z'^0.23)

(J. F. Ziegler, J. P. Biersack and U. Littmark, The Stopping and Range of Ions in Solids,
Pergamon, 1985). V is multiplied by a polynomial that falls from 1 at half of a distance to 0 at
that distance, of each pair of species, and whose first two derivatives vanish at both ends.

Everything here can be compiled by TorchScript and depends on nothing but torch.
"""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from collections.abc import Sequence

import torch
from ase import units

#: c_k and b_k of the screening.
_FACTORS = (0.18175, 0.50986, 0.28022, 0.02817)
_EXPONENTS = (3.19980, 0.94229, 0.40290, 0.20162)

#: 0.8854 a_0, and the power of the charges in the screening length.
_LENGTH, _POWER = 0.8854 * units.Bohr, 0.23

#: e^2 / (4 pi epsilon_0), eV Angstrom.
_COULOMB = units.Hartree * units.Bohr

#: Part of the onset below which the repulsion is whole.
_WHOLE = 0.5


class NuclearRepulsion(torch.nn.Module):
    """Screened repulsion of atoms that are nearer than an onset.

    Parameters
    ----------
    numbers
        Atomic numbers of the species.
    onset
        Distance from which on there is none, for each pair of species; symmetric and positive,
        at most the cutoff of the pairs that it will see: (n_species, n_species) Angstrom.

    Examples
    --------
    Two oxygen atoms, at a distance and at their onset:

    >>> repulsion = NuclearRepulsion([8], torch.tensor([[3.0]]))
    >>> oxygen = torch.tensor([0, 0])
    >>> [f"{v:.2f} eV" for v in repulsion.pairs(oxygen, oxygen, torch.tensor([1.0, 3.0])).tolist()]
    ['23.30 eV', '0.00 eV']
    """

    charges: torch.Tensor
    onset: torch.Tensor
    factors: torch.Tensor
    exponents: torch.Tensor

    def __init__(self, numbers: Sequence[int], onset: torch.Tensor) -> None:
        super().__init__()
        n_species = len(numbers)
        if onset.shape != (n_species, n_species) or not bool((onset > 0).all()):
            raise ValueError(
                f"onset is {onset.tolist()}: give a positive distance for each pair of the "
                f"{n_species} species"
            )
        self.register_buffer("charges", torch.tensor(numbers, dtype=torch.float64))
        self.register_buffer("onset", onset.to(torch.float64))
        self.register_buffer("factors", torch.tensor(_FACTORS, dtype=torch.float64))
        self.register_buffer("exponents", torch.tensor(_EXPONENTS, dtype=torch.float64))
        self.coulomb, self.length, self.power, self.whole = _COULOMB, _LENGTH, _POWER, _WHOLE

    def forward(
        self,
        species: torch.Tensor,
        centers: torch.Tensor,
        neighbors: torch.Tensor,
        vectors: torch.Tensor,
    ) -> torch.Tensor:
        """Energies of atoms: half of that of each of their pairs.

        Parameters
        ----------
        species
            Species index of every atom: (n_atoms,).
        centers, neighbors
            Pairs in both directions: (n_pairs,) each.
        vectors
            From centre to neighbour, Angstrom: (n_pairs, 3).

        Returns
        -------
        torch.Tensor
            eV: (n_atoms,).
        """
        r = torch.linalg.vector_norm(vectors, dim=1)
        energies = self.pairs(species[centers], species[neighbors], r)
        total = torch.zeros(species.shape[0], dtype=r.dtype, device=r.device)
        return total.index_add(0, centers, 0.5 * energies)

    def pairs(self, first: torch.Tensor, second: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        """Energies of pairs of species at distances r (Angstrom), eV: the shape of r."""
        z, other = self.charges[first], self.charges[second]
        x = r / self.length * (z**self.power + other**self.power)
        screening = (self.factors * torch.exp(-self.exponents * x.unsqueeze(-1))).sum(dim=-1)
        onset = self.onset[first, second]
        t = ((r / onset - self.whole) / (1.0 - self.whole)).clamp(0.0, 1.0)
        switch = 1.0 - t * t * t * (10.0 + t * (6.0 * t - 15.0))
        return self.coulomb * z * other / r * screening * switch
