"""Copies of structures with random displacements and strain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ...bonds import close_pairs
from ...structures import check_atoms
from .checks import check_count, check_number
from .failure import SamplingError

#: Draws for a copy before giving up.
_DRAWS = 200


@dataclass(frozen=True)
class Rattle:
    """How structures are rattled.

    Attributes
    ----------
    copies
        Copies of each structure.
    stdev
        Standard deviation of each Cartesian displacement, Angstrom.
    closest
        Copies with two atoms nearer than this fraction of the sum of their covalent radii are
        drawn again.
    strain
        Standard deviation of the components of the symmetric strain of the cell; for the
        periodic directions of periodic structures, molecules have none.
    original
        Keep the structure itself too, before its copies.
    """

    copies: int = 1
    stdev: float = 0.05
    closest: float = 0.75
    strain: float = 0.0
    original: bool = False

    def __post_init__(self) -> None:
        check_count("copies", self.copies)
        check_number("stdev", self.stdev, "Angstrom", least=0, most=1)
        check_number("closest", self.closest, "of the covalent radii", least=0, most=1)
        check_number("strain", self.strain, "no unit", least=0, most=0.2)
        if self.stdev == 0 and self.strain == 0:
            raise ValueError("stdev and strain are 0, all copies would be equal: raise one of them")


def rattle(
    atoms: Atoms, plan: Rattle | None = None, seed: int | np.random.SeedSequence = 0
) -> list[Atoms]:
    """Copies with Gaussian displacements.

    Constraints of the structure hold. ``info["source"]`` of the copies is ``"rattling"``.

    Parameters
    ----------
    atoms
        The structure.
    plan
        How; left out: the defaults.
    seed
        Of the draw. The first copies do not depend on how many follow.

    Raises
    ------
    SamplingError
        Atoms of the structure, or of all that was drawn, are too close.

    Examples
    --------
    >>> from ase.build import molecule
    >>> copies = rattle(molecule("H2O"), Rattle(copies=3), seed=1)
    >>> len(copies), copies[0].info
    (3, {'source': 'rattling'})
    """
    plan = plan or Rattle()
    check_atoms(atoms)
    if pair := _too_close(atoms, plan.closest):
        raise SamplingError(
            f"atoms {pair[0]} and {pair[1]} are nearer than closest = {plan.closest:g} times the "
            "sum of their covalent radii before any displacement: relax the structure, or lower "
            "closest"
        )
    random = np.random.default_rng(seed)
    kept = [atoms.copy()] if plan.original else []
    return kept + [_copy(atoms, plan, random) for _ in range(plan.copies)]


def _copy(atoms: Atoms, plan: Rattle, random: np.random.Generator) -> Atoms:
    for _ in range(_DRAWS):
        copy = _drawn(atoms, plan, random)
        if not _too_close(copy, plan.closest):
            copy.info["source"] = "rattling"
            return copy
    raise SamplingError(
        f"{_DRAWS} draws gave atoms nearer than closest = {plan.closest:g} times the sum of their "
        f"covalent radii: lower stdev ({plan.stdev:g}), strain ({plan.strain:g}) or closest"
    )


def _drawn(atoms: Atoms, plan: Rattle, random: np.random.Generator) -> Atoms:
    copy = atoms.copy()
    # drawn also where it has no effect, so that displacements do not depend on the strain
    strain = _symmetric(random.normal(size=(3, 3))) * plan.strain
    displacements = random.normal(size=(len(atoms), 3)) * plan.stdev
    if plan.strain and atoms.pbc.any():
        inside = _projector(atoms.cell.array[atoms.pbc])
        deformation = np.eye(3) + inside @ strain @ inside
        copy.cell = atoms.cell.array @ deformation
        copy.positions = atoms.positions @ deformation
    copy.set_positions(copy.positions + displacements)
    return copy


def _symmetric(components: np.ndarray) -> np.ndarray:
    """Independent components of unit variance, above the diagonal and below it the same."""
    return np.triu(components) + np.triu(components, 1).T


def _projector(vectors: np.ndarray) -> np.ndarray:
    """Projector onto the space that the rows span, (3, 3)."""
    rows = np.linalg.qr(vectors.T)[0]
    return rows @ rows.T


def _too_close(atoms: Atoms, closest: float) -> tuple[int, int] | None:
    if closest == 0:
        return None
    pairs = close_pairs(atoms, closest)
    if len(pairs.i) == 0:
        return None
    worst = int(pairs.ratios.argmin())
    return int(pairs.i[worst]), int(pairs.j[worst])
