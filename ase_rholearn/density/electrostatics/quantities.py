"""Potential, field and Coulomb energies of densities, in ASE's units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms, units

from ...basis.coulomb import coulomb_blocks, species_pairs
from ...basis.radial_tables import radial_tables
from ..evaluation.points import completed_cell
from ..grid import Grid, grid_points
from .ewald import GRID_SPLIT, SplitPotential
from .potential import AtomCharge, atom_charges, open_potential, smeared, table_vectors

if TYPE_CHECKING:
    from ..density import Density
    from ..field import DensityField

#: Total charge of a cell (e) that counts as neutral.
_NEUTRAL = 1e-6

#: Molecules of fewer atoms get their potential on grids in closed form.
_SMALL = 24

#: What may be neglected in one term of a large molecule on a grid, e/bohr^3 and Hartree/e.
_OPEN_TOLERANCE = 1e-10

#: Exponent x of exp(-x) that is taken for zero far from a slab.
_FAR = 28.0

#: Distance from the nuclei (bohr) where nothing is left of the electrons.
_REACH = 25.0

#: Numbers that one block of integrals may hold (64 MB).
_TEMPORARY = 2**23


def potential(rho: DensityField, points: np.ndarray) -> np.ndarray:
    """Electrostatic potential at points (n, 3) in Angstrom: shape (n,), V."""
    return _at_points(rho, points, field=False) * units.Hartree


def electric_field(rho: DensityField, points: np.ndarray) -> np.ndarray:
    """Electric field at points (n, 3) in Angstrom: shape (n, 3), V/Angstrom."""
    values = _at_points(rho, points, field=True)
    undefined = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(undefined):
        raise ValueError(
            f"points[{undefined[0]}] is at a nucleus, where the electric field has no direction: "
            "leave the point out, or move it"
        )
    return values * (units.Hartree / units.Bohr)


def potential_on_frame(rho: DensityField, frame: Grid, *, nuclei: str = "point") -> Grid:
    """Potential at the points of a grid, whose values are ignored: V.

    Where the axes of the grid are those of the structure it comes from matrix products and a
    Fourier transform, and is right to 1e-7 V (in molecules to 1e-6 V); otherwise from
    :func:`potential`.

    Parameters
    ----------
    rho
        The density.
    frame
        The grid.
    nuclei
        ``"point"``: exact, and infinite at a grid point that is at a nucleus. ``"smeared"``:
        nuclei (or cores) are Gaussians whose standard deviation is half of the grid's spacing,
        so that all values are finite; those further than three points from every nucleus stay
        as they are but for the average of a crystal, which is zero again.
    """
    if nuclei not in ("point", "smeared"):
        raise ValueError(f'nuclei is {nuclei!r}: give "point" or "smeared"')
    charges = _charges(rho)
    origin, cell = frame.origin / units.Bohr, frame.cell / units.Bohr
    if nuclei == "smeared":
        step = float(np.max(np.linalg.norm(cell, axis=1) / frame.shape))
        charges = [smeared(charge, 2 / step**2) for charge in charges]
    if _by_products(rho.atoms, frame):
        lattice, pbc = rho.atoms.cell.array / units.Bohr, rho.atoms.pbc
        targets = np.array([origin, origin + cell.sum(axis=0)])
        tolerance = {} if pbc.any() else {"tolerance": _OPEN_TOLERANCE}
        split = SplitPotential(charges, lattice, pbc, targets, split=GRID_SPLIT, **tolerance)
        values = split.on_grid(origin, cell, frame.shape)
    else:
        points = grid_points(origin, cell, frame.shape).reshape(-1, 3)
        values = _values(rho.atoms, charges, points).reshape(frame.shape)
    return Grid(values * units.Hartree, frame.origin, frame.cell)


def _by_products(atoms: Atoms, frame: Grid) -> bool:
    """Whether a grid has the axes of a structure, which is no small molecule."""
    scale = frame.cell @ np.linalg.inv(completed_cell(atoms.cell.array, atoms.pbc))
    lengths = np.diag(scale)
    aligned = np.abs(scale - np.diag(lengths)).max() < 1e-10 and (lengths > 0).all()
    spans = np.abs(lengths[atoms.pbc] - 1).max(initial=0.0) < 1e-10
    return bool(aligned and spans and (atoms.pbc.any() or len(atoms) >= _SMALL))


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


def _at_points(rho: DensityField, points: np.ndarray, *, field: bool) -> np.ndarray:
    """Potential or field in atomic units, at points in Angstrom."""
    return _values(rho.atoms, _charges(rho), points / units.Bohr, field=field)


def _values(
    atoms: Atoms, charges: list[AtomCharge], points: np.ndarray, *, field: bool = False
) -> np.ndarray:
    """Potential or field in atomic units, at points in bohr."""
    cell, pbc = atoms.cell.array / units.Bohr, atoms.pbc
    if not pbc.any() or len(points) == 0:
        return open_potential(charges, points, field=field)
    if not pbc.all():
        points = _near_slab(points, charges, cell, pbc)
    return SplitPotential(charges, cell, pbc, points).at(points, field=field)


def _near_slab(
    points: np.ndarray, charges: list[AtomCharge], cell: np.ndarray, pbc: np.ndarray
) -> np.ndarray:
    """Points moved towards a slab to where its potential does not change any more."""
    completed = completed_cell(cell, pbc)
    normal = completed[~pbc][0]
    heights = np.array([charge.centre for charge in charges]) @ normal
    slowest = np.linalg.norm(2 * np.pi * np.linalg.inv(completed).T[pbc], axis=1).min()
    reach = _REACH + _FAR / slowest
    above = points @ normal
    moved = np.clip(above, heights.min() - reach, heights.max() + reach)
    return points + (moved - above)[:, None] * normal


def _charges(rho: DensityField) -> list[AtomCharge]:
    """Nuclei and electrons, if they have a potential."""
    atoms = rho.atoms
    if atoms.pbc.sum() == 1:
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: potentials of wires are not implemented; put "
            "vacuum into the cell and set pbc=True"
        )
    charges = rho.atom_charges()
    if atoms.pbc.any():
        _check_neutral(charges)
    return charges


def _check_neutral(charges: list[AtomCharge]) -> None:
    total = sum(charge.total for charge in charges)
    if abs(total) > _NEUTRAL:
        raise ValueError(
            f"the cell holds a charge of {total:g} e: the potential of a charged crystal is "
            "infinite; give a neutral structure, and a density with normalize=True"
        )


def _check_molecule(atoms: Atoms, what: str) -> None:
    if atoms.pbc.any():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: the {what} of periodic electrons is infinite; "
            "set pbc=False if this is a molecule in a box"
        )
