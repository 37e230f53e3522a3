"""HDF5 files that grow by a frame at a time; h5py is needed (the extra ``hdf5``).

Lengths are in Angstrom, charges in e, dipoles in e Angstrom, coefficients in e/bohr^1.5,
densities in e/Angstrom^3, potentials in V. Arrays of all frames have the frame as first axis:

====================================  ====================================================
``count`` (1,)                        whole frames; rows beyond it are none
``positions``, ``cell``               (natoms, 3) and (3, 3)
``total_charge``                      e
``coefficients``                      flat vector as predicted, see :meth:`Basis.layout`
``dipole``, ``charges``               (3,), if not periodic; (natoms,), if wanted
``molecular_charges``                 (nmolecules,), if wanted
``molecular_dipoles``                 (nmolecules, 3), if wanted
``density`` (or another field)        (nx, ny, nz), single precision, if wanted
``grid_origin``, ``grid_cell``        where the field lies, as in :class:`Grid`
====================================  ====================================================

``numbers``, ``pbc`` and ``molecules`` are the same for all frames, and ``header`` is JSON with
the model, the basis and the settings. Files are written in HDF5's single-writer mode, in which
what is on the disk is readable at any moment: by others while the file grows, and after a kill.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ..basis import Basis
from ..density import Density, Grid
from ..density.files.arrays import hdf5_library
from ..files import temporary_sibling
from ..structures import total_charge
from .quantities import FIELD_UNITS, Quantities, field_frame, field_on_frame

if TYPE_CHECKING:
    import h5py

_CONTENT, _SCHEMA_VERSION = "trajectory", 1

#: Bytes of one array that are stored together.
_CHUNK = 2**16

#: Arrays that all frames share.
_STATIC = ("numbers", "pbc", "molecules")

_LENGTH = "Angstrom"
_UNITS: dict[str, str] = {
    "positions": _LENGTH,
    "cell": _LENGTH,
    "grid_origin": _LENGTH,
    "grid_cell": _LENGTH,
    "total_charge": "e",
    "charges": "e",
    "molecular_charges": "e",
    "dipole": "e Angstrom",
    "molecular_dipoles": "e Angstrom",
    "coefficients": "e/bohr^1.5",
    **FIELD_UNITS,
}


class Hdf5Writer:
    """Appends frames to an HDF5 file; all have the same atoms.

    Parameters
    ----------
    path
        The file. Frames that it has are kept.
    quantities
        What each frame gets.
    basis
        Of the densities.
    model
        Name of the model.
    box
        Where the field of molecules lies; around the first frame if left out.

    Attributes
    ----------
    count : int
        Frames in the file.
    last : ase.Atoms or None
        The last frame of the file when it was opened.

    Raises
    ------
    ValueError
        The file holds something else, or was made with other settings.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        quantities: Quantities,
        basis: Basis,
        *,
        model: str = "",
        box: Grid | None = None,
    ) -> None:
        self.path = Path(path)
        self._quantities = quantities
        self._frame = box
        self._header = {
            "content": _CONTENT,
            "schema": _SCHEMA_VERSION,
            "model": model,
            "quantities": quantities.to_dict(),
            "basis": basis.to_dict(),
        }
        self.count, self.last = 0, None
        self._file: Any = None
        hdf5_library()
        if self.path.exists():
            self._go_on()

    def write(self, atoms: Atoms, rho: Density) -> None:
        """Append a structure with what belongs to its density."""
        arrays = {**_structure(atoms, rho), **self._quantities.per_frame(rho), **self._field(rho)}
        if self._file is None:
            self._create(arrays)
        self._check_static(arrays)
        for name, array in arrays.items():
            if name not in _STATIC:
                data = self._file[name]
                data.resize(self.count + 1, axis=0)
                data[self.count] = array
        self.count += 1

    def flush(self) -> None:
        """Bring the frames to the disk, and then their number."""
        if self._file is not None:
            self._file.flush()
            self._file["count"][0] = self.count
            self._file["count"].flush()

    def close(self) -> None:
        """Flush and close the file."""
        if self._file is not None:
            self.flush()
            self._file.close()
            self._file = None

    def _field(self, rho: Density) -> dict[str, np.ndarray]:
        name = self._quantities.field
        if name is None:
            return {}
        frame = field_frame(rho, self._quantities, self._frame)
        if self._frame is None:
            self._frame = frame
        grid = field_on_frame(rho, name, frame)
        values = grid.values.astype(np.float32)
        return {name: values, "grid_origin": grid.origin, "grid_cell": grid.cell}

    def _create(self, arrays: dict[str, np.ndarray]) -> None:
        header = np.frombuffer(json.dumps(self._header).encode(), dtype=np.uint8)
        with (
            temporary_sibling(self.path) as temporary,
            hdf5_library().File(temporary, "w", libver="latest") as file,
        ):
            file["header"] = header
            file.create_dataset("count", data=np.zeros(1, dtype=int), chunks=(1,))
            for name, array in arrays.items():
                _make(file, name, np.asarray(array))
        self._open()

    def _open(self) -> None:
        self._file = hdf5_library().File(self.path, "r+", libver="latest")
        self._file.swmr_mode = True

    def _check_static(self, arrays: dict[str, np.ndarray]) -> None:
        for name in _STATIC:
            if name in arrays and not np.array_equal(arrays[name], self._file[name][()]):
                raise ValueError(
                    f"frame {self.count} differs from the first one in its {name}: {self.path} "
                    "holds frames of the same atoms and molecules; give a name that ends in "
                    ".extxyz"
                )

    def _go_on(self) -> None:
        """Open a file for more frames; made anew of its whole frames if a kill left it open."""
        with DensityTrajectory(self.path) as found:
            self._check_header(found)
            self.count = len(found)
            self.last = found.atoms(self.count - 1) if self.count else None
            if self.count and self._quantities.field is not None:
                self._frame = found.grid_frame(0)
        if not self.count:  # nothing was written yet
            return
        try:
            self._open()
        except OSError:
            self._copy_whole_frames()
            self._open()
        for name, data in self._file.items():
            if name not in (*_STATIC, "header", "count"):
                data.resize(self.count, axis=0)

    def _check_header(self, found: DensityTrajectory) -> None:
        for name, value in self._header.items():
            old = found.header[name]
            if json.dumps(old) != json.dumps(value):
                differs = name if name == "basis" else f"{name} {old!r}, not {value!r}"
                raise ValueError(
                    f"{self.path} was made with another {differs}: give another name, or "
                    "overwrite it"
                )

    def _copy_whole_frames(self) -> None:
        module = hdf5_library()
        with (
            temporary_sibling(self.path) as temporary,
            module.File(self.path, "r", libver="latest", swmr=True) as old,
            module.File(temporary, "w", libver="latest") as new,
        ):
            for name, data in old.items():
                if name in ("header", "count", *_STATIC):
                    old.copy(name, new)
                    continue
                copy = _make(new, name, data[0])
                copy.resize(self.count, axis=0)
                for start in range(0, self.count, data.chunks[0]):
                    stop = min(start + data.chunks[0], self.count)
                    copy[start:stop] = data[start:stop]


class DensityTrajectory:
    """The densities and dipoles of a file of :class:`Hdf5Writer`; needs h5py.

    A file can be read while it grows: ``len`` is the number of frames at the time of opening.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    header : dict
        Model, basis and settings.

    Examples
    --------
    >>> from ase_rholearn.trajectory import DensityTrajectory
    >>> with DensityTrajectory("md.h5") as trajectory:  # doctest: +SKIP
    ...     dipoles = trajectory["dipole"]  # (n, 3) e Angstrom
    ...     rho = trajectory.density(-1)  # the last frame's Density

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it holds something else.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"there is no trajectory {self.path}")
        try:
            self._file: Any = hdf5_library().File(self.path, "r", libver="latest", swmr=True)
            self.header: dict[str, Any] = json.loads(bytes(self._file["header"][()]).decode())
            self._count = int(self._file["count"][0])
            content = (self.header["content"], self.header["schema"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path} is not a trajectory of ase_rholearn, or it is damaged"
            ) from error
        if content != (_CONTENT, _SCHEMA_VERSION):
            raise ValueError(
                f"{self.path} holds a {content[0]} of schema {content[1]!r}, this version reads a "
                f"{_CONTENT} of schema {_SCHEMA_VERSION}"
            )

    def __enter__(self) -> DensityTrajectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._count

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def __getitem__(self, name: str) -> np.ndarray:
        """An array of all frames, see :mod:`ase_rholearn.trajectory.hdf5`."""
        if name not in self._file:
            known = ", ".join(sorted(self._file))
            raise KeyError(f"{self.path} has no {name!r}: it has {known}")
        data = self._file[name]
        return np.asarray(data[()] if name in _STATIC else data[: self._count])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def atoms(self, index: int) -> Atoms:
        """The structure of a frame."""
        index = self._checked(index)
        charge = int(self._file["total_charge"][index])
        return Atoms(
            self._file["numbers"][()],
            positions=self._file["positions"][index],
            cell=self._file["cell"][index],
            pbc=self._file["pbc"][()],
            info={"charge": charge} if charge else {},
        )

    def density(self, index: int) -> Density:
        """The density of a frame."""
        coefficients = self._file["coefficients"][self._checked(index)]
        return Density(self.atoms(index), Basis.from_dict(self.header["basis"]), coefficients)

    def grid_frame(self, index: int) -> Grid:
        """Where the field of a frame lies; the values are not read."""
        index, field = self._checked(index), self.header["quantities"]["field"]
        shape = self._file[field].shape[1:]
        values = np.broadcast_to(np.zeros(1), shape)
        return Grid(values, self._file["grid_origin"][index], self._file["grid_cell"][index])

    def grid(self, index: int) -> Grid:
        """The field of a frame."""
        frame = self.grid_frame(index)
        values = self._file[self.header["quantities"]["field"]][self._checked(index)]
        return Grid(values.astype(float), frame.origin, frame.cell)

    def _checked(self, index: int) -> int:
        if not -self._count <= index < self._count:
            raise IndexError(f"index is {index}: {self.path} has {self._count} frames")
        return index % self._count


def _structure(atoms: Atoms, rho: Density) -> dict[str, np.ndarray]:
    return {
        "numbers": atoms.numbers,
        "pbc": atoms.pbc,
        "positions": atoms.positions,
        "cell": atoms.cell.array,
        "total_charge": np.array(total_charge(atoms)),
        "coefficients": rho.raw_coefficients,
    }


def _make(file: h5py.File, name: str, array: np.ndarray) -> Any:
    """An empty dataset for arrays like this one, or the array itself if all frames share it."""
    if name in _STATIC:
        return file.create_dataset(name, data=array)
    rows = int(np.clip(_CHUNK // max(array.nbytes, 1), 1, 1024))
    data = file.create_dataset(
        name,
        (0, *array.shape),
        dtype=array.dtype,
        maxshape=(None, *array.shape),
        chunks=(rows, *array.shape),
    )
    data.attrs["unit"] = _UNITS[name]
    return data
