"""Energies and forces of structures as their training sees them, independent of weights.

The expansion around an atom changes with the vectors to its neighbours. The slopes of what each
neighbour adds are kept, so that forces need no more passes through the expansion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.autograd.forward_ad as forward_mode

from ....basis import Basis
from ....model.network import Expansion
from ....references.reference import Reference
from ....torchscript import quiet_torchscript
from ..neighbors import neighbors_of


@dataclass(frozen=True)
class EnergySample:
    """One structure, or several joined.

    Attributes
    ----------
    species
        Species index of every atom: (n_atoms,).
    systems
        Structure that each atom belongs to: (n_atoms,).
    expansion
        (n_atoms, (l_max + 1)^2, n_in).
    centers, neighbors
        Pairs within the cutoff, both directions: (n_pairs,) each.
    vectors
        From centre to neighbour, Angstrom: (n_pairs, 3).
    slopes
        Derivatives of what a neighbour adds to its species' channels of the centre's expansion,
        per Angstrom of each direction; single precision: (n_pairs, (l_max + 1)^2, n_radial, 3).
    energies
        eV: (n_structures,).
    forces
        eV/Angstrom: (n_atoms, 3); NaN where there are none.
    weights
        How much each structure counts in training: (n_structures,).
    """

    species: torch.Tensor
    systems: torch.Tensor
    expansion: torch.Tensor
    centers: torch.Tensor
    neighbors: torch.Tensor
    vectors: torch.Tensor
    slopes: torch.Tensor
    energies: torch.Tensor
    forces: torch.Tensor
    weights: torch.Tensor

    @property
    def counts(self) -> torch.Tensor:
        """Atoms of each structure: (n_structures,)."""
        return torch.bincount(self.systems, minlength=len(self.energies))

    def composition(self, n_species: int) -> torch.Tensor:
        """Atoms of each species: (n_structures, n_species), double precision."""
        total = torch.zeros((len(self.energies), n_species), dtype=torch.float64)
        return total.index_put((self.systems, self.species), torch.ones(()).double(), True)

    @classmethod
    def join(cls, samples: Sequence[EnergySample]) -> EnergySample:
        """Several as one."""
        atoms = _starts([len(s.species) for s in samples])
        systems = _starts([len(s.energies) for s in samples])
        shifted = list(zip(samples, atoms, systems, strict=True))
        return cls(
            species=torch.cat([s.species for s in samples]),
            systems=torch.cat([s.systems + start for s, _, start in shifted]),
            expansion=torch.cat([s.expansion for s in samples]),
            centers=torch.cat([s.centers + start for s, start, _ in shifted]),
            neighbors=torch.cat([s.neighbors + start for s, start, _ in shifted]),
            vectors=torch.cat([s.vectors for s in samples]),
            slopes=torch.cat([s.slopes for s in samples]),
            energies=torch.cat([s.energies for s in samples]),
            forces=torch.cat([s.forces for s in samples]),
            weights=torch.cat([s.weights for s in samples]),
        )


def prepare_energies(
    references: Iterable[Reference], expansion: Expansion, basis: Basis, weight: float = 1.0
) -> list[EnergySample]:
    """Samples of the references that have an energy.

    Parameters
    ----------
    references
        With energies, and forces where there are some; those without an energy are left out.
    expansion
        Of the network.
    basis
        Its species are those of the expansion.
    weight
        How much each structure counts in training.
    """
    return [_sample(r, expansion, basis, weight) for r in references if r.energy is not None]


def _sample(
    reference: Reference, expansion: Expansion, basis: Basis, weight: float
) -> EnergySample:
    atoms = reference.atoms
    found = neighbors_of(basis, atoms, expansion.table.cutoff)
    species, centers, neighbors, vectors = found
    forces = torch.full((len(atoms), 3), torch.nan, dtype=torch.float64)
    if reference.forces is not None:
        forces = torch.from_numpy(reference.forces).to(torch.float64)
    with torch.no_grad():
        values = expansion(*found)
        slopes = pair_slopes(expansion, species[neighbors], vectors)
    return EnergySample(
        species=species,
        systems=torch.zeros_like(species),
        expansion=values,
        centers=centers,
        neighbors=neighbors,
        vectors=vectors,
        slopes=slopes.to(torch.float32),
        energies=torch.tensor([reference.energy], dtype=torch.float64),
        forces=forces,
        weights=torch.tensor([weight], dtype=torch.float64),
    )


def pair_slopes(expansion: Expansion, species: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Derivatives of what neighbours add, see :class:`EnergySample`.

    Parameters
    ----------
    expansion
        Of the network.
    species
        Species index of each neighbour: (n_pairs,).
    vectors
        From centre to neighbour, Angstrom: (n_pairs, 3).
    """
    alone = torch.arange(len(vectors))  # each pair as a centre with a single neighbour
    channels = species[:, None] * expansion.n_radial + torch.arange(expansion.n_radial)
    slopes = []
    for axis in range(3):
        direction = torch.zeros_like(vectors)
        direction[:, axis] = 1.0
        with quiet_torchscript(), forward_mode.dual_level():  # torch scripts its own rules
            moved = forward_mode.make_dual(vectors, direction)
            slope = forward_mode.unpack_dual(expansion(species, alone, alone, moved)).tangent
        if slope is None:  # no pairs at all
            slope = vectors.new_zeros((len(vectors), (expansion.l_max + 1) ** 2, expansion.size))
        index = channels[:, None, :].expand(-1, slope.shape[1], -1)
        slopes.append(slope.gather(2, index))
    return torch.stack(slopes, dim=3)


def _starts(sizes: Sequence[int]) -> list[int]:
    """Where each of several parts begins."""
    return [sum(sizes[:index]) for index in range(len(sizes))]
