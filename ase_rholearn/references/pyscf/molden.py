"""Wavefunctions in Molden files, which every program writes in its own way."""

from __future__ import annotations

import contextlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from ...basis import Basis
from ..reference import Reference
from .molecule import atoms_of, with_typed_positions
from .settings import KohnSham
from .wavefunction import Wavefunction, fit_wavefunction, orthonormal_orbitals, scaled_orbitals

#: Largest deviation from orthonormal orbitals that the digits of a file explain.
_TOLERANCE = 1e-4

#: Sections by which programs say that core electrons are left out.
_CORE_SECTIONS = {"CORE", "PSEUDO", "NVAL"}

#: Sections that say that functions of an l are spherical, and those that say the opposite.
_SPHERICAL = {2: {"5D", "5D7F", "5D10F"}, 3: {"5D", "5D7F", "7F"}, 4: {"9G"}}
_CARTESIAN = {2: {"6D"}, 3: {"10F", "5D10F"}, 4: {"15G"}}


@dataclass(frozen=True)
class _Convention:
    """How a program departs from the format.

    Attributes
    ----------
    raw_primitives
        Contraction coefficients are those of primitives without their norm.
    flipped
        (l, |m|) of functions that have the other sign.
    """

    raw_primitives: bool = False
    flipped: tuple[tuple[int, int], ...] = ()


#: The format itself first. The right one is that in which the orbitals are orthonormal.
_CONVENTIONS = {
    "the format": _Convention(),
    "primitives without norm (Psi4)": _Convention(raw_primitives=True),
    "ORCA": _Convention(raw_primitives=True, flipped=((3, 3), (4, 3), (4, 4))),
}


def from_molden(
    path: str | os.PathLike[str],
    basis: Basis,
    *,
    charge: int = 0,
    level: KohnSham | None = None,
    metric: str | None = None,
    converged: bool | None = None,
    keep_orbitals: bool = False,
) -> Reference:
    """Fit the density of a Molden file; no SCF is run.

    Parameters
    ----------
    path
        The file; see :func:`read_molden`.
    charge
        Total charge, which Molden files do not record.
    basis, level, metric, converged, keep_orbitals
        As for :func:`~ase_rholearn.references.pyscf.fit_wavefunction`.
    """
    return fit_wavefunction(
        read_molden(path, charge=charge),
        basis,
        level=level,
        metric=metric,
        converged=converged,
        keep_orbitals=keep_orbitals,
    )


def read_molden(path: str | os.PathLike[str], *, charge: int = 0) -> Wavefunction:
    """The wavefunction of a Molden file with all electrons of a closed shell.

    Programs differ in norm and sign of the functions. The known ways are tried, and that in
    which the occupied orbitals are orthonormal is taken; if there is none, the file is refused.

    Parameters
    ----------
    path
        The file.
    charge
        Total charge, which Molden files do not record.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it is truncated, or it has Cartesian functions, an open
        shell, an effective core, or orbitals that are not orthonormal.
    """
    path = Path(path)
    lines = _lines(path)
    titles = _titles(lines)
    _check_sections(path, titles)
    _check_nuclei(path, lines)
    _check_functions(path, titles, lines)
    molecule, coefficients, occupations = _parsed(path)
    _check_electrons(path, molecule, occupations, charge)
    occupied = occupations > 1e-8
    molecule, orbitals = _in_convention(path, molecule, coefficients[:, occupied])
    # closed shells of ions: PySCF's reader takes all for neutral
    molecule.charge, molecule.spin = charge, 0
    molecule.build(False, False)
    atoms = atoms_of(molecule, occupations, str(path))
    if "ANG" in titles["ATOMS"]:
        atoms, molecule = with_typed_positions(atoms, molecule)
    orbitals = orthonormal_orbitals(molecule, orbitals, str(path))
    return Wavefunction(
        atoms,
        molecule,
        scaled_orbitals(orbitals, occupations[occupied]),
        source="molden",
        name=str(path),
        provenance={"file": path.name},
    )


def _lines(path: Path) -> list[str]:
    if not path.exists():
        raise FileNotFoundError(f"there is no Molden file {path}")
    try:
        return path.read_text().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a Molden file: it is not text") from error


def _titles(lines: list[str]) -> dict[str, str]:
    """Names of the sections in capitals, with what follows on the same line."""
    found = [re.match(r"\s*\[([^\]]+)\](.*)", line) for line in lines]
    return {m[1].strip().upper(): m[2].strip().upper() for m in found if m}


def _section(lines: list[str], name: str) -> list[list[str]]:
    """The lines of a section, as words."""
    found, inside = [], False
    for line in lines:
        if line.lstrip().startswith("["):
            inside = line.lstrip().upper().startswith(f"[{name}]")
        elif inside and line.split():
            found.append(line.split())
    return found


def _check_sections(path: Path, titles: dict[str, str]) -> None:
    if "MOLDEN FORMAT" not in titles:
        raise ValueError(f"{path} is not a Molden file: it does not begin with [Molden Format]")
    if "STO" in titles:
        raise ValueError(f"{path} has Slater functions: only Gaussians can be read")
    for name in ("ATOMS", "GTO", "MO"):
        if name not in titles:
            raise ValueError(
                f"{path} has no section [{name}]: it is truncated, or was written without orbitals"
            )
    if cores := _CORE_SECTIONS & titles.keys():
        raise ValueError(
            f"{path} has a section [{cores.pop()}], that is effective cores: only all-electron "
            "wavefunctions can be fitted"
        )


def _check_nuclei(path: Path, lines: list[str]) -> None:
    """Programs may write the charge of an effective core as the atomic number."""
    for words in _section(lines, "ATOMS"):
        symbol = re.sub(r"[^A-Za-z].*", "", words[0]).capitalize()
        if len(words) > 2 and words[2] != str(atomic_numbers.get(symbol)):
            raise ValueError(
                f"{path} gives the nucleus of {words[0]} the charge {words[2]}, that is an "
                "effective core: only all-electron wavefunctions can be fitted"
            )


def _check_functions(path: Path, titles: dict[str, str], lines: list[str]) -> None:
    """PySCF's reader takes one word about spherical functions for all."""
    present = {words[0].lower() for words in _section(lines, "GTO")}
    for l, letter in ((2, "d"), (3, "f"), (4, "g")):
        said = titles.keys()
        if letter in present and (_CARTESIAN[l] & said or not _SPHERICAL[l] & said):
            raise ValueError(
                f"{path} has Cartesian {letter} functions: only spherical ones can be fitted; "
                "run with them, so that the file has [5D], [7F] and [9G]"
            )


def _parsed(path: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """PySCF's reader: molecule, coefficients and occupations of the orbitals."""
    from pyscf.tools import molden

    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it remarks on sections it skips
            molecule, _, coefficients, occupations, _, spins = molden.load(str(path))
    except Exception as error:  # it raises whatever it stumbles over
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}: {error}): it is truncated or damaged, "
            "or has functions that PySCF's reader does not know (h and higher, sp shells)"
        ) from error
    if isinstance(coefficients, tuple) or any(str(s).upper().startswith("B") for s in spins):
        raise ValueError(f"{path} is an open-shell run: only closed shells can be fitted")
    if coefficients.shape != (molecule.nao, len(occupations)):
        raise ValueError(
            f"{path} has orbitals of shape {coefficients.shape}, but {molecule.nao} functions and "
            f"{len(occupations)} occupations: it is truncated or damaged"
        )
    return molecule, coefficients, np.asarray(occupations)


def _check_electrons(path: Path, molecule: Any, occupations: np.ndarray, charge: int) -> None:
    if (np.abs(occupations - 1) < 1e-3).any():
        raise ValueError(f"{path} is an open-shell run: only closed shells can be fitted")
    held, nuclei = occupations.sum(), int(molecule.atom_charges().sum())
    if abs(held - (nuclei - charge)) > 1e-3:
        raise ValueError(
            f"{path} holds {held:.4f} electrons, nuclei of {nuclei} and charge = {charge} need "
            f"{nuclei - charge}: give the charge, or a file with all electrons that is not "
            "truncated (xTB, for one, writes valence electrons alone)"
        )


def _in_convention(path: Path, molecule: Any, orbitals: np.ndarray) -> tuple[Any, np.ndarray]:
    """Molecule and orbitals in PySCF's norm and signs."""
    errors, found = {}, {}
    for name, convention in _CONVENTIONS.items():
        made = _without_norms(molecule) if convention.raw_primitives else molecule
        signed = _signs(made, convention)[:, None] * orbitals
        overlaps = signed.T @ made.intor("int1e_ovlp") @ signed
        errors[name] = np.abs(overlaps - np.eye(len(overlaps))).max()
        found[name] = made, signed
    best = min(errors, key=lambda name: errors[name])
    if not errors[best] < _TOLERANCE:
        raise ValueError(
            f"the occupied orbitals of {path} are orthonormal only to {errors[best]:.0e} in its "
            f"basis, in every known way to write Molden files ({', '.join(_CONVENTIONS)}): the "
            "file is truncated or damaged or has too few digits, or its program writes functions "
            "in another way; convert it into the standard form (with Molden2AIM or iodata-convert, "
            "say)"
        )
    # all that agree to the digits of the file are the same wavefunction: take the format's
    return next(found[name] for name in errors if errors[name] < 3 * errors[best] + 1e-9)


def _without_norms(molecule: Any) -> Any:
    """The molecule whose contraction coefficients count primitives without their norm."""
    from pyscf import gto

    made = molecule.copy()
    made._basis = {
        label: [
            [l, *([a, *(c / gto.gto_norm(l, a) for c in weights)] for a, *weights in primitives)]
            for l, *primitives in shells
        ]
        for label, shells in molecule._basis.items()
    }
    made.build(False, False)
    return made


def _signs(molecule: Any, convention: _Convention) -> np.ndarray:
    """+1 or -1 for each function: (nao,)."""
    signs = []
    for shell in range(molecule.nbas):
        l = molecule.bas_angular(shell)
        one = [-1.0 if (l, abs(m)) in convention.flipped else 1.0 for m in range(-l, l + 1)]
        signs += one * molecule.bas_nctr(shell)
    return np.array(signs)
