"""PySCF's cell of a crystal, with the pseudopotentials that go with a density."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols

from ...basis import Basis
from ...density import Density
from ...references.pyscf.integrals import check_same_atoms, pyscf_geometry
from ...references.pyscf.molecule import check_all_electron_basis, check_basis
from ...structures import check_atoms

#: Pseudopotentials of Goedecker, Teter and Hutter that were made for a kind of functional.
_PSEUDO = {"LDA": "gth-pade", "GGA": "gth-pbe"}

#: How far (Angstrom) the cells of a structure and of its density may differ.
_SAME_CELL = 1e-6


def check_crystal(atoms: Atoms, density: Density) -> None:
    """Raise a ValueError unless these are the atoms of a crystal, and of the density.

    It is periodic in all directions, neutral and without magnetic moments.
    """
    check_atoms(atoms)
    if not atoms.pbc.all():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: one_shot_crystal is for crystals; set pbc=True if "
            "the vacuum belongs to the cell, and use one_shot for molecules"
        )
    if not density.atoms.pbc.all() or not np.allclose(
        density.atoms.cell.array, atoms.cell.array, rtol=0, atol=_SAME_CELL
    ):
        raise ValueError(
            f"the density repeats after {density.atoms.cell.array.tolist()} (pbc "
            f"{density.atoms.pbc.tolist()}), atoms after {atoms.cell.array.tolist()}: give a "
            "density of this crystal"
        )
    if density.charge:
        raise ValueError(
            f"the cell has the charge {density.charge}: its potential and energy depend on a "
            "background; give a neutral crystal"
        )
    if np.abs(atoms.get_initial_magnetic_moments()).max() > 0:
        raise ValueError(
            "atoms has initial magnetic moments: both spins get the same potential here; remove "
            "them if the crystal is not magnetic"
        )


def build_cell(
    atoms: Atoms,
    density: Density,
    orbital_basis: Any,
    pseudo: str | None,
    kind: str,
    shape: tuple[int, int, int] | None,
) -> Any:
    """The ``pyscf.pbc.gto.Cell`` of a crystal.

    Parameters
    ----------
    atoms, density
        See :func:`check_crystal`. The density says whether there are pseudopotentials.
    orbital_basis
        Anything that PySCF takes as ``basis``.
    pseudo
        Family of pseudopotentials in PySCF's notation; left out: the one that was made for this
        kind of functional.
    kind
        ``"LDA"`` or ``"GGA"``.
    shape
        Points of the uniform grid along each axis; left out: those that PySCF takes.

    Raises
    ------
    ValueError
        Bases and pseudopotentials that PySCF does not have, and combinations of all-electron
        densities with pseudopotentials or with the bases that belong to them.
    """
    from pyscf.pbc import gto

    if shape is not None and (len(shape) != 3 or min(shape) < 1):
        raise ValueError(f"shape is {tuple(shape)}: give three positive numbers of points")
    species = sorted(set(atoms.numbers.tolist()))
    potentials = {}
    if density.basis.kind == "valence":
        potentials = _pseudopotentials(density.basis, species, pseudo or _PSEUDO[kind])
    elif pseudo is not None:
        raise ValueError(
            f"pseudo is {pseudo!r}, but the density is all-electron: give a valence density with "
            "the core charges of the pseudopotentials, or leave pseudo out"
        )
    elif isinstance(orbital_basis, str) and orbital_basis.lower().startswith("gth"):
        raise ValueError(
            f"basis is {orbital_basis!r}, which belongs to pseudopotentials, but the density is "
            "all-electron: give an all-electron basis such as 'def2-svp', or a valence density"
        )
    for z in species if isinstance(orbital_basis, str) else ():
        if potentials:
            remedy = "give a name such as 'gth-dzvp'"
            check_basis(orbital_basis, chemical_symbols[z], "basis", remedy)
        else:
            check_all_electron_basis(orbital_basis, chemical_symbols[z])
    cell = gto.Cell(
        atom=pyscf_geometry(atoms),
        a=atoms.cell.array / units.Bohr,
        unit="B",
        basis=orbital_basis,
        pseudo=potentials,
        # an odd number of electrons is no obstacle to equal spins at k-points
        spin=None,
        verbose=0,
    )
    if shape is not None:
        cell.mesh = np.array(shape)
    cell.build(parse_arg=False)
    check_same_atoms(cell, density.atoms)
    return cell


def _pseudopotentials(basis: Basis, species: list[int], family: str) -> dict[str, str]:
    """Of each species that with the core charge of the density."""
    from pyscf.gto.basis import load_pseudo
    from pyscf.lib.exceptions import BasisNotFoundError

    names = {}
    for z in species:
        symbol, charge = chemical_symbols[z], basis.core_charge(z)
        name = f"{family}-q{charge:g}"
        try:
            load_pseudo(name, symbol)
        except (BasisNotFoundError, KeyError) as error:
            raise ValueError(
                f"PySCF has no pseudopotential {name!r} for {symbol}: the density has "
                f"{charge:g} valence electrons of this element; give pseudo= the family of "
                "pseudopotentials that it was made with"
            ) from error
        names[symbol] = name
    return names
