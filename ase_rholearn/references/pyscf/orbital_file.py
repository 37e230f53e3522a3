"""Occupied orbitals in ``.npz`` files, as scripts around PySCF like to keep them."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from ...basis import Basis
from ..reference import Reference
from .molecule import build_molecule, check_molecule
from .settings import KohnSham
from .wavefunction import Wavefunction, dipole, fit_wavefunction, orthonormal_orbitals

#: Arrays that a file must have.
_REQUIRED = ("numbers", "positions", "mo_occ_coeff")

#: Scalars that become entries of ``atoms.info``.
_INFO = ("charge", "smiles", "source", "temperature")

#: How far (Debye) the dipole of a file may be from that of its orbitals.
_DIPOLE_TOLERANCE = 0.01


def from_orbital_file(
    path: str | os.PathLike[str],
    basis: Basis,
    orbital_basis: Any = None,
    *,
    level: KohnSham | None = None,
    metric: str | None = None,
    converged: bool | None = None,
    keep_orbitals: bool = False,
) -> Reference:
    """Fit the density of a file of occupied orbitals; no SCF is run.

    Parameters
    ----------
    path
        The file; see :func:`read_orbital_file`.
    orbital_basis
        AO basis of the orbitals, anything that PySCF takes as ``basis``; left out: that of the
        level.
    basis, level, metric, converged, keep_orbitals
        As for :func:`~ase_rholearn.references.pyscf.fit_wavefunction`.

    Raises
    ------
    ValueError
        The file is damaged, or its orbitals are not those of a closed shell in this basis.
    """
    if orbital_basis is None:
        if level is None:
            raise ValueError("orbital_basis is missing: files of orbitals do not name theirs")
        orbital_basis = level.orbital_basis
    return fit_wavefunction(
        read_orbital_file(path, orbital_basis),
        basis,
        level=level,
        metric=metric,
        converged=converged,
        keep_orbitals=keep_orbitals,
    )


def read_orbital_file(path: str | os.PathLike[str], orbital_basis: Any) -> Wavefunction:
    """The wavefunction of a ``.npz`` file.

    The file has ``numbers`` (n,), ``positions`` (n, 3) in Angstrom and ``mo_occ_coeff``
    (nao, nocc): doubly occupied orbitals in PySCF's spherical AO order, so that the density
    matrix is 2 C C^T. It may have ``energy`` (Hartree), ``gradient`` (n, 3) in Hartree/bohr,
    ``dipole_debye`` (3,), which is compared with that of the orbitals, and the scalars
    ``charge``, ``smiles``, ``source`` and ``temperature``, which go into ``atoms.info``.

    Parameters
    ----------
    path
        The file.
    orbital_basis
        AO basis of the orbitals, anything that PySCF takes as ``basis``.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, it is damaged, or its orbitals are not those of a closed shell
        in this basis.
    """
    path = Path(path)
    arrays = _arrays(path)
    atoms = Atoms(arrays["numbers"], positions=arrays["positions"])
    atoms.info.update({name: arrays[name].item() for name in _INFO if name in arrays})
    check_molecule(atoms)
    molecule = build_molecule(atoms, orbital_basis)
    orbitals = np.asarray(arrays["mo_occ_coeff"], dtype=float)
    expected = (molecule.nao, molecule.nelectron // 2)
    if orbitals.shape != expected:
        raise ValueError(
            f"{path}: mo_occ_coeff has shape {orbitals.shape}, but {orbital_basis!r} and a closed "
            f"shell of {molecule.nelectron} electrons need {expected}: check the orbital basis "
            "and the charge"
        )
    orbitals = orthonormal_orbitals(molecule, orbitals, str(path)) * np.sqrt(2)
    if "dipole_debye" in arrays:
        _check_dipole(path, molecule, orbitals, arrays["dipole_debye"])
    gradient = arrays.get("gradient")
    if gradient is not None and gradient.shape != (len(atoms), 3):
        raise ValueError(
            f"{path}: gradient has shape {gradient.shape}, the structure {len(atoms)} atoms: "
            "give (n, 3)"
        )
    return Wavefunction(
        atoms,
        molecule,
        orbitals,
        source="orbitals",
        name=str(path),
        energy=float(arrays["energy"]) * units.Hartree if "energy" in arrays else None,
        forces=None if gradient is None else -gradient * units.Hartree / units.Bohr,
        provenance={"file": path.name},
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise FileNotFoundError(f"there is no file of orbitals {path}")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise ValueError(f"{path} is not a .npz file, or it is damaged ({error})") from error
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        raise ValueError(
            f"{path} has no {', '.join(missing)}: files of orbitals hold {', '.join(_REQUIRED)}"
        )
    return arrays


def _check_dipole(path: Path, molecule: Any, orbitals: np.ndarray, recorded: np.ndarray) -> None:
    """Orbitals in another order than PySCF's are orthonormal by chance, but not this as well."""
    if molecule.charge:
        return  # the file does not say about which point
    made = dipole(molecule, orbitals) / units.Debye
    difference = np.abs(made - recorded).max()
    if not difference < _DIPOLE_TOLERANCE:
        raise ValueError(
            f"{path}: dipole_debye is {np.round(recorded, 3).tolist()}, but the orbitals give "
            f"{np.round(made, 3).tolist()}: check the orbital basis and the order of its functions"
        )
