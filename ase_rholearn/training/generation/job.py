"""The job behind ``ase-rholearn generate``: from options to a data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from ase import Atoms

from ...basis import Basis
from ...files import atomic_write
from ...references import ReferenceCode
from ...references.pyscf import PySCF
from ...structure_files import iterate_structures
from ...structures import check_atoms
from ..data import DataSet
from .basis import basis_of_job
from .corrected import CorrectedPredictions
from .generate import generate
from .progress import Progress

if TYPE_CHECKING:
    from ..options import GenerateOptions

OnProgress = Callable[[Progress], None]


def generate_from_options(
    options: GenerateOptions,
    *,
    say: Callable[[str], None] = lambda text: None,
    on_sampling: OnProgress | None = None,
    on_progress: OnProgress | None = None,
) -> Progress:
    """:func:`generate` for the options of a file.

    Reads the structures, samples more of them if that is wanted, and makes the data set.

    Parameters
    ----------
    options
        The options.
    say
        Called with a line of text if sampling failed for some inputs.
    on_sampling, on_progress
        Called after every input that is sampled, and after every structure.
    """
    structures = _given(options)
    if options.sampling is not None:
        structures = _sampled(options, structures, say, on_sampling)
    basis = basis_of_job(options.basis, options.kohn_sham, structures, options.dataset)
    code = _code(options, basis)
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


def _code(options: GenerateOptions, basis: Basis) -> ReferenceCode:
    """What makes the references."""
    level = options.kohn_sham.settings()
    if options.model is not None:
        return CorrectedPredictions(
            basis, options.model, level, keep_orbitals=options.keep_orbitals
        )
    return PySCF(basis, level, keep_orbitals=options.keep_orbitals, max_memory=options.max_memory)


def _given(options: GenerateOptions) -> list[Atoms]:
    """The structures of the options' file, each of them sound."""
    if options.structures is None:
        return []
    structures = list(iterate_structures(options.structures))
    for index, atoms in enumerate(structures):
        check_atoms(atoms, argument=f"frame {index} of {options.structures}")
    return structures


def _sampled(
    options: GenerateOptions,
    structures: list[Atoms],
    say: Callable[[str], None],
    on_progress: OnProgress | None,
) -> list[Atoms]:
    """What sampling makes of structures and SMILES; failures are listed in the data set."""
    from ..sampling import read_smiles
    from .sampled import sampled_structures

    assert options.sampling is not None
    smiles = [] if options.smiles is None else read_smiles(options.smiles)
    found, failures = sampled_structures(
        [*structures, *smiles],
        options.sampling.plan(),
        options.sampling.seed,
        options.dataset / "sampled",
        options.workers.workers(),
        timeout=options.timeout,
        on_progress=on_progress,
    )
    listed = options.dataset / "sampling-failures.jsonl"
    with atomic_write(listed, "w") as stream:
        for failure in failures:
            stream.write(json.dumps({"name": failure.name, "reason": failure.reason}) + "\n")
    if not found:
        raise ValueError(f"sampling gave no structure at all: see {listed}")
    if failures:
        say(f"{len(found)} structures sampled, {len(failures)} failures: see {listed.name}")
    return found
