"""The job behind ``ase-rholearn fit``: from finished calculations to a data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ase import Atoms

from ...basis import Basis
from ...files import atomic_write
from ...references import Reference
from ..data import DataSet
from ..data.dataset import difference, read_description
from ..generation import Progress
from ..generation.basis import basis_of_job
from ..generation.fill import Item, fill
from ..options import FitOptions, KohnShamOptions
from .grids import GridFile, GridStatement
from .sources import Source, Statement, find_sources

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class _Found:
    """What a look into the sources gave: structures and settings, and what cannot be read."""

    atoms: dict[Source, Atoms]
    settings: dict[str, Any]
    unreadable: dict[Source, str]


def fit_from_options(
    options: FitOptions,
    workers: Executor | None = None,
    *,
    on_reading: OnProgress | None = None,
    on_progress: OnProgress | None = None,
) -> Progress:
    """Fit every finished calculation that the data set does not have yet.

    Started again, it goes on where it was interrupted. What fails is listed in
    ``failures.jsonl`` of the data set with the name of its file; the others go on.

    Parameters
    ----------
    options
        The options.
    workers
        An executor that is open, instead of that of the options.
    on_reading, on_progress
        Called after every source that was looked into, and after every fit.

    Raises
    ------
    ValueError, FileNotFoundError
        No source can be read, they do not belong into one data set, or the data set is
        another one.
    RuntimeError
        Another process writes into the data set, or the executor broke down.
    """
    statement = options.statement()
    sources = find_sources(options.sources)
    _check_convergence(sources, statement)
    found = _look(sources, statement, on_reading or (lambda progress: None))
    dataset = DataSet.create(options.dataset, _basis(options, found, statement), found.settings)
    with dataset.writing():
        _list_unreadable(dataset, found)
        unreadable, report = len(found.unreadable), on_progress or (lambda progress: None)

        def with_unreadable(progress: Progress) -> Progress:
            failed, total = progress.failed + unreadable, progress.total + unreadable
            return replace(progress, failed=failed, total=total)

        end = fill(
            dataset,
            (_item(s, atoms, dataset.basis, statement) for s, atoms in found.atoms.items()),
            workers or options.workers.workers(),
            timeout=options.timeout,
            retry=options.retry,
            on_progress=lambda progress: report(with_unreadable(progress)),
        )
        return with_unreadable(end)


def _item(source: Source, atoms: Atoms, basis: Basis, statement: Statement) -> Item:
    return Item(atoms, _fitted, (source, basis, statement), source.name)


def _fitted(source: Source, basis: Basis, statement: Statement) -> Reference:
    return source.fit(basis, statement)


def _check_convergence(sources: Sequence[Source], statement: Statement) -> None:
    silent = [source for source in sources if not source.records_convergence]
    if silent and not statement.converged:
        raise ValueError(
            f"{silent[0].name} does not record whether its run had converged, and only converged "
            "ones enter a data set: state `converged: true` if you know that all of them had"
        )


def _look(sources: Sequence[Source], statement: Statement, report: OnProgress) -> _Found:
    """Read all sources, without any fit."""
    atoms: dict[Source, Atoms] = {}
    unreadable: dict[Source, str] = {}
    settings: dict[str, Any] | None = None
    first = ""
    for source in sources:
        try:
            atoms[source], own = source.describe(statement)
        except (ValueError, OSError, KeyError) as error:
            unreadable[source] = f"{type(error).__name__}: {error}"
        else:
            if settings is None:
                settings, first = own, source.name
            if own != settings:
                raise ValueError(
                    f"{first} and {source.name} do not belong into one data set "
                    f"({difference(settings, own)}): state their kohn_sham if it is the same, or "
                    "fit them into data sets of their own"
                )
        report(Progress(len(atoms), len(unreadable), len(sources)))
    if settings is None:
        name, reason = next((s.name, r) for s, r in unreadable.items())
        raise ValueError(f"sources: none of {len(sources)} can be read; {name}: {reason}")
    return _Found(atoms, settings, unreadable)


def _basis(options: FitOptions, found: _Found, statement: Statement) -> Basis:
    """The basis of the options."""
    if statement.grid is not None:
        return _basis_of_grids(options.dataset, found, statement, statement.grid)
    level = options.kohn_sham
    if level is None:
        # the orbital basis gives the exponents their range, the functional the free atoms
        known_level = {k: found.settings[k] for k in ("xc", "orbital_basis") if k in found.settings}
        level = KohnShamOptions(**known_level)
    return basis_of_job(options.basis, level, found.atoms.values(), options.dataset)


def _basis_of_grids(
    folder: Path, found: _Found, statement: Statement, grid: GridStatement
) -> Basis:
    """A basis that all grids carry; a data set keeps the one that it has."""
    if (folder / "dataset.json").exists():
        return read_description(folder)[0]
    sources = [source for source in found.atoms if isinstance(source, GridFile)]
    return grid.basis(source.outline(statement) for source in sources)


def _list_unreadable(dataset: DataSet, found: _Found) -> None:
    """List them in failures.jsonl, and no longer those that earlier runs could not read."""
    path = dataset.folder / "failures.jsonl"
    names = {source.name for source in (*found.atoms, *found.unreadable)}
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    kept = [line for line in lines if _failed_name(line) not in names]
    new = [
        json.dumps({"id": source.name, "formula": "", "reason": _with_name(source, reason)})
        for source, reason in found.unreadable.items()
    ]
    if kept != lines or new:
        with atomic_write(path, "w") as stream:
            stream.writelines(f"{line}\n" for line in (*kept, *new))


def _failed_name(line: str) -> str | None:
    try:
        return str(json.loads(line)["id"])
    except (ValueError, KeyError, TypeError):  # the line that a kill cut short
        return None


def _with_name(source: Source, reason: str) -> str:
    return reason if source.name in reason else f"{source.name}: {reason}"
