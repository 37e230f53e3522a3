"""Candidates for new references, and the choice among them.

The error that a model expects of a structure, relative to its electrons, says how much a
reference of it would tell. The next of the same molecule tells less: molecules take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from ...files import atomic_write
from ...model import DensityModel
from ..learning.loss import electrons_of

#: Structures that are predicted together.
_BATCH = 8


@dataclass(frozen=True)
class Candidate:
    """A structure and what the model expects of it.

    Attributes
    ----------
    atoms
        The structure.
    expected_percent
        Expected NMAE against a fitted density, %: expected errors of all atoms over electrons.
    extrapolation
        Largest distance of an atom's bonds from those of the training set, over its limit.
    """

    atoms: Atoms
    expected_percent: float
    extrapolation: float


def candidates(
    model: DensityModel,
    structures: Iterable[Atoms],
    on_progress: Callable[[int], None] | None = None,
) -> list[Candidate]:
    """What a model expects of structures.

    Parameters
    ----------
    model
        One that knows its uncertainty.
    structures
        With species that the model knows.
    on_progress
        Called with the number of structures done.

    Raises
    ------
    ValueError
        The model does not know its uncertainty, or a structure is not one that it can predict;
        the message has its number.
    """
    found: list[Candidate] = []
    remaining = iter(structures)
    while batch := list(islice(remaining, _BATCH)):
        for index, atoms in enumerate(batch, len(found)):
            model.check(atoms, argument=f"structures[{index}]")
        for atoms, known in zip(batch, model.uncertainty(batch), strict=True):
            expected = 100 * float(known.errors.sum()) / electrons_of(model.basis, atoms)
            found.append(Candidate(atoms, expected, float(known.extrapolation.max())))
        if on_progress:
            on_progress(len(found))
    return found


def select(
    found: Sequence[Candidate], count: int, *, group: str | None = None, argument: str = "group"
) -> list[Candidate]:
    """Those with the largest expected errors, largest first.

    Parameters
    ----------
    found
        Of :func:`candidates`.
    count
        How many; fewer if there are not so many.
    group
        Entry of ``atoms.info``, such as ``"smiles"``: the second structure of a group comes
        after the first of all groups, and so on. Left out: of each formula.
    argument
        The name that error messages use for ``group``.

    Raises
    ------
    ValueError
        ``count`` is less than 1, or a structure has no such entry.

    Examples
    --------
    >>> from ase.build import molecule
    >>> names, errors = ["H2O", "H2O", "CH4", "NH3"], [3.0, 2.0, 1.0, 0.5]
    >>> found = [Candidate(molecule(n), e, 0.1) for n, e in zip(names, errors)]
    >>> [c.expected_percent for c in select(found, 3)]
    [3.0, 1.0, 0.5]
    """
    if count < 1:
        raise ValueError(f"count is {count}: give 1 or more")
    ranked = sorted(found, key=lambda one: -one.expected_percent)
    seen: dict[str, int] = {}
    turns = []
    for candidate in ranked:
        name = group_of(candidate.atoms, group, argument)
        seen[name] = seen.get(name, 0) + 1
        turns.append(seen[name])
    order = np.argsort(turns, kind="stable")[:count]
    return [ranked[int(k)] for k in order]


def group_of(atoms: Atoms, group: str | None, argument: str = "group") -> str:
    """What structures take turns by, see :func:`select`: an entry of ``info``, or the formula."""
    if group is None:
        return str(atoms.get_chemical_formula())
    formula = atoms.get_chemical_formula()
    if group not in atoms.info:
        raise ValueError(
            f"{argument} is {group!r}, but atoms.info of {formula} has no such entry: give one "
            "that all structures have, or leave it out"
        )
    return str(atoms.info[group])


def write_selected(path: Path, chosen: Sequence[Candidate]) -> None:
    """Write structures as extended xyz, with ``expected_percent`` and ``extrapolation``.

    The file appears complete or not at all. It has no calculators, whose results other levels
    of theory would not share.
    """
    copies = []
    for candidate in chosen:
        atoms = candidate.atoms.copy()
        atoms.info["expected_percent"] = candidate.expected_percent
        atoms.info["extrapolation"] = candidate.extrapolation
        copies.append(atoms)
    with atomic_write(path, "w") as stream:
        write(stream, copies, format="extxyz")
