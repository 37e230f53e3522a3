"""The density on a quadrature grid as a .npz file, for denspart and horton-part.

Arrays, in atomic units:

=========== ============ =====================================================
points      (n, 3)       quadrature points, atom by atom
weights     (n,)         their weights
density     (n,)         electrons per bohr^3; negative values are set to zero
atnums      (natoms,)    atomic numbers
atcorenums  (natoms,)    charges of the nuclei, or of the cores
atcoords    (natoms, 3)  positions
cellvecs    (0, 3)       no periods
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

if TYPE_CHECKING:
    from ..density import Density

#: Weights below it (bohr^3) are left out, with their points.
_NO_WEIGHT = 1e-15


def write_quadrature(rho: Density, path: str | os.PathLike[str], *, level: int = 4) -> None:
    """Write the density of a molecule on a quadrature grid, see the module.

    Parameters
    ----------
    rho
        The density.
    path
        The file; an existing one is replaced.
    level
        Quality of the grid, see :mod:`~ase_rholearn.density.evaluation.quadrature`.
    """
    atoms = rho.atoms
    if atoms.pbc.any():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: quadrature files are for molecules; set pbc=False "
            "if this is a molecule in a box, or write a grid"
        )
    positions = atoms.positions / units.Bohr
    blocks = []
    for points, weights in molecular_quadrature(atoms.numbers, positions, level):
        used = np.abs(weights) > _NO_WEIGHT
        blocks.append((points[used], weights[used]))
    points = np.concatenate([points for points, _ in blocks])
    density = rho.evaluate(points * units.Bohr) * units.Bohr**3
    with atomic_write(path) as stream:
        np.savez_compressed(
            stream,
            points=points,
            weights=np.concatenate([weights for _, weights in blocks]),
            density=np.maximum(density, 0.0),
            atnums=atoms.numbers,
            atcorenums=rho.core_charges,
            atcoords=positions,
            cellvecs=np.zeros((0, 3)),
            grid_sizes=np.array([len(points) for points, _ in blocks]),
            nelec=rho.number_of_electrons,
        )
