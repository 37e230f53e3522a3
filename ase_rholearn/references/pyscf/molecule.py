"""PySCF molecules: made from structures, and read back into structures."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols

from ...structures import check_atoms, total_charge
from .integrals import pyscf_geometry


def build_molecule(atoms: Atoms, orbital_basis: Any, spin: int | None = None) -> Any:
    """The ``pyscf.gto.Mole`` of a structure.

    Parameters
    ----------
    atoms
        Its charge is ``atoms.info["charge"]`` or the sum of its initial charges.
    orbital_basis
        Anything that PySCF takes as ``basis``.
    spin
        Unpaired electrons; left out: a closed shell.

    Raises
    ------
    ValueError
        Numbers of electrons that do not go with ``spin``, open shells without one, and named
        bases that PySCF does not have or that are not all-electron.
    """
    from pyscf import gto

    charge = total_charge(atoms)
    electrons = int(atoms.numbers.sum()) - charge
    if spin is not None and (electrons < spin or (electrons - spin) % 2):
        raise ValueError(
            f"{atoms.get_chemical_formula()} with charge {charge} has {electrons} electrons, of "
            f"which spin says that {spin} are unpaired: give another spin or charge"
        )
    if spin is None and electrons % 2:
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
        spin=spin or 0,
        unit="B",
        verbose=0,
        parse_arg=False,
    )


def check_molecule(atoms: Atoms) -> None:
    """Raise a ValueError for structures that PySCF references are not made for."""
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


def atoms_of(molecule: Any, occupations: np.ndarray, source: str) -> Atoms:
    """The structure of a closed-shell PySCF run, or an error that says why it cannot be fitted."""
    if molecule.cart or molecule.has_ecp() or hasattr(molecule, "lattice_vectors"):
        raise ValueError(
            f"{source}: only molecules with spherical orbitals and without effective core "
            "potentials can be fitted"
        )
    if molecule.spin != 0 or occupations.ndim != 1 or (occupations == 1).any():
        raise ValueError(f"{source} is an open-shell run: only closed shells can be fitted")
    atoms = structure_of(molecule)
    check_molecule(atoms)
    return atoms


def structure_of(molecule: Any) -> Atoms:
    """Nuclei and charge of a PySCF molecule, whatever its electrons do."""
    symbols = [molecule.atom_pure_symbol(i) for i in range(molecule.natm)]
    atoms = Atoms(symbols, positions=molecule.atom_coords() * units.Bohr)
    if molecule.charge:
        atoms.info["charge"] = int(molecule.charge)
    return atoms


def with_typed_positions(atoms: Atoms, molecule: Any) -> tuple[Atoms, Any]:
    """Structure and molecule at the positions that a user typed in Angstrom.

    PySCF's bohr differs from ASE's in the tenth digit. Without this, a run that was given
    positions in Angstrom would come back as another structure, with another id.
    """
    from pyscf.data import nist

    typed = atoms.copy()
    typed.positions = np.round(molecule.atom_coords() * nist.BOHR, 12)
    moved = molecule.copy()
    moved.verbose = 0  # it remarks on the change of the unit
    moved.set_geom_(typed.positions / units.Bohr, unit="B")
    return typed, moved


def check_basis(basis: str, symbol: str, argument: str, remedy: str) -> None:
    """Raise a ValueError that names the argument and a remedy if PySCF does not have a basis."""
    from pyscf import gto

    with warnings.catch_warnings():
        # PySCF advises to install another package for bases that it does not have
        warnings.simplefilter("ignore", UserWarning)
        try:
            gto.basis.load(basis, symbol)
        except (RuntimeError, KeyError) as error:
            raise ValueError(
                f"{argument} is {basis!r}, which PySCF does not have for {symbol}: {remedy}"
            ) from error


def _check_orbital_basis(orbital_basis: str, symbol: str) -> None:
    """Refuse bases that PySCF does not know, and those with an effective core potential."""
    from pyscf import gto

    check_basis(orbital_basis, symbol, "orbital_basis", "give a name such as 'def2-tzvp'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            potential = gto.basis.load_ecp(orbital_basis, symbol)
        except (RuntimeError, KeyError):
            return
    if potential:
        raise ValueError(
            f"{orbital_basis!r} has an effective core potential for {symbol}: give an "
            "all-electron orbital_basis"
        )
