"""The density on a quadrature grid as a .npz file, for denspart and horton-part.

Arrays, in atomic units:

=========== ============ =====================================================
points      (n, 3)       quadrature points, atom by atom
weights     (n,)         their weights
density     (n,)         electrons per bohr^3; negative values are set to zero
atnums      (natoms,)    atomic numbers
atcorenums  (natoms,)    charges of the nuclei, or of the cores
atcoords    (natoms, 3)  positions
cellvecs    (k, 3)       periods, one row each; none of molecules
grid_sizes  (natoms,)    how many of the points are each atom's
nelec       ()           number of electrons
=========== ============ =====================================================
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from ase import units

from ...files import atomic_write
from ..evaluation.quadrature import molecular_quadrature
from .stockholders import stockholder_blocks

if TYPE_CHECKING:
    from ..density import Density

#: Weights below it (bohr^3) are left out, with their points.
_NO_WEIGHT = 1e-15


def write_quadrature(rho: Density, path: str | os.PathLike[str], *, level: int = 4) -> None:
    """Write a density on a quadrature grid, see the module.

    Parameters
    ----------
    rho
        The density. Of crystals its basis has atomic densities, which divide space.
    path
        The file; an existing one is replaced.
    level
        Quality of the grid, see :mod:`~ase_rholearn.density.evaluation.quadrature`.
    """
    atoms = rho.atoms
    grids = _atom_grids(rho, level)
    points = np.concatenate([points for points, _ in grids])
    density = rho.evaluate(points * units.Bohr) * units.Bohr**3
    with atomic_write(path) as stream:
        np.savez_compressed(
            stream,
            points=points,
            weights=np.concatenate([weights for _, weights in grids]),
            density=np.maximum(density, 0.0),
            atnums=atoms.numbers,
            atcorenums=rho.core_charges,
            atcoords=atoms.positions / units.Bohr,
            cellvecs=atoms.cell.array[atoms.pbc] / units.Bohr,
            grid_sizes=np.array([len(points) for points, _ in grids]),
            nelec=rho.number_of_electrons,
        )


def _atom_grids(rho: Density, level: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points and weights of each atom, in bohr and bohr^3."""
    atoms = rho.atoms
    if not atoms.pbc.any():
        positions = atoms.positions / units.Bohr
        parts = list(enumerate(molecular_quadrature(atoms.numbers, positions, level)))
    else:
        if not rho.basis.atomic_densities:
            raise ValueError(
                f"the basis {rho.basis.name!r} has no atomic densities, which divide the space of "
                "crystals: use a basis that has them, see Basis.with_atomic_densities"
            )
        parts = [(b.atom, (b.points, b.weights)) for b in stockholder_blocks(rho, level)]
    grids = []
    for atom in range(len(atoms)):
        points = np.concatenate([one for owner, (one, _) in parts if owner == atom])
        weights = np.concatenate([one for owner, (_, one) in parts if owner == atom])
        used = np.abs(weights) > _NO_WEIGHT
        grids.append((points[used], weights[used]))
    return grids
