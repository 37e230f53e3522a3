"""Directories of fits of FHI-aims become a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...aims import RIFit
from ...aims.output import AimsOutput
from ...aims.ri_files import Channel
from ...basis import Basis
from ...references import ACTIVE_ATOMS, Reference
from ..data import DataSet
from .product_basis import ProductBasis, check_counts, species_counts
from .sources import Source, sources_of

Report = Callable[[], None]

#: What a bad directory may raise.
_BAD = (ValueError, OSError)


@dataclass(frozen=True)
class Collected:
    """What became of some directories.

    Attributes
    ----------
    dataset
        The data set.
    added
        References that it did not have.
    failed
        Directories that gave none, and why.
    """

    dataset: DataSet
    added: int
    failed: Mapping[Path, str] = field(default_factory=dict)


def collect(
    directories: Sequence[str | os.PathLike[str]],
    dataset: str | os.PathLike[str],
    *,
    structures: Sequence[Atoms] | None = None,
    settings: Mapping[str, Any] | None = None,
    version: str | int | None = None,
    channel: Channel = "total",
    basis: Basis | None = None,
    free_atoms: Sequence[str | os.PathLike[str]] = (),
    on_progress: Report | None = None,
) -> Collected:
    """Bring fits on FHI-aims' product basis into a data set, which may be there already.

    Parameters
    ----------
    directories
        One a structure: of a run with ``ri_density_restart write`` and ``ri_full_output``, or
        with rholearn's ``ri_coeffs.npz`` (and ``ri_projs.npz``, ``ri_ovlp.npz``). That their
        densities are converged is left to whoever collects them.
    dataset
        Folder of the data set.
    structures
        In the order of the directories, where these have no ``geometry.in``. The entries of
        ``info`` are kept, such as the indices of atoms that the loss counts.
    settings
        Level of theory: plain data, the same for all of a data set.
    version
        Of FHI-aims, for runs whose output is not there; processed files need none.
    channel
        Which density of spin-polarised runs.
    basis
        With the same functions as the runs: of another data set, so that both can be merged, or
        with radial functions. Left out: that of the data set that is there; else one is made,
        with the overlaps of radial functions from the matrices, and mean atoms.
    free_atoms
        Directories whose atoms are the mean atoms of a new basis, such as runs of isolated
        atoms; left out, all structures are.
    on_progress
        Called after each directory.

    Returns
    -------
    Collected
        Directories that cannot be used are in it, with the reason; the others are in the
        data set.

    Raises
    ------
    ValueError
        No directory can be used, or settings or functions are not those of the data set.
    """
    sources = sources_of([Path(d) for d in directories], structures, version, channel)
    failed: dict[Path, str] = {}
    folder = Path(dataset)
    if basis is None and (folder / "dataset.json").exists():
        basis = DataSet.open(folder).basis
    if basis is None:
        alone = [Source(Path(d), None, version, channel) for d in free_atoms]
        basis = _new_basis(sources, alone, failed)
    complete = {"code": "FHI-aims", "metric": "overlap", **(settings or {})}
    if channel != "total":
        complete["channel"] = channel
    opened = DataSet.create(folder, basis, complete)
    added = opened.extend(_references(sources, opened, failed, on_progress or (lambda: None)))
    if len(failed) == len(sources):
        raise _nothing(failed)
    for atoms, reason in _failures(sources, failed):
        opened.report_failure(atoms, reason)
    return Collected(opened, added, failed)


def _new_basis(
    sources: Sequence[Source], alone: Sequence[Source], failed: dict[Path, str]
) -> Basis:
    """The basis of all sources that can be used; mean atoms are those of ``alone``, if any."""
    found = ProductBasis()
    for source in alone:
        atoms = source.structure()
        found.add(atoms, source.fit(atoms))
    for source in sources:
        try:
            atoms = source.structure()
            found.add(atoms, source.fit(atoms), means=not alone)
        except _BAD as error:
            failed[source.folder] = str(error)
    if len(failed) == len(sources):
        raise _nothing(failed)
    return found.build("FHI-aims product basis")


def _nothing(failed: Mapping[Path, str]) -> ValueError:
    first, reason = next(iter(failed.items()))
    return ValueError(f"none of {len(failed)} directories can be used; {first}: {reason}")


def _references(
    sources: Iterable[Source], dataset: DataSet, failed: dict[Path, str], report: Report
) -> Iterator[Reference]:
    """References that the data set has not yet, and why others cannot be made."""
    for source in sources:
        try:
            atoms = source.structure()
            if source.folder not in failed and dataset.id_of(atoms) not in dataset:
                yield _reference(source, atoms, dataset)
        except _BAD as error:
            failed[source.folder] = str(error)
        report()


def _reference(source: Source, atoms: Atoms, dataset: DataSet) -> Reference:
    fit = source.fit(atoms)
    check_counts(dataset.basis, species_counts(atoms, fit))
    reference = reference_of(fit, atoms, dataset, source.folder)
    reference = _with_energy(reference, source.self_consistent())
    dataset.check(reference)
    return reference


def reference_of(fit: RIFit, atoms: Atoms, dataset: DataSet, folder: Path) -> Reference:
    """A fit as a reference of a data set; functions that masked atoms lack are refilled with zeros.

    Parameters
    ----------
    fit
        Of the structure.
    atoms
        The structure.
    dataset
        Its basis and settings become those of the reference.
    folder
        Where the fit comes from.
    """
    basis = dataset.basis
    atoms = atoms.copy()
    active = [atom for atom, counts in enumerate(fit.basis.counts) if counts]
    if len(active) < len(atoms):
        atoms.info[ACTIVE_ATOMS] = active
    size = basis.size(atoms.numbers)
    rows = np.flatnonzero(np.isin(basis.layout(atoms.numbers).atom, active))
    figures = {}
    if fit.overlap is not None and fit.projections is not None:
        figures["residual"] = fit.residual()
    return Reference(
        atoms=atoms,
        coefficients=_refilled(fit.coefficients, rows, size),
        settings=dataset.settings,
        converged=True,
        projections=None if fit.projections is None else _refilled(fit.projections, rows, size),
        overlap=None if fit.overlap is None else _triangle(fit.overlap, rows, size),
        fit=figures,
        provenance={"directory": folder.name, "version": fit.version},
    )


def _with_energy(reference: Reference, output: AimsOutput | None) -> Reference:
    """The same with energy and forces of a self-consistent run, if there was one."""
    if output is None:
        return reference
    # forces are the gradient of the free energy
    with_forces = output.forces is not None and output.free_energy is not None
    energy = output.free_energy if with_forces else output.total_energy
    return replace(reference, energy=energy, forces=output.forces)


def _refilled(values: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    full = np.zeros(size)
    full[rows] = values
    return full


def _triangle(matrix: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Upper triangle, row by row, of a matrix refilled with zeros."""
    if len(rows) < size:
        full = np.zeros((size, size))
        full[np.ix_(rows, rows)] = matrix
        matrix = full
    return np.concatenate([row[start:] for start, row in enumerate(matrix)])


def _failures(sources: Sequence[Source], failed: Mapping[Path, str]) -> Iterator[tuple[Atoms, str]]:
    """Structures without a reference, as far as they are known."""
    for source in sources:
        if source.folder in failed:
            try:
                yield source.structure(), failed[source.folder]
            except _BAD:
                continue
