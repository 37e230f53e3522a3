"""Any density on FHI-aims' product basis, such as one that was predicted in a Gaussian basis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import units

from ..basis import Basis
from ..density import Density
from ..density.charges.stockholders import stockholder_blocks
from ..density.evaluation.functions import FunctionBlock, function_blocks
from ..density.evaluation.quadrature import molecular_quadrature
from ..references.grid.solve import ChargedSolver


@dataclass(frozen=True)
class Projection:
    """A density on another basis.

    Attributes
    ----------
    coefficients
        Flat vector, for :func:`~ase_rholearn.aims.write_restart`: shape (size,).
    nmae
        What the basis cannot express: 100 int |rho' - rho| / int rho.
    charge_shift
        Electrons that the constraint on their number has added.
    """

    coefficients: np.ndarray
    nmae: float
    charge_shift: float


def project_density(rho: Density, basis: Basis, *, level: int = 3) -> Projection:
    """Coefficients of a density on another basis, by least squares in the overlap metric.

    Both sides of S c = w are sums over one grid of points around the atoms, and c holds the
    electrons of the density.

    Parameters
    ----------
    rho
        All-electron density. Of a crystal it needs atomic densities, which divide space.
    basis
        Product basis with radial functions, see :mod:`ase_rholearn.aims.recovery`.
    level
        Quality of the grid, 0 to 5.

    Raises
    ------
    ValueError
        The functions are not known, lack a species, or describe valence electrons only.
    """
    basis.check_known("project_density")
    basis.check_species(rho.atoms.numbers, owner=f"basis {basis.name!r}")
    if basis.kind != rho.basis.kind:
        raise ValueError(
            f"the density is {rho.basis.kind}, the basis {basis.kind}: give both of one kind"
        )
    atoms, size = rho.atoms, basis.size(rho.atoms.numbers)
    overlap, projections = np.zeros((size, size)), np.zeros(size)
    for points, weights in _quadrature(rho, level):
        density = _values(rho, points)
        for block in _blocks(rho, basis, points):
            own = weights[block.points, None] * block.values  # [point, function]
            projections[block.functions] += own.T @ density[block.points]
            overlap[np.ix_(block.functions, block.functions)] += own.T @ block.values
    solver = ChargedSolver.of(overlap, basis.electrons(atoms.numbers), unit_norms=False)
    coefficients, shift = solver.solve(projections, rho.number_of_electrons)
    found = Density(atoms, basis, coefficients, normalize=False)
    error = total = 0.0
    for points, weights in _quadrature(rho, level):
        density = _values(rho, points)
        error += float(weights @ np.abs(_values(found, points) - density))
        total += float(weights @ density)
    return Projection(coefficients, 100 * error / total, shift)


def _quadrature(rho: Density, level: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Points (n, 3) in bohr and weights, atom by atom."""
    atoms = rho.atoms
    if not atoms.pbc.any():
        yield from molecular_quadrature(atoms.numbers, atoms.positions / units.Bohr, level)
        return
    for block in stockholder_blocks(rho.on_atoms(), level):
        yield block.points, block.weights


def _values(rho: Density, points: np.ndarray) -> np.ndarray:
    """Density in e/bohr^3 at points in bohr."""
    return rho.evaluate(points * units.Bohr) * units.Bohr**3


def _blocks(rho: Density, basis: Basis, points: np.ndarray) -> Iterator[FunctionBlock]:
    atoms = rho.atoms
    yield from function_blocks(
        basis,
        atoms.numbers,
        atoms.positions / units.Bohr,
        points,
        atoms.cell.array / units.Bohr,
        atoms.pbc,
    )
