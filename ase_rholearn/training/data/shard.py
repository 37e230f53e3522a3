"""A shard: many references in one immutable file.

An uncompressed ``.npz``, so that NumPy alone can read it. Each quantity is one array over
all structures; ``<name>_start`` says where each structure begins in an array whose rows are
atoms, coefficients or orbitals. The file's name is a hash of its content.

    header                 JSON: schema and the settings that all references share
    id, crc                name and CRC-32 of each structure: (n,)
    cell, pbc              (n, 3, 3) Angstrom, (n, 3)
    energy, dipole         (n,) eV, (n, 3) e Angstrom; NaN where unknown
    numbers, positions     (atoms,), (atoms, 3) Angstrom
    forces                 (atoms with forces, 3) eV/Angstrom
    coefficients           e/bohr^1.5
    projections            in the metric of the fit
    occupied_orbitals      flattened (nao, nocc)
    nocc                   columns of the orbitals: (n,)
    notes                  UTF-8 JSON of each structure: info, converged, fit, provenance
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...files import atomic_write
from ...references import Reference, plain_info

SCHEMA_VERSION = 1

#: Hexadecimal digits of the content's hash in the name of a shard.
_DIGITS = 20

#: Arrays with one row a structure: type and shape of the row.
_FIXED: dict[str, tuple[str, tuple[int, ...]]] = {
    "cell": ("<f8", (3, 3)),
    "pbc": ("|b1", (3,)),
    "energy": ("<f8", ()),
    "dipole": ("<f8", (3,)),
    "nocc": ("<i4", ()),
}

#: Arrays with any number of rows a structure. Positions stay double: ids depend on them.
#: Single precision changes a density by 1e-7 of itself, less than any fit's error.
_RAGGED: dict[str, tuple[str, tuple[int, ...]]] = {
    "numbers": ("|u1", ()),
    "positions": ("<f8", (3,)),
    "forces": ("<f4", (3,)),
    "coefficients": ("<f4", ()),
    "projections": ("<f4", ()),
    "occupied_orbitals": ("<f4", ()),
    "notes": ("|u1", ()),
}

Record = dict[str, np.ndarray]


def to_record(reference: Reference) -> Record:
    """The arrays of one reference as a shard holds them."""
    atoms, orbitals = reference.atoms, reference.occupied_orbitals
    notes = {
        "info": plain_info(atoms),
        "converged": reference.converged,
        "fit": dict(reference.fit),
        "provenance": dict(reference.provenance),
    }
    values: dict[str, Any] = {
        "cell": atoms.cell.array,
        "pbc": atoms.pbc,
        "energy": math.nan if reference.energy is None else reference.energy,
        "dipole": np.full(3, math.nan) if reference.dipole is None else reference.dipole,
        "nocc": 0 if orbitals is None else orbitals.shape[1],
        "numbers": atoms.numbers,
        "positions": atoms.positions,
        "forces": reference.forces,
        "coefficients": reference.coefficients,
        "projections": reference.projections,
        "occupied_orbitals": None if orbitals is None else orbitals.ravel(),
        "notes": np.frombuffer(json.dumps(notes).encode(), np.uint8),
    }
    record = {}
    for name, (dtype, row) in {**_FIXED, **_RAGGED}.items():
        value = np.empty((0, *row)) if values[name] is None else values[name]
        record[name] = np.asarray(value, dtype=dtype, order="C")
    return record


def from_record(record: Record, settings: Mapping[str, Any]) -> Reference:
    """The inverse of :func:`to_record`; float32 arrays come back as float64."""
    notes = json.loads(record["notes"].tobytes())

    def given(name: str) -> np.ndarray | None:
        return record[name].astype(float) if len(record[name]) else None

    energy, dipole, nocc = float(record["energy"]), record["dipole"], int(record["nocc"])
    atoms = Atoms(
        record["numbers"].astype(int),
        positions=record["positions"],
        cell=record["cell"],
        pbc=record["pbc"],
        info=notes["info"],
    )
    return Reference(
        atoms=atoms,
        coefficients=record["coefficients"].astype(float),
        settings=settings,
        converged=notes["converged"],
        energy=None if math.isnan(energy) else energy,
        forces=given("forces"),
        dipole=None if np.isnan(dipole).any() else np.array(dipole),
        projections=given("projections"),
        occupied_orbitals=np.array(record["occupied_orbitals"]).reshape(-1, nocc) if nocc else None,
        fit=notes["fit"],
        provenance=notes["provenance"],
    )


def size_of(record: Record) -> int:
    """Bytes of a record."""
    return sum(array.nbytes for array in record.values())


def checksum(record: Record) -> int:
    """CRC-32 over all arrays of a record."""
    value = 0
    for name in (*_FIXED, *_RAGGED):
        value = zlib.crc32(np.asarray(record[name]).tobytes(), value)
    return value


def write_shard(
    folder: Path, settings: Mapping[str, Any], records: Sequence[tuple[str, Record]]
) -> Path:
    """Write ids and records as one shard; it appears complete or not at all.

    Returns
    -------
    pathlib.Path
        The file: the same content has the same name.
    """
    header = json.dumps({"schema": SCHEMA_VERSION, "settings": settings}, sort_keys=True)
    arrays: dict[str, np.ndarray] = {
        "header": np.frombuffer(header.encode(), np.uint8),
        "id": np.array([name for name, _ in records], dtype="S16"),
        "crc": np.array([checksum(record) for _, record in records], dtype="<u4"),
    }
    for name in _FIXED:
        arrays[name] = np.stack([record[name] for _, record in records])
    for name in _RAGGED:
        lengths = [len(record[name]) for _, record in records]
        arrays[f"{name}_start"] = np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")
        arrays[name] = np.concatenate([record[name] for _, record in records])
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    content = buffer.getbuffer()
    path = folder / f"{_digest(content)}.npz"
    if not path.exists():
        with atomic_write(path) as stream:
            stream.write(content)
    return path


class Shard:
    """A shard that is mapped into memory: opening it reads only its table of contents.

    Attributes
    ----------
    path : pathlib.Path
    settings : dict
    ids : list of str
        Names of the references, in the order of the file.

    Raises
    ------
    ValueError
        The file is not a shard, or it is truncated.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                self._arrays = dict(_members(stream, self._map))
            header = json.loads(self._arrays["header"].tobytes())
            schema = header["schema"]
            if schema == SCHEMA_VERSION:
                self.settings: dict[str, Any] = header["settings"]
                self.ids = [name.decode("ascii") for name in self._arrays["id"].tolist()]
                self._starts = {name: self._arrays[f"{name}_start"] for name in _RAGGED}
                self._check_sizes()
                return
        except (OSError, KeyError, TypeError, ValueError, struct.error, zipfile.BadZipFile) as e:
            raise ValueError(
                f"{path} is not a shard of a data set, or it is damaged ({e}): remove it, and "
                "generate its structures again or copy the file anew"
            ) from e
        raise ValueError(
            f"{path} has schema {schema!r}, this version reads {SCHEMA_VERSION}: "
            "update ase_rholearn"
        )

    def __len__(self) -> int:
        return len(self.ids)

    def record(self, row: int) -> Record:
        """The arrays of one structure, as views of the file."""
        record = {name: self._arrays[name][row] for name in _FIXED}
        for name, start in self._starts.items():
            record[name] = self._arrays[name][start[row] : start[row + 1]]
        return record

    def load(self, row: int) -> Reference:
        """One reference. Nothing is checked; see :meth:`problems`."""
        return from_record(self.record(row), self.settings)

    def notes(self, row: int) -> dict[str, Any]:
        """Info, convergence, fit and provenance of one structure, without its arrays."""
        start = self._starts["notes"]
        return json.loads(self._arrays["notes"][start[row] : start[row + 1]].tobytes())

    @property
    def atoms_count(self) -> int:
        """Atoms of all structures."""
        return len(self._arrays["numbers"])

    def problems(self) -> Iterator[str]:
        """What is wrong with the content, found by its checksums: nothing if it is whole."""
        if _digest(memoryview(self._map)) == self.path.stem:
            return
        yield f"{self.path.name}: the content does not match the file's name, a hash of it"
        for row, (name, crc) in enumerate(zip(self.ids, self._arrays["crc"], strict=True)):
            if checksum(self.record(row)) != int(crc):
                yield f"{self.path.name}: structure {name} is damaged"

    def release(self) -> None:
        """Give the pages that were read back to the system; they stay in its cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _check_sizes(self) -> None:
        for name in ("crc", *_FIXED):
            if len(self._arrays[name]) != len(self.ids):
                raise ValueError(f"{name} has another length than id")
        for name, start in self._starts.items():
            if len(start) != len(self.ids) + 1 or start[-1] != len(self._arrays[name]):
                raise ValueError(f"{name}_start does not fit {name}")


def _digest(content: memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def _members(stream: Any, mapped: mmap.mmap) -> Iterator[tuple[str, np.ndarray]]:
    """Name and array of each member of an uncompressed .npz, as views of the mapped file."""
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} is compressed")
            # the local header repeats the name and may have extra bytes of its own
            name, extra = struct.unpack_from("<HH", mapped, member.header_offset + 26)
            start = member.header_offset + 30 + name + extra
            yield member.filename.removesuffix(".npy"), _array(mapped, start)


def _array(mapped: mmap.mmap, start: int) -> np.ndarray:
    """The array of the .npy that begins at a position of the mapped file."""
    # headers of plain arrays are far shorter
    head = io.BytesIO(mapped[start : start + 1024])
    if np.lib.format.read_magic(head) != (1, 0):
        raise ValueError("an array has an unknown format")
    shape, _, dtype = np.lib.format.read_array_header_1_0(head)
    count = math.prod(shape)
    return np.frombuffer(mapped, dtype, count, start + head.tell()).reshape(shape)
