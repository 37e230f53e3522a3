"""Potential and field of densities, in ASE's units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms, units

from ..evaluation.points import completed_cell
from ..grid import Grid, grid_points
from .ewald import GRID_SPLIT, SplitPotential
from .potential import AtomCharge, check_neutral, open_potential, smeared

if TYPE_CHECKING:
    from ..field import DensityField

#: Molecules of fewer atoms get their potential on grids in closed form.
_SMALL = 24

#: What may be neglected in one term of a large molecule on a grid, e/bohr^3 and Hartree/e.
_OPEN_TOLERANCE = 1e-10

#: Exponent x of exp(-x) that is taken for zero far from a slab.
_FAR = 28.0

#: Distance from the nuclei (bohr) where nothing is left of the electrons.
_REACH = 25.0


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
        check_neutral(charges, "the potential of a charged crystal")
    return charges
