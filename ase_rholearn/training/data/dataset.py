"""A data set on disk: one folder of references that share a basis and a level of theory.

    folder/dataset.json          basis and settings
    folder/shards/<hash>.npz     many references each, immutable (see the module ``shard``)
    folder/references/<id>.npz   references that came in since the last packing, one each
    folder/failures.jsonl        structures that gave no reference, with the reason

The id of a reference is made from its structure and settings, so that nothing is there
twice, and a job that is started again finds what is done. A reference is either whole on
disk or absent, and packing moves it without a moment at which it is in neither place: a kill
at any time loses nothing. Any number of processes may read while one writes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ase import Atoms
from filelock import FileLock, Timeout

from ...basis import Basis
from ...files import append_json, atomic_write
from ...references import Reference, reference_id, settings_with_basis
from .shard import Record, Shard, notes_of, size_of, to_record, write_shard

_SCHEMA_VERSION = 1

#: Bytes of a shard, about: small enough for any mail or repository, and few thousand
#: structures each.
SHARD_SIZE = 32 * 2**20

#: Structures that are read from shards before the pages are given back to the system. Each
#: read maps its neighbourhood too, some 100 kB.
_RELEASE_AFTER = 64

#: Seconds after which a file that is being written is taken for what a kill left.
_LEFTOVER_AGE = 3600.0


class DataSet:
    """References that share a basis and a level of theory.

    Attributes
    ----------
    folder : pathlib.Path
    basis : Basis
    settings : dict
        As in each :class:`~ase_rholearn.references.Reference`, with the basis's fingerprint.
    """

    def __init__(self, folder: Path, basis: Basis, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.basis = basis
        self.settings = dict(settings)
        self._shards: dict[str, Shard] = {}
        self._rows: dict[str, tuple[Shard, int]] = {}
        self._read = 0
        self._lock = FileLock(folder / ".lock")
        self._map_shards()

    def __reduce__(self) -> tuple[Any, ...]:
        # maps of files cannot be sent to other processes
        return DataSet.open, (self.folder,)

    # opening -----------------------------------------------------------------------

    @classmethod
    def create(
        cls, folder: str | os.PathLike[str], basis: Basis, settings: Mapping[str, Any]
    ) -> DataSet:
        """A new data set, or the one that is in the folder if basis and settings are the same.

        Raises
        ------
        ValueError
            The folder holds a data set of another basis or other settings.
        """
        folder = Path(folder)
        complete = _plain(settings_with_basis(settings, basis))
        if (folder / "dataset.json").exists():
            existing = cls.open(folder)
            if existing.settings != complete:
                raise ValueError(
                    f"{folder} holds a data set with other settings "
                    f"({difference(existing.settings, complete)}): choose another folder, or "
                    "remove it"
                )
            return existing
        (folder / "references").mkdir(parents=True, exist_ok=True)
        header = {"schema": _SCHEMA_VERSION, "settings": complete, "basis": basis.to_dict()}
        with atomic_write(folder / "dataset.json", "w") as stream:
            json.dump(header, stream, indent=1)
        return cls(folder, basis, complete)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> DataSet:
        """An existing data set.

        Raises
        ------
        FileNotFoundError, ValueError
            There is none in the folder, or its description or a shard is damaged.
        """
        folder = Path(folder)
        return cls(folder, *read_description(folder))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other processes from writing into the data set; may be nested.

        Raises
        ------
        RuntimeError
            Another process does.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(
                f"another process writes into {self.folder}: wait for it or stop it, or give "
                "each job its own data set and merge them"
            ) from error
        try:
            self._map_shards()
            yield
        finally:
            self._lock.release()

    # reading -----------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name in self._rows or self.path(name).exists():
            return True
        self._map_shards()
        return name in self._rows

    def __iter__(self) -> Iterator[Reference]:
        return (self.load(name) for name in self.ids)

    @property
    def ids(self) -> list[str]:
        """Names of the references, sorted."""
        unpacked = self.unpacked  # first: packing moves them into shards
        self._map_shards()
        return sorted(self._rows.keys() | unpacked)

    @property
    def unpacked(self) -> set[str]:
        """Names of the references that are in files of their own."""
        return {path.stem for path in (self.folder / "references").glob("*.npz")}

    @property
    def shards(self) -> list[Shard]:
        """The shards, in the order of their names."""
        return [self._shards[name] for name in sorted(self._shards)]

    def path(self, name: str) -> Path:
        """The file of a reference that is not packed."""
        return self.folder / "references" / f"{name}.npz"

    def id_of(self, atoms: Atoms) -> str:
        """The id that a structure has (or would have) in this data set."""
        return reference_id(atoms, self.settings)

    def select(self, ids: Iterable[str]) -> set[str]:
        """The same ids, all of which must be there.

        Raises
        ------
        ValueError
            One is not; the message names it.
        """
        selected = set(ids)
        missing = sorted(selected.difference(self.ids))
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(selected)} ids are not in {self.folder}, the first is "
                f"{missing[0]!r}"
            )
        return selected

    def load(self, name: str) -> Reference:
        """One reference, checked against settings and basis.

        Raises
        ------
        KeyError, ValueError
            There is none of this name, or it is damaged, or it belongs elsewhere.
        """
        if name not in self._rows:
            reference = self._load_file(name)
            if reference is not None:
                return reference
            # another process may have packed it in the meantime
            self._map_shards()
        if name not in self._rows:
            raise KeyError(f"{self.folder} has no reference {name}")
        shard, row = self._rows[name]
        reference = shard.load(row)
        self._count_reading()
        self.basis.check_coefficients(
            reference.atoms.numbers, reference.coefficients, argument=f"{name} in {shard.path}"
        )
        return reference

    def notes(self, name: str) -> dict[str, Any]:
        """``atoms.info``, convergence, fit and provenance of a reference, quickly."""
        if name not in self._rows:
            return notes_of(self.load(name))
        shard, row = self._rows[name]
        return shard.notes(row)

    def records(
        self, names: Container[str] | None = None, *, verify: bool = True
    ) -> Iterator[tuple[str, Record]]:
        """Ids and arrays, as shards hold them, in the order of the disk.

        Parameters
        ----------
        names
            Leave out all others.
        verify
            Compare with the checksums.

        Raises
        ------
        ValueError
            A reference is damaged.
        """
        unpacked = self.unpacked  # first: packing moves them into shards
        self._map_shards()
        for shard in self.shards:
            for row, name in enumerate(shard.ids):
                # one that is in two shards counts once
                if self._rows[name] != (shard, row) or not (names is None or name in names):
                    continue
                if verify:
                    self._verify(name)
                yield name, shard.record(row)
            shard.release()
        for name in sorted(unpacked - self._rows.keys()):
            if names is None or name in names:
                yield name, to_record(self.load(name))

    # writing -----------------------------------------------------------------------

    def add(self, reference: Reference) -> None:
        """Store a reference; one that has not converged is refused."""
        self.check(reference)
        if reference.id not in self._rows:
            self.path(reference.id).parent.mkdir(exist_ok=True)
            reference.save(self.path(reference.id))

    def extend(self, references: Iterable[Reference]) -> int:
        """Store many references as shards at once; those that are there are left out.

        Returns
        -------
        int
            How many are new.
        """

        def checked() -> Iterator[tuple[str, Record]]:
            for reference in references:
                self.check(reference)
                yield reference.id, to_record(reference)

        return self.extend_records(checked())

    def extend_records(self, records: Iterable[tuple[str, Record]]) -> int:
        """The same for references that another data set of these settings has checked."""
        with self.writing():
            known = self._rows.keys() | self.unpacked
            return self._write_shards(_unknown(records, known))

    def pack(self) -> None:
        """Move the references that have files of their own into shards.

        Raises
        ------
        RuntimeError, ValueError
            Another process writes into the data set, or a file is damaged; it stays.
        """
        with self.writing():
            names = sorted(self.unpacked)
            new = (name for name in names if name not in self._rows)
            self._write_shards((name, to_record(self.load(name))) for name in new)
            for name in names:
                self._verify(name)
            for name in names:
                self.path(name).unlink(missing_ok=True)
            self._remove_leftovers()

    def check(self, reference: Reference) -> None:
        """Raise a ValueError if a reference may not enter this data set."""
        formula = reference.atoms.get_chemical_formula()
        if reference.converged is not True:
            raise ValueError(
                f"the reference of {formula} is not known to have converged: only converged "
                "ones enter a data set; give converged=True if you know that it had"
            )
        if _plain(reference.settings) != self.settings:
            raise ValueError(
                f"the reference of {formula} was made with other settings or another basis than "
                f"the data set ({difference(self.settings, reference.settings)}): refit it, or "
                "use another data set"
            )
        self.basis.check_coefficients(reference.atoms.numbers, reference.coefficients)

    def report_failure(self, atoms: Atoms, reason: str) -> None:
        """Note a structure that gave no reference."""
        entry = {
            "id": self.id_of(atoms),
            "formula": atoms.get_chemical_formula(),
            "reason": reason,
        }
        append_json(self.folder / "failures.jsonl", entry)

    def failures(self) -> dict[str, dict[str, str]]:
        """The last failure of each structure that has no reference, by id."""
        last = {entry["id"]: entry for entry in read_failures(self.folder) if entry is not None}
        done = set(self.ids) if last else set()
        return {name: entry for name, entry in last.items() if name not in done}

    # internals ---------------------------------------------------------------------

    def _map_shards(self) -> None:
        """Open the shards that are not open yet."""
        folder = self.folder / "shards"
        found = {name for name in os.listdir(folder) if is_shard(name)} if folder.is_dir() else ()
        for name in sorted(found - self._shards.keys()) if found else ():
            shard = Shard(folder / name)
            if shard.settings != self.settings:
                raise ValueError(
                    f"{shard.path} was made with other settings or another basis than the data "
                    f"set ({difference(self.settings, shard.settings)}): remove it"
                )
            self._shards[name] = shard
            for row, reference in enumerate(shard.ids):
                self._rows.setdefault(reference, (shard, row))

    def _load_file(self, name: str) -> Reference | None:
        """A reference that has a file of its own; None if it has none (any more)."""
        path = self.path(name)
        try:
            reference = Reference.load(path)
        except (FileNotFoundError, ValueError):
            if path.exists():
                raise
            return None
        if _plain(reference.settings) != self.settings:
            raise ValueError(
                f"{path} was made with other settings or another basis than the data set "
                f"({difference(self.settings, reference.settings)}): remove it"
            )
        if reference.id != name:
            raise ValueError(
                f"{path} holds the reference {reference.id}: rename it to that, or remove it"
            )
        self.basis.check_coefficients(
            reference.atoms.numbers, reference.coefficients, argument=str(path)
        )
        return reference

    def _verify(self, name: str) -> None:
        shard, row = self._rows[name]
        if not shard.is_whole(row):
            raise ValueError(
                f"{shard.path}: structure {name} is damaged: run ase-rholearn data check, and "
                "generate the structures of this shard again or copy it anew"
            )

    def _count_reading(self) -> None:
        """Now and then, give pages back, so that memory does not grow to the size of the set."""
        self._read += 1
        if self._read % _RELEASE_AFTER == 0:
            for shard in self._shards.values():
                shard.release()

    def _write_shards(self, records: Iterable[tuple[str, Record]]) -> int:
        total = 0
        for batch in _batches(records):
            folder = self.folder / "shards"
            folder.mkdir(exist_ok=True)
            write_shard(folder, self.settings, batch)
            total += len(batch)
        self._map_shards()
        return total

    def _remove_leftovers(self) -> None:
        """Remove what killed processes left of files that they were writing."""
        for part in ("references", "shards"):
            for path in (self.folder / part).glob(".*.npz.*.tmp"):
                with suppress(OSError):  # another has removed it
                    if time.time() - path.stat().st_mtime > _LEFTOVER_AGE:
                        path.unlink()


def is_shard(name: str) -> bool:
    """Whether a file of this name is a shard, and not one that is being written."""
    return name.endswith(".npz") and not name.startswith(".")


def read_description(folder: Path) -> tuple[Basis, dict[str, Any]]:
    """Basis and settings of the data set in a folder."""
    path = folder / "dataset.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} holds no data set (dataset.json is missing): generate one first"
        )
    try:
        header = json.loads(path.read_text())
        schema = header["schema"]
        if schema == _SCHEMA_VERSION:
            basis, settings = Basis.from_dict(header["basis"]), dict(header["settings"])
            if settings_with_basis(settings, basis) != settings:
                raise ValueError("the basis is not the one of the settings")
            return basis, settings
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {error}): generate the data set again"
        ) from error
    raise ValueError(
        f"{path} has schema {schema!r}, this version reads {_SCHEMA_VERSION}: "
        "update ase_rholearn, or generate the data set again"
    )


def read_failures(folder: Path) -> Iterator[dict[str, str] | None]:
    """The lines of ``failures.jsonl``; None for one that is damaged."""
    path = folder / "failures.jsonl"
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            whole = {"id", "formula", "reason"} <= entry.keys()
        except (ValueError, AttributeError):
            whole = False
        yield entry if whole else None


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """The settings in which two mappings differ, with their values.

    >>> difference({"xc": "PBE", "fit": {"metric": "overlap"}}, {"xc": "LDA", "fit": {}})
    "fit.metric: 'overlap' and nothing; xc: 'PBE' and 'LDA'"
    """
    flat_first, flat_second = dict(flatten(first)), dict(flatten(second))
    found = []
    for key in sorted({*flat_first, *flat_second}):
        values = [
            repr(flat[key]) if key in flat else "nothing" for flat in (flat_first, flat_second)
        ]
        if values[0] != values[1]:
            found.append(f"{key}: {values[0]} and {values[1]}")
    return "; ".join(found)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Entries of nested mappings, their keys joined by dots.

    >>> list(flatten({"fit": {"metric": "overlap"}}))
    [('fit.metric', 'overlap')]
    """
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As they come back from a file."""
    return dict(json.loads(json.dumps(settings)))


def _unknown(
    records: Iterable[tuple[str, Record]], known: Container[str]
) -> Iterator[tuple[str, Record]]:
    """Those whose name is not known, each once."""
    seen: set[str] = set()
    for name, record in records:
        if name not in known and name not in seen:
            seen.add(name)
            yield name, record


def _batches(records: Iterable[tuple[str, Record]]) -> Iterator[list[tuple[str, Record]]]:
    """Groups of about the size of a shard."""
    batch: list[tuple[str, Record]] = []
    size = 0
    for name, record in records:
        batch.append((name, record))
        size += size_of(record)
        if size >= SHARD_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
