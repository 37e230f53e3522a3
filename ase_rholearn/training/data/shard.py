"""A shard: many references in one immutable file.

An uncompressed ``.npz``, so that NumPy alone can read it. Each quantity is one array over
all structures; ``<name>_start`` says where each structure begins in an array whose rows are
atoms, coefficients or orbitals. The file's name is a hash of its content. Described for
others in docs/data-sets.md.

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
    overlap                upper triangle, row by row; left out if no structure has any
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import mmap
import os
import re
import struct
import sys
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
    # nearly singular, which single precision would make indefinite
    "overlap": ("<f8", ()),
}

#: Arrays that a file leaves out where they have no rows.
_OPTIONAL = ("overlap",)

#: Labels of the structures: type of each.
_LABELS = {"id": "|S16", "crc": "<u4"}

#: What the table of contents of a damaged or foreign file may raise.
_DAMAGE = (
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)

#: Python 3.13 can map a file without keeping it open, so that no limit on open files counts.
_MAP_OPTIONS: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}

#: Head of an array as NumPy writes it. Its own reader evaluates the text, which for damaged
#: files may mean anything.
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<dtype>(?:[<|][bfiu]|\|S)[0-9]{1,2})', 'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9, ]*)\), \} *\n",
    re.DOTALL,
)

Record = dict[str, np.ndarray]


def notes_of(reference: Reference) -> dict[str, Any]:
    """What of a reference is text and not numbers."""
    return {
        "info": plain_info(reference.atoms),
        "converged": reference.converged,
        "fit": dict(reference.fit),
        "provenance": dict(reference.provenance),
    }


def to_record(reference: Reference) -> Record:
    """The arrays of one reference as a shard holds them."""
    atoms, orbitals = reference.atoms, reference.occupied_orbitals
    notes = notes_of(reference)
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
        "overlap": reference.overlap,
    }
    record = {}
    for name, (dtype, row) in {**_FIXED, **_RAGGED}.items():
        value = np.empty((0, *row)) if values[name] is None else values[name]
        record[name] = np.asarray(value, dtype=dtype, order="C")
    return record


def from_record(record: Record, settings: Mapping[str, Any]) -> Reference:
    """The inverse of :func:`to_record`; float32 arrays but the orbitals come back as float64."""
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
        # large, and not copied: the rows of the file that are read are those that are used
        overlap=record["overlap"] if len(record["overlap"]) else None,
        fit=notes["fit"],
        provenance=notes["provenance"],
    )


def without(record: Record, name: str) -> Record:
    """The same without an array that a reference may lack, such as its orbitals or forces."""
    dtype, row = _RAGGED[name]
    left_out = {name: np.empty((0, *row), dtype)}
    if name == "occupied_orbitals":
        left_out["nocc"] = np.zeros((), _FIXED["nocc"][0])
    return {**record, **left_out}


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

    It is safe on the disk when this returns: what it was made from may be removed.

    Returns
    -------
    pathlib.Path
        The file: the same content has the same name.
    """
    header = json.dumps({"schema": SCHEMA_VERSION, "settings": settings}, sort_keys=True)
    arrays: dict[str, np.ndarray] = {
        "header": np.frombuffer(header.encode(), np.uint8),
        "id": np.array([name for name, _ in records], dtype=_LABELS["id"]),
        "crc": np.array([checksum(record) for _, record in records], dtype=_LABELS["crc"]),
    }
    for name in _FIXED:
        arrays[name] = np.stack([record[name] for _, record in records])
    for name in _RAGGED:
        lengths = [len(record[name]) for _, record in records]
        if name in _OPTIONAL and not any(lengths):
            continue
        arrays[f"{name}_start"] = np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")
        arrays[name] = np.concatenate([record[name] for _, record in records])
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    content = buffer.getbuffer()
    path = folder / f"{_digest(content)}.npz"
    # one that is there may be damaged
    if not path.exists() or _digest(memoryview(path.read_bytes())) != path.stem:
        with atomic_write(path) as stream:
            stream.write(content)
        _flush_folder(folder)
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
    OSError
        It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._open()
        except OSError as e:
            # nothing is said about the file: too many open ones, no permission, ...
            raise OSError(e.errno, f"cannot read the shard {path}: {e.strerror}") from e
        except _DAMAGE as e:
            reason = " ".join(str(e).split())
            raise ValueError(
                f"{path} is not a shard of a data set, or it is damaged ({reason}): remove it, "
                "and generate its structures again or copy the file anew"
            ) from e
        if self.schema != SCHEMA_VERSION:
            raise ValueError(
                f"{path} has schema {self.schema!r}, this version reads {SCHEMA_VERSION}: "
                "update ase_rholearn"
            )

    def _open(self) -> None:
        with self.path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ, **_MAP_OPTIONS)
            self._arrays = dict(_members(stream, self._map))
        header = json.loads(self._arrays["header"].tobytes())
        self.schema: Any = header["schema"]
        if self.schema != SCHEMA_VERSION:
            return
        self.settings: dict[str, Any] = dict(header["settings"])
        self.ids = [name.decode("ascii") for name in self._arrays["id"].tolist()]
        for name in _OPTIONAL:
            if name not in self._arrays:
                dtype, row = _RAGGED[name]
                self._arrays[name] = np.zeros((0, *row), dtype)
                self._arrays[f"{name}_start"] = np.zeros(len(self.ids) + 1, "<i8")
        self._starts = {name: self._arrays[f"{name}_start"] for name in _RAGGED}
        self._check_arrays()

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

    def problems(self) -> Iterator[str]:
        """What is wrong with the content, found by its checksums: nothing if it is whole."""
        if _digest(memoryview(self._map)) == self.path.stem:
            return
        yield f"{self.path.name}: the content does not match the file's name, a hash of it"
        for row, name in enumerate(self.ids):
            if not self.is_whole(row):
                yield f"{self.path.name}: structure {name} is damaged"

    def is_whole(self, row: int) -> bool:
        """Whether the arrays of one structure have its checksum."""
        return checksum(self.record(row)) == int(self._arrays["crc"][row])

    def release(self) -> None:
        """Give the pages that were read back to the system; they stay in its cache."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _check_arrays(self) -> None:
        """Types and lengths: a mistake there would give the numbers another meaning."""
        count = len(self.ids)
        shapes: dict[str, tuple[str, tuple[int, ...]]]
        shapes = {name: (dtype, (count,)) for name, dtype in _LABELS.items()}
        shapes |= {name: (dtype, (count, *row)) for name, (dtype, row) in _FIXED.items()}
        shapes |= {f"{name}_start": ("<i8", (count + 1,)) for name in _RAGGED}
        for name, start in self._starts.items():
            dtype, row = _RAGGED[name]
            shapes[name] = (dtype, (int(start[-1]), *row))
            if start[0] != 0 or (np.diff(start) < 0).any():
                raise ValueError(f"{name}_start does not ascend from 0")
        for name, (dtype, shape) in shapes.items():
            array = self._arrays[name]
            if array.dtype != np.dtype(dtype) or array.shape != shape:
                raise ValueError(f"{name} is {array.dtype.str} {array.shape}, not {dtype} {shape}")


def _flush_folder(folder: Path) -> None:
    """Make new names in a folder safe on the disk, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
    found = _NPY.match(mapped, start)
    if found is None:
        raise ValueError(f"no known array at byte {start}")
    dtype = np.dtype(found["dtype"].decode())
    shape = tuple(int(n) for n in found["shape"].split(b",") if n.strip())
    data = start + 10 + int.from_bytes(found["length"], "little")
    return np.frombuffer(mapped, dtype, math.prod(shape), data).reshape(shape)
