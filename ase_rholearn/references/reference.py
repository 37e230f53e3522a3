"""One reference density: a structure, its fitted coefficients and how they were made."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ..basis import Basis
from ..files import atomic_write
from ..structures import total_charge

_SCHEMA_VERSION = 1

#: Entry of ``atoms.info`` with the indices of the atoms that carry functions, where some of a
#: structure are masked; the coefficients of the others are zero.
ACTIVE_ATOMS = "active_atoms"

#: Entries of the header beside the schema, and arrays that every file has.
_HEADER = {"info", "settings", "converged", "energy", "fit"}
_REQUIRED = {"numbers", "positions", "cell", "pbc", "coefficients"}

#: Arrays of a reference that may be missing.
OPTIONAL_ARRAYS = ("forces", "dipole", "projections", "occupied_orbitals", "overlap")

#: What reading a damaged or foreign file may raise.
_DAMAGE = (
    OSError,
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


class NotConvergedError(RuntimeError):
    """A self-consistent run ended without convergence; its density is of no use."""


@dataclass(frozen=True)
class Reference:
    """A fitted reference density with everything needed to judge and to repeat it.

    Attributes
    ----------
    atoms
        The structure.
    coefficients
        Fit of the deformation density (of the density, for a basis without baseline), as
        a flat vector in e/bohr^1.5. No constraint on the charge, except in fits to grids.
    settings
        How density and fit were made: plain data, part of the identity.
    converged
        Whether the self-consistent run converged; None where the source does not say.
    energy
        eV, or None.
    forces
        (natoms, 3) eV/Angstrom, or None.
    dipole
        (3,) e Angstrom of the reference density; about the centre of nuclear charge for
        ions.
    projections
        Integrals of every auxiliary function with the reference density, in the metric of
        the fit and the order of the coefficients; None where the source does not give them.
    occupied_orbitals
        (nao, nocc) in the order of the reference code, scaled so that the density matrix
        is C C^T; None if they were not kept.
    overlap
        Upper triangle of the overlap matrix of the basis, row by row: (size (size + 1) / 2,) in
        the order of the coefficients; None where it can be computed.
    fit
        Figures of the fit, such as the error in the number of electrons.
    provenance
        Where exactly it comes from, such as the name of a file: plain data that is not part
        of the identity.
    """

    atoms: Atoms
    coefficients: np.ndarray
    settings: Mapping[str, Any]
    converged: bool | None = None
    energy: float | None = None
    forces: np.ndarray | None = None
    dipole: np.ndarray | None = None
    projections: np.ndarray | None = None
    occupied_orbitals: np.ndarray | None = None
    overlap: np.ndarray | None = None
    fit: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name made from structure and settings: the same job has the same id."""
        return reference_id(self.atoms, self.settings)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one ``.npz``; the file appears complete or not at all."""
        arrays: dict[str, Any] = {
            "numbers": self.atoms.numbers,
            "positions": self.atoms.positions,
            "cell": self.atoms.cell.array,
            "pbc": self.atoms.pbc,
            "coefficients": self.coefficients,
        }
        for name in OPTIONAL_ARRAYS:
            if getattr(self, name) is not None:
                arrays[name] = getattr(self, name)
        header = {
            "schema": _SCHEMA_VERSION,
            "info": plain_info(self.atoms),
            "settings": self.settings,
            "converged": self.converged,
            "energy": self.energy,
            "fit": self.fit,
            "provenance": self.provenance,
        }
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        with atomic_write(path) as stream:
            np.savez_compressed(stream, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Reference:
        """Read a file of :meth:`save`."""
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"there is no reference file {path}")
        try:
            arrays, header = _read_archive(path)
        except _DAMAGE as error:
            raise ValueError(
                f"{path} is not a reference file of ase_rholearn, or it is damaged: "
                "delete it and generate it again"
            ) from error
        if header["schema"] != _SCHEMA_VERSION:
            raise ValueError(
                f"{path} has schema {header['schema']!r}, this version reads {_SCHEMA_VERSION}: "
                "generate it again"
            )
        atoms = Atoms(
            arrays.pop("numbers"),
            positions=arrays.pop("positions"),
            cell=arrays.pop("cell"),
            pbc=arrays.pop("pbc"),
            info=header["info"],
        )
        return cls(
            atoms=atoms,
            settings=header["settings"],
            converged=header["converged"],
            energy=header["energy"],
            fit=header["fit"],
            provenance=header.get("provenance", {}),
            **arrays,
        )


def reference_id(atoms: Atoms, settings: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that depend on the structure and the settings alone.

    Positions count to 1e-8 Angstrom, so that a round trip through a text file keeps the id.
    The total charge is part of the structure.
    """
    structure: dict[str, Any] = {
        "numbers": atoms.numbers.tolist(),
        "positions": _rounded(atoms.positions),
        "cell": _rounded(atoms.cell.array),
        "pbc": atoms.pbc.tolist(),
    }
    if charge := total_charge(atoms):
        structure["charge"] = charge
    text = json.dumps([structure, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def settings_with_basis(settings: Mapping[str, Any], basis: Basis) -> dict[str, Any]:
    """Settings extended by the name and a fingerprint of the auxiliary basis."""
    digest = hashlib.sha256(basis.to_json().encode()).hexdigest()[:16]
    return {**settings, "basis": {"name": basis.name, "sha256": digest}}


def _read_archive(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header; any of ``_DAMAGE`` if the file is not ours."""
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():
            raise zipfile.BadZipFile(f"{bad} has a wrong checksum")
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    header = json.loads(bytes(arrays.pop("header")).decode())
    complete = header.keys() >= _HEADER and arrays.keys() >= _REQUIRED
    if header["schema"] == _SCHEMA_VERSION and not complete:
        raise KeyError("an entry is missing")
    return arrays, header


def _rounded(values: np.ndarray) -> list[list[float]]:
    return (np.round(values, 8) + 0.0).tolist()


def plain_info(atoms: Atoms) -> dict[str, Any]:
    """What of ``atoms.info`` can be written as JSON, with the total charge."""
    info = {}
    for key, value in atoms.info.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if _is_plain(plain):
            info[key] = plain
    if charge := total_charge(atoms):
        # it may come from initial charges
        info["charge"] = charge
    return info


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
