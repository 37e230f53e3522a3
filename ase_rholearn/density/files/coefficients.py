"""Densities without loss: structure, basis and coefficients in one npz file."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ...basis import Basis
from ...files import atomic_write

if TYPE_CHECKING:
    from ..density import Density

_SCHEMA_VERSION = 1

#: What NumPy and we may run into in a file that is damaged, or no density at all.
_DAMAGE = (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class _UnknownSchemaError(ValueError):
    """A file of a version that this one does not read."""


def write_coefficients(path: str | os.PathLike[str], rho: Density) -> None:
    """Write what :func:`read_coefficients` reads."""
    header = {
        "schema": _SCHEMA_VERSION,
        "basis": rho.basis.to_dict(),
        "charge": rho.charge,
        "normalized": rho.is_normalized,
        "units": {"positions": "Angstrom", "coefficients": "e/bohr^1.5"},
    }
    with atomic_write(path) as stream:
        np.savez_compressed(
            stream,
            header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
            numbers=rho.atoms.numbers,
            positions=rho.atoms.positions,
            cell=rho.atoms.cell.array,
            pbc=rho.atoms.pbc,
            coefficients=rho.coefficients,
            raw_coefficients=rho.raw_coefficients,
        )


def read_coefficients(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Arguments of :class:`~ase_rholearn.Density` from a file."""
    path = Path(path)
    try:
        # opened here, because NumPy leaves damaged files open
        with path.open("rb") as stream, np.load(stream) as data:
            header = json.loads(bytes(data["header"]).decode())
            arrays = {name: data[name] for name in data.files}
        if header["schema"] != _SCHEMA_VERSION:
            raise _UnknownSchemaError(
                f"{path} has schema {header['schema']!r}, this version reads "
                f"{_SCHEMA_VERSION}: update ase_rholearn, or write the file again"
            )
        atoms = Atoms(
            arrays["numbers"],
            positions=arrays["positions"],
            cell=arrays["cell"],
            pbc=arrays["pbc"],
            info={"charge": header["charge"]} if header["charge"] else {},
        )
        basis = Basis.from_dict(header["basis"])
        return {
            "atoms": atoms,
            "basis": basis,
            "coefficients": basis.check_coefficients(atoms.numbers, arrays["raw_coefficients"]),
            "normalize": header["normalized"],
        }
    except (FileNotFoundError, _UnknownSchemaError):
        raise
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is not a density file of ase_rholearn, or it is damaged: give a "
            ".npz file of Density.write"
        ) from error
