r"""How far atoms are from those of a training set, by their radial surroundings.

Each atom has Gaussian-smeared counts of its neighbours, per species and shell,

.. math:: g_{Z k} = \sum_{j \in Z} \exp(-(r_j - r_k)^2 / 2 s^2) f_c(r_j),

the radial symmetry functions of J. Behler and M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007).
The distance of an atom is that to the nearest atom of its species in the training set, in
neighbours (root of the sum of squares); that of a structure is the mean over its atoms. It
knows nothing of angles or of the model, and serves to order structures.

The distances of :mod:`ase_rholearn.model.uncertainty.surroundings` serve to find bonds that a model
does not know. They see nothing beyond bonds, and of molecules that lie about each other in other
ways, as in clusters of water, they say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree
from vesin import NeighborList

#: Radii r_k of the shells: number and first, Angstrom.
_SHELLS, _FIRST = 8, 0.8


def training_distances(
    structures: Iterable[Atoms], training: Iterable[Atoms], cutoff: float
) -> list[float]:
    """Mean distance of each structure's atoms from the training set's, in neighbours.

    Infinite for a structure with a species that no training structure has.

    Parameters
    ----------
    structures, training
        The two sets.
    cutoff
        Radius of the surroundings, Angstrom; usually the model's.
    """
    structures, training = list(structures), list(training)
    species = sorted({int(z) for atoms in (*structures, *training) for z in atoms.numbers})
    known: dict[int, list[np.ndarray]] = {}
    for atoms in training:
        features = surroundings(atoms, species, cutoff)
        for z in set(atoms.numbers.tolist()):
            known.setdefault(z, []).append(features[atoms.numbers == z])
    trees = {z: cKDTree(np.concatenate(parts)) for z, parts in known.items()}
    return [_distance(atoms, surroundings(atoms, species, cutoff), trees) for atoms in structures]


def surroundings(atoms: Atoms, species: Sequence[int], cutoff: float) -> np.ndarray:
    """Smeared counts of neighbours: (n_atoms, n_species * shells).

    Parameters
    ----------
    atoms
        A structure of these species.
    species
        Atomic numbers, sorted.
    cutoff
        Angstrom.
    """
    cell = np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)
    neighbors = NeighborList(cutoff=cutoff, full_list=True)
    pairs, r = neighbors.compute(atoms.positions, cell, atoms.pbc, "Pd")
    pairs = pairs.reshape(-1, 2).astype(np.int64)
    centres = np.linspace(_FIRST, cutoff, _SHELLS + 1)[:-1]
    width = centres[1] - centres[0] if cutoff > _FIRST else cutoff
    smooth = 0.5 * (1 + np.cos(np.pi * r / cutoff))
    values = np.exp(-((r[:, None] - centres) ** 2) / (2 * width**2)) * smooth[:, None]
    counts = np.zeros((len(atoms), len(species), _SHELLS))
    kinds = np.searchsorted(species, atoms.numbers[pairs[:, 1]])
    np.add.at(counts, (pairs[:, 0], kinds), values)
    return counts.reshape(len(atoms), -1)


def _distance(atoms: Atoms, features: np.ndarray, trees: dict[int, cKDTree]) -> float:
    if not set(atoms.numbers.tolist()) <= trees.keys():
        return float("inf")
    nearest = [tree.query(features[atoms.numbers == z])[0] for z, tree in trees.items()]
    return float(np.concatenate(nearest).mean())
