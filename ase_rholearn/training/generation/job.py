"""The job behind ``ase-rholearn generate``: from options to a data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...references.pyscf import PySCF
from ...structures import check_atoms, read_structures
from ..data import DataSet
from .generate import Progress, generate

if TYPE_CHECKING:
    from ..options import GenerateOptions


def generate_from_options(
    options: GenerateOptions, *, on_progress: Callable[[Progress], None] | None = None
) -> Progress:
    """:func:`generate` for the options of a file: reads the structures, makes the data set."""
    structures = read_structures(options.structures)
    for index, atoms in enumerate(structures):
        check_atoms(atoms, argument=f"frame {index} of {options.structures}")
    species = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    level = options.kohn_sham.settings()
    code = PySCF(options.basis.build(species, options.kohn_sham), level, options.keep_orbitals)
    dataset = DataSet.create(options.dataset, code.basis, code.settings())
    return generate(
        structures,
        dataset,
        code,
        options.workers.workers(),
        timeout=options.timeout,
        retry=options.retry,
        on_progress=on_progress,
    )
