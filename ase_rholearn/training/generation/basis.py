"""The auxiliary basis of a job: for the species of its structures and of its data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ase import Atoms
from ase.data import chemical_symbols

from ...basis import Basis, agree
from ..data.dataset import read_description

if TYPE_CHECKING:
    from ..options import BasisOptions, KohnShamOptions


def basis_of_job(
    options: BasisOptions, level: KohnShamOptions, structures: Iterable[Atoms], dataset: Path
) -> Basis:
    """The basis of the options for all species of a job.

    The basis is part of each reference's id, so that a data set keeps the species that it was
    made with: the options may name more than the structures have, for those that come later.
    Where the options build the basis of the data set but for the rounding of another processor,
    it is that of the data set.

    Raises
    ------
    ValueError
        The data set that is in the folder lacks a species.
    """
    species = {symbol for atoms in structures for symbol in atoms.symbols}
    if not (dataset / "dataset.json").exists():
        return options.build(sorted(species | set(options.species)), level)
    existing = read_description(dataset)[0]
    known = {chemical_symbols[z] for z in existing.species}
    if new := species - known:
        raise ValueError(
            f"{dataset} has a basis for {', '.join(sorted(known))}, the structures have "
            f"{', '.join(sorted(new))} too: choose another folder, and name all species that "
            "may come later in basis.species"
        )
    built = options.build(sorted(known), level)
    return existing if agree(existing, built) else built
