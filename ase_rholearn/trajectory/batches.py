"""Densities of many structures, a batch of them at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ase import Atoms

from ..density import Density
from ..model import DensityModel

#: Atoms that are predicted together: with fewer the network waits for its own overhead, and
#: with more little is gained (benchmarks/trajectory_batches.py).
BATCH_ATOMS = 64

#: Structures outside of what a model knows that are named in warnings.
NAMED = 5


def batches(structures: Iterable[Atoms], batch_atoms: int = BATCH_ATOMS) -> Iterator[list[Atoms]]:
    """Structures in groups of at most so many atoms, or of one structure.

    >>> from ase import Atoms
    >>> [len(group) for group in batches([Atoms("H2")] * 5, batch_atoms=4)]
    [2, 2, 1]
    """
    if batch_atoms < 1:
        raise ValueError(f"batch_atoms is {batch_atoms}: give 1 or more")
    group: list[Atoms] = []
    size = 0
    for atoms in structures:
        if group and size + len(atoms) > batch_atoms:
            yield group
            group, size = [], 0
        group.append(atoms)
        size += len(atoms)
    if group:
        yield group


def densities(
    model: DensityModel, structures: Iterable[Atoms], *, batch_atoms: int = BATCH_ATOMS
) -> Iterator[Density]:
    """The density of each structure, predicted in batches.

    Structures are taken as they are needed: no more than one batch is in memory.

    Parameters
    ----------
    model
        Predicts the coefficients.
    structures
        Any number, even without end.
    batch_atoms
        How many atoms are predicted together, if a structure does not have more.
    """
    alarm = model.alarm(NAMED)
    for group in batches(structures, batch_atoms):
        alarm.look(group)
        for atoms, coefficients in zip(group, model.coefficients(group), strict=True):
            yield Density(atoms, model.basis, coefficients)
