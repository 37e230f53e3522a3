"""Kohn-Sham reference runs with PySCF, and fits of wavefunctions that exist already."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols

from ...basis import Basis
from ...density import Density
from ...structures import check_atoms, total_charge
from ..reference import NotConvergedError, Reference, settings_with_basis
from .fit import fit_density
from .integrals import pyscf_geometry
from .settings import KohnSham


def reference(
    atoms: Atoms,
    basis: Basis,
    settings: KohnSham | None = None,
    *,
    keep_orbitals: bool = False,
) -> Reference:
    """Run PySCF for a molecule and fit its density.

    Parameters
    ----------
    atoms
        A molecule without periodic directions. Its charge is ``atoms.info["charge"]`` or
        the sum of its initial charges.
    basis
        Auxiliary basis, with the atomic densities of the same level of theory (see
        :func:`~ase_rholearn.references.pyscf.atomic_densities`).
    settings
        Level of theory and fit; the defaults are PBE/def2-TZVP and the Coulomb metric.
    keep_orbitals
        Keep the occupied orbitals (single precision), so that another basis can be fitted
        later without a new run.

    Raises
    ------
    NotConvergedError
        The SCF did not converge.
    ValueError
        Periodic structures, open shells, species that the basis lacks, and what
        :func:`~ase_rholearn.structures.check_atoms` refuses.
    """
    settings = settings or KohnSham()
    _check_molecule(atoms)
    basis.check_species(atoms.numbers)
    mean_field = kohn_sham(atoms, settings)
    energy = _self_consistent(mean_field, settings)
    if not mean_field.converged:
        raise NotConvergedError(
            f"{settings.xc}/{settings.orbital_basis} did not converge for "
            f"{atoms.get_chemical_formula()} in {settings.max_cycle} cycles: raise max_cycle, "
            "loosen conv_tol, or check the geometry"
        )
    forces = None
    if settings.forces:
        gradient = mean_field.nuc_grad_method()
        gradient.grid_response = True
        forces = -gradient.kernel() * units.Hartree / units.Bohr
    orbitals = _scaled_orbitals(mean_field.mo_coeff, mean_field.mo_occ)
    return _fitted(
        atoms,
        basis,
        mean_field.mol,
        orbitals,
        settings.to_dict(),
        metric=settings.metric,
        converged=True,
        energy=float(energy) * units.Hartree,
        forces=forces,
        keep_orbitals=keep_orbitals,
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
    _check_molecule(atoms)
    molecule = _molecule(atoms, orbital_basis)
    orbitals = np.asarray(occupied_orbitals, dtype=float)
    if orbitals.ndim != 2 or orbitals.shape[0] != molecule.nao:
        raise ValueError(
            f"occupied_orbitals has shape {orbitals.shape} but {orbital_basis!r} has "
            f"{molecule.nao} functions here: give (nao, nocc) in PySCF's spherical order"
        )
    held = float(np.einsum("pi,pq,qi->", orbitals, molecule.intor("int1e_ovlp"), orbitals))
    if abs(held - molecule.nelectron) > 1e-3:
        raise ValueError(
            f"occupied_orbitals hold {held:.4f} electrons, the structure has "
            f"{molecule.nelectron}: scale them so that the density matrix is C C^T, and check "
            "the charge"
        )
    return _fitted(
        atoms,
        basis,
        molecule,
        orbitals,
        {
            "code": "pyscf",
            "source": "orbitals",
            **_named_basis(orbital_basis),
            "metric": metric,
            **(settings or {}),
        },
        metric=metric,
        converged=converged,
        energy=energy,
        forces=forces,
        keep_orbitals=keep_orbitals,
    )


def from_checkpoint(
    path: str | os.PathLike[str],
    basis: Basis,
    *,
    metric: str = "coulomb",
    converged: bool | None = None,
    keep_orbitals: bool = False,
) -> Reference:
    """Fit the density of a PySCF checkpoint file; no SCF is run.

    PySCF does not record in the file whether the run had converged: say
    ``converged=True`` if you know that it had.

    Raises
    ------
    ValueError
        The file is no checkpoint of a closed-shell molecular run with spherical orbitals.
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
    atoms = _atoms_of(molecule, occupations, os.fspath(path))
    return _fitted(
        atoms,
        basis,
        molecule,
        _scaled_orbitals(coefficients, occupations),
        {
            "code": "pyscf",
            "source": "checkpoint",
            **_named_basis(molecule.basis),
            "metric": metric,
        },
        metric=metric,
        converged=converged,
        energy=float(data["e_tot"]) * units.Hartree if "e_tot" in data else None,
        forces=None,
        keep_orbitals=keep_orbitals,
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
    molecule = orbital_molecule(reference)
    settings = {k: v for k, v in reference.settings.items() if k != "basis"}
    settings["metric"] = metric or settings["metric"]
    return _fitted(
        reference.atoms,
        basis,
        molecule,
        np.asarray(reference.occupied_orbitals, dtype=float),
        settings,
        metric=settings["metric"],
        converged=reference.converged,
        energy=reference.energy,
        forces=reference.forces,
        keep_orbitals=True,
    )


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
    return _molecule(reference.atoms, reference.settings["orbital_basis"])


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
    atoms = _atoms_of(mean_field.mol, occupations, "mean_field")
    scaled = _scaled_orbitals(orbitals, occupations)
    coefficients = fit_density(atoms, basis, mean_field.mol, scaled, metric=metric)
    return Density(atoms, basis, coefficients)


def kohn_sham(atoms: Atoms, settings: KohnSham) -> Any:
    """The PySCF mean-field object of a closed-shell molecule, not yet run."""
    from pyscf import dft

    mean_field = dft.RKS(_molecule(atoms, settings.orbital_basis), xc=settings.xc)
    mean_field.grids.level = settings.grid_level
    mean_field.conv_tol = settings.conv_tol
    mean_field.max_cycle = settings.max_cycle
    mean_field.chkfile = None
    # PySCF opens a temporary file all the same, and leaves closing it to garbage collection
    mean_field._chkfile = None
    return mean_field.density_fit() if settings.density_fit else mean_field


def _self_consistent(mean_field: Any, settings: KohnSham) -> float:
    """Run the SCF; the energy in Hartree.

    Most cycles are done on a coarse grid, only the last ones on the real one: half of the
    time, the same density to the convergence threshold.
    """
    if settings.density_fit:
        mean_field.with_df.build()  # otherwise each cycle computes the integrals again
    start = None
    if settings.grid_level > 1:
        mean_field.grids.level = 1
        mean_field.conv_tol = max(settings.conv_tol, 1e-6)
        mean_field.kernel()
        start = mean_field.make_rdm1()
        mean_field.grids.reset()
        mean_field.grids.level = settings.grid_level
        mean_field.conv_tol = settings.conv_tol
    return float(mean_field.kernel(start))


def _molecule(atoms: Atoms, orbital_basis: Any) -> Any:
    from pyscf import gto

    charge = total_charge(atoms)
    electrons = int(atoms.numbers.sum()) - charge
    if electrons % 2:
        raise ValueError(
            f"{atoms.get_chemical_formula()} with charge {charge} has {electrons} electrons, an "
            "open shell: only closed shells are supported"
        )
    if electrons < 0:
        raise ValueError(
            f"{atoms.get_chemical_formula()} with charge {charge} has {electrons} electrons: "
            "check the charge"
        )
    if isinstance(orbital_basis, str):
        for z in sorted(set(atoms.numbers.tolist())):
            _check_orbital_basis(orbital_basis, chemical_symbols[z])
    return gto.M(
        atom=pyscf_geometry(atoms),
        basis=orbital_basis,
        charge=charge,
        spin=0,
        unit="B",
        verbose=0,
        parse_arg=False,
    )


def _check_orbital_basis(orbital_basis: str, symbol: str) -> None:
    """Refuse bases that PySCF does not know, and those with an effective core potential."""
    from pyscf import gto

    with warnings.catch_warnings():
        # PySCF advises to install another package for bases that it does not have
        warnings.simplefilter("ignore", UserWarning)
        try:
            gto.basis.load(orbital_basis, symbol)
        except (RuntimeError, KeyError) as error:
            raise ValueError(
                f"orbital_basis is {orbital_basis!r}, which PySCF does not have for {symbol}: "
                "give a name such as 'def2-tzvp'"
            ) from error
        try:
            potential = gto.basis.load_ecp(orbital_basis, symbol)
        except (RuntimeError, KeyError):
            return
    if potential:
        raise ValueError(
            f"{orbital_basis!r} has an effective core potential for {symbol}: give an "
            "all-electron orbital_basis"
        )


def _check_molecule(atoms: Atoms) -> None:
    check_atoms(atoms)
    if atoms.pbc.any():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: PySCF references are for molecules; set pbc=False"
        )
    moments = atoms.get_initial_magnetic_moments()
    if np.abs(moments).max() > 0 or atoms.info.get("spin", 0):
        raise ValueError(
            "atoms has initial magnetic moments (or a spin): only closed shells are supported; "
            "remove them if the molecule is a singlet"
        )


def _atoms_of(molecule: Any, occupations: np.ndarray, source: str) -> Atoms:
    """The structure of a closed-shell PySCF run, or an error that says why it cannot be fitted."""
    if molecule.cart or molecule.has_ecp() or hasattr(molecule, "lattice_vectors"):
        raise ValueError(
            f"{source}: only molecules with spherical orbitals and without effective core "
            "potentials can be fitted"
        )
    if molecule.spin != 0 or occupations.ndim != 1 or (occupations == 1).any():
        raise ValueError(f"{source} is an open-shell run: only closed shells can be fitted")
    symbols = [molecule.atom_pure_symbol(i) for i in range(molecule.natm)]
    atoms = Atoms(symbols, positions=molecule.atom_coords() * units.Bohr)
    if molecule.charge:
        atoms.info["charge"] = int(molecule.charge)
    _check_molecule(atoms)
    return atoms


def _named_basis(orbital_basis: Any) -> dict[str, str]:
    """The entry of the settings for an AO basis; none if it has no name."""
    return {"orbital_basis": orbital_basis} if isinstance(orbital_basis, str) else {}


def _scaled_orbitals(coefficients: np.ndarray, occupations: np.ndarray) -> np.ndarray:
    """Occupied columns, scaled so that the density matrix is C C^T."""
    occupied = occupations > 1e-8
    return coefficients[:, occupied] * np.sqrt(occupations[occupied])


def _fitted(
    atoms: Atoms,
    basis: Basis,
    molecule: Any,
    orbitals: np.ndarray,
    settings: dict[str, Any],
    *,
    metric: str,
    converged: bool | None,
    energy: float | None,
    forces: np.ndarray | None,
    keep_orbitals: bool,
) -> Reference:
    coefficients = fit_density(atoms, basis, molecule, orbitals, metric=metric)
    held = basis.electrons(atoms.numbers) @ coefficients
    held += basis.baseline_electrons(atoms.numbers).sum()
    return Reference(
        atoms=atoms.copy(),
        coefficients=coefficients,
        settings=settings_with_basis(settings, basis),
        converged=converged,
        energy=energy,
        forces=forces,
        dipole=_dipole(molecule, orbitals) * units.Bohr,
        occupied_orbitals=orbitals.astype(np.float32) if keep_orbitals else None,
        fit={"electron_error": float(held - molecule.nelectron)},
    )


def _dipole(molecule: Any, orbitals: np.ndarray) -> np.ndarray:
    """Dipole about the centre of nuclear charge, in e bohr."""
    charges, positions = molecule.atom_charges(), molecule.atom_coords()
    centre = charges @ positions / charges.sum()
    with molecule.with_common_origin(centre):
        integrals = molecule.intor_symmetric("int1e_r", comp=3)
    return -np.einsum("xpq,pi,qi->x", integrals, orbitals, orbitals)
