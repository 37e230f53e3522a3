"""Potential, field and Coulomb energies of densities, in ASE's units."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms, units

from ...basis.coulomb import coulomb_blocks, species_pairs
from ...basis.radial_tables import radial_tables
from ..grid import Grid, grid_points
from .ewald import GAUSSIAN_COST, PeriodicPotential, split_exponent
from .potential import AtomCharge, atom_charges, open_potential, table_vectors

if TYPE_CHECKING:
    from ..density import Density

#: Total charge of a cell (e) that counts as neutral.
_NEUTRAL = 1e-6

#: Factor by which a grid makes frequencies cheaper than scattered points do.
_ON_GRID = 30.0

#: Numbers that one block of integrals may hold (64 MB).
_TEMPORARY = 2**23


def potential(rho: Density, points: np.ndarray) -> np.ndarray:
    """Electrostatic potential at points (n, 3) in Angstrom: shape (n,), V."""
    return _at_points(rho, points, field=False) * units.Hartree


def electric_field(rho: Density, points: np.ndarray) -> np.ndarray:
    """Electric field at points (n, 3) in Angstrom: shape (n, 3), V/Angstrom."""
    values = _at_points(rho, points, field=True)
    undefined = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(undefined):
        raise ValueError(
            f"points[{undefined[0]}] is at a nucleus, where the electric field has no direction: "
            "leave the point out, or move it"
        )
    return values * (units.Hartree / units.Bohr)


def potential_on_frame(rho: Density, frame: Grid) -> Grid:
    """Potential at the points of a grid, whose values are ignored: V."""
    periods = rho.atoms.cell.array
    if rho.atoms.pbc.all() and _is_diagonal(frame.cell @ np.linalg.inv(periods)):
        charges, cell = _charges(rho), periods / units.Bohr
        _check_neutral(charges)
        # on a grid, frequencies cost next to nothing
        split = split_exponent(charges, cell, gaussian_cost=_ON_GRID * GAUSSIAN_COST)
        crystal = PeriodicPotential(charges, cell, split=split)
        scale = np.diag(frame.cell @ np.linalg.inv(periods))
        values = crystal.on_grid(frame.origin / units.Bohr, scale, frame.shape)
    else:
        values = np.empty(frame.shape)
        evaluate = _evaluator(rho)
        axis = np.arange(frame.shape[0])[:, None] / frame.shape[0]
        edges = np.array([np.zeros(3), *frame.cell[1:]])
        for index, origin in enumerate(frame.origin + axis * frame.cell[0]):
            plane = grid_points(origin, edges, (1, *frame.shape[1:])).reshape(-1, 3)
            values[index] = evaluate(plane, False).reshape(frame.shape[1:])
    return Grid(values * units.Hartree, frame.origin, frame.cell)


def hartree_energy(rho: Density) -> float:
    """Half the Coulomb interaction of the electrons with themselves: eV."""
    _check_molecule(rho.atoms, "Hartree energy")
    return 0.5 * _electron_repulsion(rho, rho) * units.Hartree


def coulomb_interaction(first: Density, second: Density) -> float:
    """Coulomb interaction of the nuclei and electrons of two molecules: eV."""
    for rho in (first, second):
        _check_molecule(rho.atoms, "Coulomb interaction")
    distances = np.linalg.norm(first.atoms.positions[:, None] - second.atoms.positions, axis=2)
    if not distances.all():
        a, b = np.argwhere(distances == 0)[0]
        raise ValueError(
            f"atom {a} of one density is at the place of atom {b} of the other, where the "
            "interaction of the nuclei is infinite: give two separate molecules; for the "
            "electrons of one molecule use hartree_energy()"
        )
    # everything of the first on the nuclei of the second, its nuclei on the electrons of the
    # second, and the electrons on each other
    on_nuclei = second.core_charges @ _molecule_potential(first, second, nuclei=True)
    on_electrons = first.core_charges @ _molecule_potential(second, first, nuclei=False)
    total = on_nuclei + on_electrons + _electron_repulsion(first, second)
    return float(total * units.Hartree)


def _molecule_potential(source: Density, target: Density, *, nuclei: bool) -> np.ndarray:
    """Potential of one molecule at the nuclei of another, in Hartree/e."""
    charges = source.core_charges if nuclei else np.zeros(len(source.atoms))
    numbers, positions = source.atoms.numbers, source.atoms.positions / units.Bohr
    sources = atom_charges(source.basis, numbers, positions, source.coefficients, charges)
    return open_potential(sources, target.atoms.positions / units.Bohr)


def _electron_repulsion(first: Density, second: Density) -> float:
    """Coulomb interaction of the electrons of two molecules, in Hartree."""
    tables, vectors = [], []
    for rho in (first, second):
        basis, numbers = rho.basis, rho.atoms.numbers
        tables.append(
            {
                z: radial_tables(
                    basis.shells[z],
                    basis.atomic_densities.get(z),
                    purpose="the Coulomb energy (hartree_energy, coulomb_interaction)",
                )
                for z in set(numbers.tolist())
            }
        )
        vectors.append(table_vectors(basis, numbers, rho.coefficients))
    total = 0.0
    for (za, zb), pairs in species_pairs(first.atoms.numbers, second.atoms.numbers).items():
        if first is second:
            # each pair of atoms once, and twice in the sum
            pairs = pairs[pairs[:, 0] >= pairs[:, 1]]
        size = sum(t.size for t in tables[0][za]) * sum(t.size for t in tables[1][zb])
        rows = max(1, _TEMPORARY // size)
        for chosen in (pairs[start : start + rows] for start in range(0, len(pairs), rows)):
            a, b = chosen.T
            apart = (first.atoms.positions[a] - second.atoms.positions[b]) / units.Bohr
            blocks = coulomb_blocks(tables[0][za], tables[1][zb], apart)
            left = np.stack([vectors[0][k] for k in a])
            right = np.stack([vectors[1][k] for k in b])
            energies = np.einsum("ni,nij,nj->n", left, blocks, right, optimize=True)
            twice = np.where(a != b, 2.0, 1.0) if first is second else np.ones(len(a))
            total += float(energies @ twice)
    return total


def _at_points(rho: Density, points: np.ndarray, *, field: bool) -> np.ndarray:
    """Potential or field in atomic units."""
    return _evaluator(rho)(points, field)


def _evaluator(rho: Density) -> Callable[[np.ndarray, bool], np.ndarray]:
    """Function of points (n, 3) in Angstrom that gives the potential or the field."""
    atoms, charges = rho.atoms, _charges(rho)
    if not atoms.pbc.any():
        return lambda points, field: open_potential(charges, points / units.Bohr, field=field)
    if not atoms.pbc.all():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: potentials of slabs and wires are not "
            "implemented; put vacuum into the cell and set pbc=True"
        )
    _check_neutral(charges)
    crystal = PeriodicPotential(charges, atoms.cell.array / units.Bohr)
    return lambda points, field: crystal.at(points / units.Bohr, field=field)


def _charges(rho: Density) -> list[AtomCharge]:
    numbers, positions = rho.atoms.numbers, rho.atoms.positions / units.Bohr
    return atom_charges(rho.basis, numbers, positions, rho.coefficients, rho.core_charges)


def _check_neutral(charges: list[AtomCharge]) -> None:
    total = sum(charge.total for charge in charges)
    if abs(total) > _NEUTRAL:
        raise ValueError(
            f"the cell holds a charge of {total:g} e: the potential of a charged crystal is "
            "infinite; give a neutral structure, and a density with normalize=True"
        )


def _is_diagonal(matrix: np.ndarray) -> bool:
    return bool(np.abs(matrix - np.diag(np.diag(matrix))).max() < 1e-10)


def _check_molecule(atoms: Atoms, what: str) -> None:
    if atoms.pbc.any():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: the {what} of periodic electrons is infinite; "
            "set pbc=False if this is a molecule in a box"
        )
