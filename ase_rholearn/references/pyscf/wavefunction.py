"""Occupied orbitals of a finished calculation, wherever they come from, and their fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from ase import Atoms, units

from ...basis import Basis
from ..reference import Reference, settings_with_basis
from .fit import fit_density
from .molecule import build_molecule
from .settings import KohnSham

#: How far from 1 the overlaps of orbitals may be that digits of a file explain.
_ORTHONORMAL = 1e-3

#: Largest overlap difference of two AO bases that count as the same.
_SAME_BASIS = 1e-6


@dataclass(frozen=True)
class Wavefunction:
    """A closed-shell single determinant, as files and programs hand it over.

    Attributes
    ----------
    atoms
        The structure.
    molecule
        The ``pyscf.gto.Mole`` of the orbitals.
    orbitals
        (nao, nocc) in the order of ``molecule``, scaled so that the density matrix is C C^T.
    source
        What kind of source it was, for the settings.
    name
        What error messages call it, such as the name of the file.
    energy, forces
        eV and eV/Angstrom, or None.
    provenance
        See :class:`~ase_rholearn.references.Reference`.
    """

    atoms: Atoms
    molecule: Any
    orbitals: np.ndarray
    source: str
    name: str
    energy: float | None = None
    forces: np.ndarray | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, level: KohnSham | None = None, metric: str | None = None) -> dict[str, Any]:
        """Settings of the reference that a fit gives, without those of the auxiliary basis.

        Parameters
        ----------
        level
            The level of theory that it was made with. Files do not record it; the settings are
            those that a run at this level would have.
        metric
            Metric of the fit, where no level says it.
        """
        if level is not None:
            return level.to_dict()
        settings: dict[str, Any] = {"source": self.source, **named_basis(self.molecule.basis)}
        if self.source != "molden":  # other programs write those
            settings["code"] = "pyscf"
        return {**settings, "metric": metric or "coulomb"}

    def in_basis(self, orbital_basis: str) -> Wavefunction:
        """The same density in PySCF's basis of this name, if that is the basis that it is in.

        The order of shells may differ.

        Raises
        ------
        ValueError
            The orbitals need other functions.
        """
        from pyscf import gto

        named = build_molecule(self.atoms, orbital_basis)
        overlap = named.intor("int1e_ovlp")
        if overlap.shape[0] == self.molecule.nao and np.allclose(
            overlap, self.molecule.intor("int1e_ovlp"), rtol=0, atol=_SAME_BASIS
        ):
            return replace(self, molecule=named)
        cross = gto.mole.intor_cross("int1e_ovlp", named, self.molecule)
        orbitals = np.linalg.solve(overlap, cross @ self.orbitals)
        held, before = electrons(named, orbitals), electrons(self.molecule, self.orbitals)
        if abs(held - before) > _ORTHONORMAL:
            raise ValueError(
                f"{self.name} is not in the basis {orbital_basis!r}: that holds only {held:.4f} of "
                f"its {before:.4f} electrons; give the orbital_basis that it was made with"
            )
        return replace(self, molecule=named, orbitals=orbitals)


def fit_wavefunction(
    wavefunction: Wavefunction,
    basis: Basis,
    *,
    level: KohnSham | None = None,
    metric: str | None = None,
    settings: Mapping[str, Any] | None = None,
    converged: bool | None = None,
    keep_orbitals: bool = False,
) -> Reference:
    """Fit the density of a wavefunction.

    Parameters
    ----------
    wavefunction
        Where the density comes from.
    basis
        The auxiliary basis.
    level
        The level of theory that it was made with, if known: settings and id of the result are
        then those of a run at this level, and the metric is that of the level.
    metric
        Metric of the fit; left out: that of the level, else ``"coulomb"``.
    settings
        Settings of the reference; left out: those of :meth:`Wavefunction.settings`.
    converged
        Whether the run that made it had converged. Data sets take only True.
    keep_orbitals
        Keep the orbitals (single precision) in the result.

    Raises
    ------
    ValueError
        The basis lacks a species, the metrics contradict each other, or the orbitals are not in
        the basis of the level.
    """
    if level is not None:
        if metric not in (None, level.metric):
            raise ValueError(
                f"metric is {metric!r} but level.metric is {level.metric!r}: give only the level"
            )
        metric = level.metric
        wavefunction = wavefunction.in_basis(level.orbital_basis)
    atoms, molecule = wavefunction.atoms, wavefunction.molecule
    orbitals = wavefunction.orbitals
    coefficients = fit_density(atoms, basis, molecule, orbitals, metric=metric or "coulomb")
    held = basis.electrons(atoms.numbers) @ coefficients
    held += basis.baseline_electrons(atoms.numbers).sum()
    if settings is None:
        settings = wavefunction.settings(level, metric)
    return Reference(
        atoms=atoms.copy(),
        coefficients=coefficients,
        settings=settings_with_basis(settings, basis),
        converged=converged,
        energy=wavefunction.energy,
        forces=wavefunction.forces,
        dipole=dipole(molecule, orbitals),
        occupied_orbitals=orbitals.astype(np.float32) if keep_orbitals else None,
        fit={"electron_error": float(held - molecule.nelectron)},
        provenance=dict(wavefunction.provenance),
    )


def named_basis(orbital_basis: Any) -> dict[str, str]:
    """The entry of the settings for an AO basis; none if it has no name."""
    return {"orbital_basis": orbital_basis} if isinstance(orbital_basis, str) else {}


def scaled_orbitals(coefficients: np.ndarray, occupations: np.ndarray) -> np.ndarray:
    """Occupied columns, scaled so that the density matrix is C C^T."""
    occupied = occupations > 1e-8
    return coefficients[:, occupied] * np.sqrt(occupations[occupied])


def orthonormal_orbitals(molecule: Any, orbitals: np.ndarray, name: str) -> np.ndarray:
    """The orthonormal orbitals nearest to those given (P.-O. Loewdin, 1950): (nao, nocc).

    Files hold few digits. In single precision the orbitals of a molecule lose up to 1e-4
    electrons, far more than the fit does, and the error sits in the charge, where the Coulomb
    metric counts it most. Orthonormal orbitals hold all electrons, and differ from the
    original ones by no more than the digits that were lost.

    Raises
    ------
    ValueError
        They are further from orthonormal than lost digits explain.
    """
    overlaps = orbitals.T @ molecule.intor("int1e_ovlp") @ orbitals
    error = np.abs(overlaps - np.eye(len(overlaps))).max(initial=0.0)
    if not error < _ORTHONORMAL:
        raise ValueError(
            f"the occupied orbitals of {name} are not orthonormal in its basis (error "
            f"{error:.1e}): check the orbital basis and the order of its functions, which is "
            "PySCF's spherical one"
        )
    values, vectors = np.linalg.eigh(overlaps)
    return orbitals @ (vectors / np.sqrt(values)) @ vectors.T


def electrons(molecule: Any, orbitals: np.ndarray) -> float:
    """Electrons that scaled orbitals hold."""
    return float(np.einsum("pi,pi->", orbitals, molecule.intor("int1e_ovlp") @ orbitals))


def dipole(molecule: Any, orbitals: np.ndarray) -> np.ndarray:
    """Dipole of scaled orbitals and nuclei about the centre of nuclear charge, in e Angstrom."""
    charges, positions = molecule.atom_charges(), molecule.atom_coords()
    centre = charges @ positions / charges.sum()
    with molecule.with_common_origin(centre):
        integrals = molecule.intor_symmetric("int1e_r", comp=3)
    return -np.einsum("xpi,pi->x", integrals @ orbitals, orbitals) * units.Bohr
