"""Grids in npz and HDF5 files: without loss, and with what they are.

Both hold the same: arrays ``values`` (nx, ny, nz), ``origin`` (3,), ``grid_cell`` (3, 3, rows
are the edges of the grid), ``numbers``, ``positions``, ``cell`` and ``pbc`` of the structure,
and a ``header`` in JSON, with the units.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ...extras import needs
from ...files import atomic_write, temporary_sibling
from ..grid import Grid
from .slabs import checked_slabs

if TYPE_CHECKING:
    import h5py

_CONTENT, _SCHEMA_VERSION = "grid", 1

#: What the libraries run into in files that are damaged or hold something else.
_DAMAGE = (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class _OtherContentError(ValueError):
    """A sound file that holds something else, or is of a later version."""


def write_grid_npz(
    path: str | os.PathLike[str],
    atoms: Atoms,
    grid: Grid,
    *,
    unit: str = "e/Angstrom^3",
    metadata: Mapping[str, Any] | None = None,
    slabs: Iterable[np.ndarray] | None = None,
) -> None:
    """Write a grid as an npz file, which NumPy opens.

    Parameters
    ----------
    path
        The file appears complete or not at all.
    atoms, grid
        Structure, and values in ASE's units.
    unit
        Name of the unit of the values, for the reader.
    metadata
        Anything that JSON knows: kind of the density, settings, ...
    slabs
        Values instead of those of ``grid``, see :func:`~ase_rholearn.density.write_cube`.
    """
    arrays = _arrays(atoms, grid, unit, metadata)
    with atomic_write(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.save(member, array)
        with archive.open("values.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f8", "fortran_order": False, "shape": grid.shape}
            np.lib.format.write_array_header_1_0(member, header)
            for slab in checked_slabs(grid, slabs):
                for plane in slab:
                    member.write(np.ascontiguousarray(plane, "<f8").data)


def write_grid_hdf5(
    path: str | os.PathLike[str],
    atoms: Atoms,
    grid: Grid,
    *,
    unit: str = "e/Angstrom^3",
    metadata: Mapping[str, Any] | None = None,
    slabs: Iterable[np.ndarray] | None = None,
) -> None:
    """Write a grid as an HDF5 file; needs h5py (``ase-rholearn[hdf5]``).

    Parameters are those of :func:`write_grid_npz`. The header is an attribute of the file.
    """
    module = hdf5_library()
    arrays = _arrays(atoms, grid, unit, metadata)
    with temporary_sibling(path) as temporary, module.File(temporary, "w") as file:
        file.attrs["header"] = bytes(arrays.pop("header")).decode()
        for name, array in arrays.items():
            file[name] = array
        values = file.create_dataset("values", grid.shape, "<f8")
        values.attrs["unit"] = unit
        start = 0
        for slab in checked_slabs(grid, slabs):
            values[start : start + len(slab)] = slab
            start += len(slab)


def read_grid_npz(path: str | os.PathLike[str]) -> tuple[Atoms, Grid, dict[str, Any]]:
    """Structure, grid and metadata of a file of :func:`write_grid_npz`.

    The unit of the values is in the metadata.

    Raises
    ------
    ValueError
        The file holds something else, is of a later version, or damaged.
    """
    path = _existing(path)
    try:
        with path.open("rb") as stream, np.load(stream) as data:
            header = _checked_header(path, bytes(data["header"]).decode())
            return _parts(header, {name: data[name] for name in data.files})
    except _OtherContentError:
        raise
    except _DAMAGE as error:
        raise ValueError(f"{path} is not a grid file of ase_rholearn, or it is damaged") from error


def read_grid_hdf5(path: str | os.PathLike[str]) -> tuple[Atoms, Grid, dict[str, Any]]:
    """Structure, grid and metadata of a file of :func:`write_grid_hdf5`; needs h5py."""
    path, module = _existing(path), hdf5_library()
    try:
        with module.File(path, "r") as file:
            header = _checked_header(path, file.attrs["header"])
            return _parts(header, {name: data[()] for name, data in file.items()})
    except _OtherContentError:
        raise
    except _DAMAGE as error:
        raise ValueError(f"{path} is not a grid file of ase_rholearn, or it is damaged") from error


def _arrays(
    atoms: Atoms, grid: Grid, unit: str, metadata: Mapping[str, Any] | None
) -> dict[str, np.ndarray]:
    """Everything but the values."""
    header = {
        "content": _CONTENT,
        "schema": _SCHEMA_VERSION,
        "units": {"values": unit, "lengths": "Angstrom"},
        "convention": "voxels: the end point of an axis is not repeated",
        "metadata": dict(metadata or {}),
    }
    return {
        "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        "numbers": atoms.numbers,
        "positions": atoms.positions,
        "cell": atoms.cell.array,
        "pbc": atoms.pbc,
        "origin": np.asarray(grid.origin, dtype=float),
        "grid_cell": np.asarray(grid.cell, dtype=float),
    }


def _parts(
    header: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[Atoms, Grid, dict[str, Any]]:
    atoms = Atoms(
        arrays["numbers"],
        positions=arrays["positions"],
        cell=arrays["cell"],
        pbc=arrays["pbc"],
    )
    grid = Grid(arrays["values"], arrays["origin"], arrays["grid_cell"])
    return atoms, grid, {**header["metadata"], "unit": header["units"]["values"]}


def _checked_header(path: Path, text: str) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(text)
    if header.get("content") != _CONTENT:
        hint = ": Density.read opens coefficients" if "basis" in header else ""
        raise _OtherContentError(f"{path} does not hold a grid{hint}")
    if header["schema"] != _SCHEMA_VERSION:
        raise _OtherContentError(
            f"{path} has schema {header['schema']!r}, this version reads {_SCHEMA_VERSION}: "
            "update ase_rholearn, or write the file again"
        )
    return header


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no grid file {path}")
    return path


def hdf5_library() -> h5py:
    """h5py, imported now; an error says how to install it."""
    with needs("h5py", "hdf5", "HDF5 files"):
        import h5py
    return h5py
