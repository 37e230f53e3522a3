"""Finished calculations that can be fitted: what they are, and how each kind is read."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from ase import Atoms

from ...basis import Basis
from ...references import Reference
from ...references.pyscf import (
    KohnSham,
    Wavefunction,
    fit_wavefunction,
    read_checkpoint,
    read_molden,
    read_orbital_file,
    refit,
)
from ...references.pyscf.existing import refit_settings
from ...references.pyscf.projection import project, projected_settings
from ..data import DataSet
from .grids import GridFile, GridStatement


@dataclass(frozen=True)
class Statement:
    """What the user says about calculations whose files do not say it.

    Attributes
    ----------
    level
        Their level of theory, or None.
    converged
        They have converged.
    charge
        Total charge of the molecules of Molden files.
    keep_orbitals
        Keep the occupied orbitals beside the fit.
    grid
        What densities on grids are.
    """

    level: KohnSham | None = None
    converged: bool = False
    charge: int = 0
    keep_orbitals: bool = True
    grid: GridStatement | None = None


class Source(Protocol):
    """One finished calculation; it can be pickled and fitted in another process."""

    @property
    def name(self) -> str:
        """What messages and lists of failures call it."""

    @property
    def records_convergence(self) -> bool:
        """Whether it says itself that it has converged."""

    def describe(self, statement: Statement) -> tuple[Atoms, dict[str, Any]]:
        """Its structure and the settings of its reference, without those of the basis: quick."""

    def fit(self, basis: Basis, statement: Statement) -> Reference:
        """Its reference."""


@dataclass(frozen=True)
class WavefunctionFile:
    """A file of occupied orbitals.

    Attributes
    ----------
    path
        The file.
    read
        Its reader.
    """

    path: Path
    read: Callable[[Path, Statement], Wavefunction]

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def records_convergence(self) -> bool:
        """No file of orbitals does."""
        return False

    def describe(self, statement: Statement) -> tuple[Atoms, dict[str, Any]]:
        """Structure and settings."""
        wavefunction = self.read(self.path, statement)
        return wavefunction.atoms, wavefunction.settings(statement.level)

    def fit(self, basis: Basis, statement: Statement) -> Reference:
        """The fit of its orbitals."""
        return fit_wavefunction(
            self.read(self.path, statement),
            basis,
            level=statement.level,
            converged=statement.converged or None,
            keep_orbitals=statement.keep_orbitals,
        )


@dataclass(frozen=True)
class StoredReference:
    """A reference of a data set: its orbitals if it kept them, else its fit.

    Attributes
    ----------
    folder
        The data set.
    id
        The reference in it.
    """

    folder: Path
    id: str

    @property
    def name(self) -> str:
        """Data set and id."""
        return f"{self.folder}: {self.id}"

    @property
    def records_convergence(self) -> bool:
        """Data sets hold only what has converged."""
        return True

    def describe(self, statement: Statement) -> tuple[Atoms, dict[str, Any]]:
        """Structure and settings."""
        dataset = _opened(self.folder)
        reference = dataset.load(self.id)
        metric = None if statement.level is None else statement.level.metric
        level = refit_settings(dataset.settings, metric)
        if statement.level is not None and statement.level.to_dict() != level:
            raise ValueError(
                f"{self.folder} was made at another level of theory than kohn_sham says: leave "
                "kohn_sham out, the data set records it"
            )
        if reference.occupied_orbitals is None:
            level = projected_settings(dataset.settings, metric)
        return reference.atoms, level

    def fit(self, basis: Basis, statement: Statement) -> Reference:
        """A fit of another basis to the same orbitals, or to the fit."""
        dataset = _opened(self.folder)
        reference = dataset.load(self.id)
        metric = None if statement.level is None else statement.level.metric
        if reference.occupied_orbitals is None:
            return project(reference, dataset.basis, basis, metric=metric)
        return refit(reference, basis, metric=metric)


@dataclass(frozen=True)
class Format:
    """A kind of source.

    Attributes
    ----------
    title
        What messages call it.
    suffixes
        Endings of its files.
    signature
        What its files begin with, white space aside; empty if with anything.
    sources
        The calculations in a file.
    """

    title: str
    suffixes: tuple[str, ...]
    signature: bytes
    sources: Callable[[Path], Iterable[Source]]


def _read_checkpoint(path: Path, statement: Statement) -> Wavefunction:
    return read_checkpoint(path)


def _read_molden(path: Path, statement: Statement) -> Wavefunction:
    return read_molden(path, charge=statement.charge)


def _read_orbital_file(path: Path, statement: Statement) -> Wavefunction:
    if statement.level is None:
        raise ValueError(
            f"{path} does not name the basis of its orbitals: give kohn_sham with orbital_basis"
        )
    return read_orbital_file(path, statement.level.orbital_basis)


def _wavefunction(
    read: Callable[[Path, Statement], Wavefunction],
) -> Callable[[Path], Iterable[Source]]:
    return lambda path: [WavefunctionFile(path, read)]


def _grid(path: Path) -> Iterable[Source]:
    return [GridFile(path)]


#: Kinds of files; another one is another line.
FORMATS = (
    Format(
        "PySCF checkpoint",
        (".chk", ".chkfile", ".h5", ".hdf5"),
        b"\x89HDF\r\n\x1a\n",
        _wavefunction(_read_checkpoint),
    ),
    Format("Molden", (".molden", ".molden.input"), b"[Molden", _wavefunction(_read_molden)),
    Format("cube", (".cube", ".cub"), b"", _grid),
    Format("CHGCAR", ("chgcar", "chg", "chgcar_sum"), b"", _grid),
    Format("orbitals in npz", (".npz",), b"PK\x03\x04", _wavefunction(_read_orbital_file)),
)


def find_sources(patterns: Sequence[Path]) -> list[Source]:
    """The calculations that files, patterns and folders of data sets name, in this order.

    Raises
    ------
    ValueError, FileNotFoundError
        A pattern matches nothing, or a file has a format that is not known.
    """
    found: dict[str, Source] = {}
    for pattern in patterns:
        # a file may have a name with characters of patterns
        paths = [pattern] if pattern.exists() else _matching(pattern)
        for path in paths:
            found.update((source.name, source) for source in _sources_of(path))
    return list(found.values())


def _matching(pattern: Path) -> list[Path]:
    paths = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]
    if not paths:
        raise FileNotFoundError(f"sources: nothing matches {pattern}")
    return paths


def _sources_of(path: Path) -> Iterable[Source]:
    if path.is_dir():
        return _stored_references(path)
    return _format_of(path).sources(path)


def _stored_references(folder: Path) -> Iterator[Source]:
    if not (folder / "dataset.json").exists():
        raise ValueError(
            f"sources: the folder {folder} holds no data set (dataset.json is missing): for the "
            f"files in it, give a pattern such as {folder / '*.chk'}"
        )
    for name in _opened(folder).ids:
        yield StoredReference(folder, name)


def _format_of(path: Path) -> Format:
    """By content; where that says nothing, by the name, so that damaged files are named."""
    with path.open("rb") as stream:
        head = stream.read(256).lstrip()
    for kind in FORMATS:
        if kind.signature and head.lower().startswith(kind.signature.lower()):
            return kind
    for kind in FORMATS:
        if path.name.lower().endswith(kind.suffixes):
            return kind
    known = ", ".join(f"{kind.title} ({', '.join(kind.suffixes)})" for kind in FORMATS)
    raise ValueError(f"sources: {path} has a format that is not known: give {known}, or a data set")


@lru_cache(maxsize=8)
def _opened(folder: Path) -> DataSet:
    """One opening for all the references of a data set that this process fits."""
    return DataSet.open(folder)
