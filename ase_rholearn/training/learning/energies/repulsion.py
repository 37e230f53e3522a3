"""What data cannot tell about atoms that come close: an onset of repulsion, and contacts.

No training structure has atoms as near as dynamics may bring them, and what is learned from bonds
pulls everything together, as valence is not known to it. Two things keep atoms apart:

1. The energy has a screened repulsion of nuclei. For each pair of species it begins at the least
   distance in the training set, so that it is zero in all training structures, and at latest
   below bonds, as those of species that no training structure has bonded are not known.
2. Contacts: two training structures, turned at random and pressed together, whose energy is that
   of both and of the screened repulsion between them. They are trained on as further structures.
   Their weight is little: it need only outweigh the ridge term where there are no data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from ase import Atoms
from ase.data import covalent_radii
from ase.data.vdw_alvarez import vdw_radii
from scipy.spatial.transform import Rotation

from ....model.energy import EnergyHead
from ....model.repulsion import NuclearRepulsion
from ....references.reference import Reference
from .samples import EnergySample

Name = TypeVar("Name")

#: Distance of the nearest atoms of a contact, relative to the sum of their van der Waals radii.
_NEAREST = (0.35, 0.6)

#: Where the repulsion between them ends, likewise; hydrogen bonds are hardly longer.
_TOUCHING = 0.75

#: Part of the sum of two covalent radii that bonds are hardly ever shorter than (triple bonds of
#: the second period have 0.75 to 0.8).
_BOND = 0.8

#: How far off each other's centre two structures meet, relative to the extent of the first one.
_OFFSET = 0.5

#: Radius of elements without a known one, Angstrom.
_UNKNOWN_RADIUS = 2.0

#: Steps by which structures are brought together, Angstrom.
_STEP = 0.02


def repulsion_onset(
    samples: Sequence[EnergySample], numbers: Sequence[int], cutoff: float
) -> torch.Tensor:
    """Distances from which on there is no repulsion, Angstrom: (n_species, n_species).

    Parameters
    ----------
    samples
        The training part.
    numbers
        Atomic numbers of the species.
    cutoff
        Of the pairs, Angstrom.
    """
    radii = torch.from_numpy(covalent_radii[list(numbers)])
    bonds = (_BOND * (radii[:, None] + radii)).clamp(max=cutoff)
    return torch.minimum(least_distances(samples, len(numbers), cutoff), bonds)


def least_distances(samples: Sequence[EnergySample], n_species: int, cutoff: float) -> torch.Tensor:
    """Least distance of each pair of species, Angstrom: (n_species, n_species).

    Those of pairs that never come within the cutoff are the cutoff.
    """
    least = torch.full((n_species * n_species,), cutoff, dtype=torch.float64)
    for sample in samples:
        first, second = sample.species[sample.centers], sample.species[sample.neighbors]
        r = torch.linalg.vector_norm(sample.vectors, dim=1)
        least.scatter_reduce_(0, first * n_species + second, r, "amin")
    return least.reshape(n_species, n_species)


def repulsion_forces(head: EnergyHead, sample: EnergySample) -> tuple[torch.Tensor, torch.Tensor]:
    """The repulsion's part of energies (n_structures,), eV, and forces (n_atoms, 3), eV/Angstrom.

    It does not depend on any weight.
    """
    energies, forces = torch.zeros_like(sample.energies), torch.zeros_like(sample.forces)
    if head.repulsion is None:
        return energies, forces
    with torch.enable_grad():
        vectors = sample.vectors.detach().requires_grad_()
        atoms = head.repel(sample.species, sample.centers, sample.neighbors, vectors)
        (slopes,) = torch.autograd.grad(atoms.sum(), vectors)
    forces = forces.index_add(0, sample.centers, slopes)
    forces = forces.index_add(0, sample.neighbors, -slopes)
    return energies.index_add(0, sample.systems, atoms.detach()), forces


# contacts ---------------------------------------------------------------------------------


def make_contacts(
    load: Callable[[Name], Reference], names: Sequence[Name], count: int, seed: int = 0
) -> list[Reference]:
    """Pairs of structures in contact.

    Parameters
    ----------
    load
        Gives the structure of a name.
    names
        Of the structures to draw from; periodic ones and those without an energy do not count.
    count
        Number of contacts.
    seed
        Of all that is drawn.

    Returns
    -------
    list of Reference
        With energies, and forces where both structures have some; fewer than `count` where
        what was drawn cannot be used.
    """
    if not len(names):
        return []
    random = np.random.default_rng(seed)
    drawn = random.integers(len(names), size=(count, 2))
    made = []
    for first, second in drawn.tolist():
        pair = load(names[first]), load(names[second])
        if all(r.energy is not None and not r.atoms.pbc.any() for r in pair):
            made.append(_contact(_turned(pair[0], random), _turned(pair[1], random), random))
    return made


def _turned(reference: Reference, random: np.random.Generator) -> Reference:
    """Turned at random about its centre, which comes to the origin."""
    turn = Rotation.random(rng=random)
    positions = reference.atoms.positions
    atoms = Atoms(reference.atoms.numbers, turn.apply(positions - positions.mean(axis=0)))
    forces = None if reference.forces is None else turn.apply(reference.forces)
    return Reference(atoms, np.zeros(0), {}, energy=reference.energy, forces=forces)


def _contact(first: Reference, second: Reference, random: np.random.Generator) -> Reference:
    """The second brought to the first, and the energy and forces of both and between them."""
    radii = _radii(first.atoms), _radii(second.atoms)
    sums = radii[0][:, None] + radii[1]
    shift = _meeting(first.atoms.positions, second.atoms.positions, sums, random)
    second.atoms.translate(shift)
    energy, forces = _between(first.atoms, second.atoms)
    assert first.energy is not None
    assert second.energy is not None
    total = None
    if first.forces is not None and second.forces is not None:
        total = np.concatenate([first.forces, second.forces]) + forces
    return Reference(
        first.atoms + second.atoms,
        np.zeros(0),
        {},
        energy=first.energy + second.energy + energy,
        forces=total,
    )


def _meeting(
    first: np.ndarray, second: np.ndarray, sums: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """How far the second moves, along z, until its nearest atom is as near as drawn: (3,)."""
    nearest = random.uniform(*_NEAREST)
    extent = np.abs(first).max(initial=1.0)
    offset = _OFFSET * extent * random.uniform(-1, 1, size=2)
    start = np.ptp(first[:, 2]) + np.ptp(second[:, 2]) + sums.max()
    shift = np.array([*offset, start])
    while shift[2] > 0:
        distances = np.linalg.norm(first[:, None] - (second + shift), axis=2)
        if (distances / sums).min() < nearest:
            break
        shift[2] -= _STEP
    return shift


def _between(first: Atoms, second: Atoms) -> tuple[float, np.ndarray]:
    """Screened repulsion of the atoms of one and of the other: energy and forces."""
    numbers = np.unique(np.concatenate([first.numbers, second.numbers]))
    radii = _radii(Atoms(numbers))
    onset = _TOUCHING * torch.from_numpy(radii[:, None] + radii)
    repulsion = NuclearRepulsion(numbers.tolist(), onset)
    species = [torch.from_numpy(np.searchsorted(numbers, a.numbers)) for a in (first, second)]
    positions = [torch.from_numpy(a.positions).requires_grad_() for a in (first, second)]
    r = torch.linalg.vector_norm(positions[0][:, None] - positions[1], dim=2)
    energy = repulsion.pairs(species[0][:, None], species[1], r).sum()
    slopes = torch.autograd.grad(energy, positions)
    return float(energy.detach()), -torch.cat(slopes).numpy()


def _radii(atoms: Atoms) -> np.ndarray:
    """Van der Waals radii (S. Alvarez, Dalton Trans. 42, 8617 (2013)), Angstrom."""
    return np.nan_to_num(vdw_radii[atoms.numbers], nan=_UNKNOWN_RADIUS)
