"""A data set on disk: one folder of references that share a basis and a level of theory.

    folder/dataset.json          basis and settings
    folder/shards/<hash>.npz     many references each, immutable (see the module ``shard``)
    folder/references/<id>.npz   references that came in since the last packing, one each
    folder/failures.jsonl        structures that gave no reference, with the reason

The id of a reference is made from its structure and settings, so that nothing is there
twice, and a job that is started again finds what is done. A reference is either whole on
disk or absent, and packing moves it without a moment at which it is in neither place: a kill
at any time loses nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ase import Atoms
from filelock import FileLock, Timeout

from ...basis import Basis
from ...files import atomic_write
from ...references import Reference, reference_id, settings_with_basis
from .shard import Record, Shard, size_of, to_record, write_shard

_SCHEMA_VERSION = 1

#: Bytes of a shard, about: small enough for any mail or repository, and few thousand
#: structures each.
SHARD_SIZE = 32 * 2**20

#: Structures that are read from shards before the pages are given back to the system. Each
#: read maps its neighbourhood too, some 100 kB.
_RELEASE_AFTER = 64


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
        self._map_shards()

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
        complete = settings_with_basis(settings, basis)
        if (folder / "dataset.json").exists():
            existing = cls.open(folder)
            if existing.settings != complete:
                raise ValueError(
                    f"{folder} holds a data set with other settings "
                    f"({difference(existing.settings, complete)}): choose another folder, or "
                    "remove it"
                )
            return existing
        for part in ("references", "shards"):
            (folder / part).mkdir(parents=True, exist_ok=True)
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
        """Keep other processes from writing into the data set.

        Raises
        ------
        RuntimeError
            Another process does.
        """
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(
                f"another process writes into {self.folder}: wait for it or stop it, or give "
                "each job its own data set and merge them"
            ) from error
        try:
            yield
        finally:
            lock.release()

    # reading -----------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._rows or (isinstance(name, str) and self.path(name).exists())

    def __iter__(self) -> Iterator[Reference]:
        return (self.load(name) for name in self.ids)

    @property
    def ids(self) -> list[str]:
        """Names of the references, sorted."""
        return sorted(self._rows.keys() | self.unpacked)

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

    def load(self, name: str) -> Reference:
        """One reference, checked against settings and basis.

        Raises
        ------
        KeyError, ValueError
            There is none of this name, or it is damaged, or it belongs elsewhere.
        """
        if name not in self._rows and not self.path(name).exists():
            # another process may have packed it in the meantime
            self._map_shards()
            if name not in self._rows:
                raise KeyError(f"{self.folder} has no reference {name}")
        if name in self._rows:
            shard, row = self._rows[name]
            reference, source = self._load_row(shard, row), f"{name} in {shard.path}"
        else:
            reference, source = Reference.load(self.path(name)), str(self.path(name))
            if dict(reference.settings) != self.settings:
                raise ValueError(
                    f"{source} was made with other settings or another basis than the data "
                    "set: remove it"
                )
        self.basis.check_coefficients(
            reference.atoms.numbers, reference.coefficients, argument=source
        )
        return reference

    def notes(self, name: str) -> dict[str, Any]:
        """``atoms.info``, convergence, fit and provenance of a reference, quickly."""
        if name in self._rows:
            shard, row = self._rows[name]
            return shard.notes(row)
        reference = Reference.load(self.path(name))
        return {
            "info": reference.atoms.info,
            "converged": reference.converged,
            "fit": reference.fit,
            "provenance": reference.provenance,
        }

    # writing -----------------------------------------------------------------------

    def add(self, reference: Reference) -> None:
        """Store a reference; one that has not converged is refused."""
        self.check(reference)
        if reference.id not in self._rows:
            reference.save(self.path(reference.id))

    def extend(self, references: Iterable[Reference]) -> int:
        """Store many references as shards at once; those that are there are left out.

        Returns
        -------
        int
            How many are new.
        """
        return self._write_shards(self._new(references))

    def pack(self) -> None:
        """Move the references that have files of their own into shards."""
        names = sorted(self.unpacked)
        new = (name for name in names if name not in self._rows)
        self._write_shards((name, to_record(self.load(name))) for name in new)
        for name in names:
            self.path(name).unlink()

    def check(self, reference: Reference) -> None:
        """Raise a ValueError if a reference may not enter this data set."""
        formula = reference.atoms.get_chemical_formula()
        if reference.converged is not True:
            raise ValueError(
                f"the reference of {formula} is not known to have converged: only converged "
                "ones enter a data set; give converged=True if you know that it had"
            )
        if dict(reference.settings) != self.settings:
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
        with (self.folder / "failures.jsonl").open("a") as stream:
            stream.write(json.dumps(entry) + "\n")

    def failures(self) -> dict[str, dict[str, str]]:
        """The last failure of each structure that has no reference, by id."""
        path = self.folder / "failures.jsonl"
        if not path.exists():
            return {}
        last = {}
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the line that a kill cut short
                continue
            last[entry["id"]] = entry
        return {name: entry for name, entry in last.items() if name not in self}

    # internals ---------------------------------------------------------------------

    def _map_shards(self) -> None:
        """Open the shards that are not open yet."""
        for path in sorted((self.folder / "shards").glob("*.npz")):
            if path.name in self._shards:
                continue
            shard = Shard(path)
            if shard.settings != self.settings:
                raise ValueError(
                    f"{path} was made with other settings or another basis than the data set "
                    f"({difference(self.settings, shard.settings)}): remove it"
                )
            self._shards[path.name] = shard
            for row, name in enumerate(shard.ids):
                self._rows.setdefault(name, (shard, row))

    def _load_row(self, shard: Shard, row: int) -> Reference:
        reference = shard.load(row)
        self._read += 1
        if self._read % _RELEASE_AFTER == 0:
            for mapped in self._shards.values():
                mapped.release()
        return reference

    def _new(self, references: Iterable[Reference]) -> Iterator[tuple[str, Record]]:
        seen: set[str] = set()
        for reference in references:
            self.check(reference)
            name = reference.id
            if name not in self and name not in seen:
                seen.add(name)
                yield name, to_record(reference)

    def _write_shards(self, records: Iterable[tuple[str, Record]]) -> int:
        total = 0
        for batch in _batches(records):
            write_shard(self.folder / "shards", self.settings, batch)
            total += len(batch)
        self._map_shards()
        return total


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


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Names of the settings in which two mappings differ."""
    keys = sorted({*first, *second})
    return ", ".join(key for key in keys if first.get(key) != second.get(key))


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
