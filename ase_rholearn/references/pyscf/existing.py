"""Fits of wavefunctions that exist already: in memory, in checkpoints, kept by references."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from ...basis import Basis
from ...density import Density
from ..reference import NotConvergedError, Reference
from .fit import fit_density
from .molecule import atoms_of, build_molecule, check_molecule, with_typed_positions
from .settings import KohnSham
from .wavefunction import (
    Wavefunction,
    electrons,
    fit_wavefunction,
    named_basis,
    orthonormal_orbitals,
    scaled_orbitals,
)


def from_orbitals(
    atoms: Atoms,
    basis: Basis,
    orbital_basis: Any,
    occupied_orbitals: np.ndarray,
    *,
    metric: str = "coulomb",
    settings: dict[str, Any] | None = None,
    converged: bool | None = None,
    energy: float | None = None,
    forces: np.ndarray | None = None,
    keep_orbitals: bool = False,
) -> Reference:
    """Fit the density of occupied orbitals in memory; no SCF is run.

    Parameters
    ----------
    atoms, basis
        As for :func:`reference`.
    orbital_basis
        AO basis of the orbitals: anything that PySCF takes as ``basis``.
    occupied_orbitals
        (nao, nocc) in PySCF's spherical AO order, scaled so that the density matrix is
        C C^T (doubly occupied orbitals times sqrt(2)).
    metric
        Metric of the fit.
    settings
        How the orbitals came about, to be kept with the fit.
    converged
        Whether the run that made them had converged. Data sets take only True.
    energy, forces
        eV and eV/Angstrom, if known.
    keep_orbitals
        Keep the orbitals (single precision) in the result.

    Raises
    ------
    ValueError
        The orbitals do not fit the basis, or do not hold the electrons of the structure.
    """
    check_molecule(atoms)
    molecule = build_molecule(atoms, orbital_basis)
    orbitals = np.asarray(occupied_orbitals, dtype=float)
    if orbitals.ndim != 2 or orbitals.shape[0] != molecule.nao:
        raise ValueError(
            f"occupied_orbitals has shape {orbitals.shape} but {orbital_basis!r} has "
            f"{molecule.nao} functions here: give (nao, nocc) in PySCF's spherical order"
        )
    held = electrons(molecule, orbitals)
    if abs(held - molecule.nelectron) > 1e-3:
        raise ValueError(
            f"occupied_orbitals hold {held:.4f} electrons, the structure has "
            f"{molecule.nelectron}: scale them so that the density matrix is C C^T, and check "
            "the charge"
        )
    wavefunction = Wavefunction(
        atoms,
        molecule,
        orbitals,
        source="orbitals",
        name="occupied_orbitals",
        energy=energy,
        forces=forces,
    )
    return fit_wavefunction(
        wavefunction,
        basis,
        metric=metric,
        settings={
            "code": "pyscf",
            "source": "orbitals",
            **named_basis(orbital_basis),
            "metric": metric,
            **(settings or {}),
        },
        converged=converged,
        keep_orbitals=keep_orbitals,
    )


def from_checkpoint(
    path: str | os.PathLike[str],
    basis: Basis,
    *,
    level: KohnSham | None = None,
    metric: str | None = None,
    converged: bool | None = None,
    keep_orbitals: bool = False,
) -> Reference:
    """Fit the density of a PySCF checkpoint file; no SCF is run.

    PySCF does not record in the file whether the run had converged: say
    ``converged=True`` if you know that it had.

    Parameters
    ----------
    path
        The file.
    basis, level, metric, converged, keep_orbitals
        As for :func:`~ase_rholearn.references.pyscf.fit_wavefunction`.

    Raises
    ------
    ValueError
        The file is no checkpoint of a closed-shell molecular run with spherical orbitals.
    """
    return fit_wavefunction(
        read_checkpoint(path),
        basis,
        level=level,
        metric=metric,
        converged=converged,
        keep_orbitals=keep_orbitals,
    )


def read_checkpoint(path: str | os.PathLike[str]) -> Wavefunction:
    """The wavefunction of a PySCF checkpoint file.

    Positions that the run was given in Angstrom come back as they were.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it is no checkpoint of a closed-shell molecular run with
        spherical orbitals.
    """
    from pyscf.scf.chkfile import load_scf

    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no checkpoint file {os.fspath(path)}")
    try:
        molecule, data = load_scf(os.fspath(path))
        occupations, coefficients = np.asarray(data["mo_occ"]), np.asarray(data["mo_coeff"])
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(
            f"{os.fspath(path)} is not a PySCF checkpoint with orbitals, or it is damaged: run "
            "the SCF again with mean_field.chkfile set"
        ) from error
    atoms = atoms_of(molecule, occupations, os.fspath(path))
    if str(molecule.unit).upper().startswith("A"):
        atoms, molecule = with_typed_positions(atoms, molecule)
    return Wavefunction(
        atoms,
        molecule,
        scaled_orbitals(coefficients, occupations),
        source="checkpoint",
        name=os.fspath(path),
        energy=float(data["e_tot"]) * units.Hartree if "e_tot" in data else None,
        provenance={"file": Path(path).name},
    )


def refit(reference: Reference, basis: Basis, *, metric: str | None = None) -> Reference:
    """Fit another basis to a reference that kept its orbitals; no SCF is run.

    The result has the settings, and therefore the id, that :func:`reference` would have
    given it with this basis.

    Parameters
    ----------
    reference
        Made with ``keep_orbitals=True``, from orbitals of a basis with a name.
    basis
        The new auxiliary basis.
    metric
        Metric of the fit; left out: that of the reference.

    Raises
    ------
    ValueError
        The orbitals were not kept, or their basis is not known by name.
    """
    settings = refit_settings(reference.settings, metric)
    made = fit_wavefunction(
        _kept(reference),
        basis,
        metric=settings["metric"],
        settings=settings,
        converged=reference.converged,
        keep_orbitals=True,
    )
    # those at hand, so that refitting again and again loses no digits
    return replace(made, occupied_orbitals=reference.occupied_orbitals)


def refit_settings(settings: Any, metric: str | None = None) -> dict[str, Any]:
    """Settings of a refit of a reference with these settings, without the auxiliary basis."""
    kept = {k: v for k, v in settings.items() if k != "basis"}
    return {**kept, "metric": metric or kept["metric"]}


def orbital_molecule(reference: Reference) -> Any:
    """The ``pyscf.gto.Mole`` of the orbitals that a reference kept.

    Raises
    ------
    ValueError
        They were not kept, or their basis is not known by name.
    """
    if reference.occupied_orbitals is None:
        raise ValueError(
            "the reference has no orbitals: generate it with keep_orbitals=True to use them later"
        )
    if "orbital_basis" not in reference.settings:
        raise ValueError(
            "settings of the reference do not name the orbital_basis of its orbitals: make it "
            "from orbitals in a basis that PySCF knows by name"
        )
    return build_molecule(reference.atoms, reference.settings["orbital_basis"])


def density_from_mean_field(mean_field: Any, basis: Basis, *, metric: str = "coulomb") -> Density:
    """Fit the density of a finished closed-shell run that is in memory.

    Parameters
    ----------
    mean_field
        A converged ``pyscf`` RKS or RHF object.
    basis, metric
        As for :func:`reference`.

    Raises
    ------
    NotConvergedError
        The run has not converged, or not been run.
    """
    if not mean_field.converged:
        raise NotConvergedError("mean_field has not converged: run its kernel() first")
    orbitals, occupations = np.asarray(mean_field.mo_coeff), np.asarray(mean_field.mo_occ)
    atoms = atoms_of(mean_field.mol, occupations, "mean_field")
    scaled = scaled_orbitals(orbitals, occupations)
    coefficients = fit_density(atoms, basis, mean_field.mol, scaled, metric=metric)
    return Density(atoms, basis, coefficients)


def _kept(reference: Reference) -> Wavefunction:
    """The wavefunction of a reference, with the digits made good that single precision lost."""
    molecule = orbital_molecule(reference)
    name = f"the reference of {reference.atoms.get_chemical_formula()}"
    kept = np.asarray(reference.occupied_orbitals, dtype=float)
    if 2 * kept.shape[1] == molecule.nelectron:  # otherwise occupations are not all 2
        kept = orthonormal_orbitals(molecule, kept / np.sqrt(2), name) * np.sqrt(2)
    return Wavefunction(
        reference.atoms,
        molecule,
        kept,
        source="orbitals",
        name=name,
        energy=reference.energy,
        forces=reference.forces,
        provenance=reference.provenance,
    )
