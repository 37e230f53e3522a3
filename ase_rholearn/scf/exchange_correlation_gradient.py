r"""How the semilocal part of the Harris energy changes with nuclei and coefficients. Atomic units.

On the grid it is

.. math:: G = \sum_g w_g [ f(n) + f'(n) \cdot (n^{out} - n) ]

with n the density that was given and n^out that of the orbitals, each with its gradient. By the
rows of n its derivatives are f''(n) . (n^out - n), by those of n^out f'(n). What moves with a
nucleus are the functions of both densities, the points of its grid, and the weights of all points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .exchange_correlation import ExchangeCorrelation, OrbitalBlock, orbital_blocks


def exchange_correlation_gradient(
    found: ExchangeCorrelation, molecule: Any, orbitals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of G by the nuclei, with fixed coefficients and orbitals, and by coefficients.

    Parameters
    ----------
    found
        Of the density that was given.
    molecule
        Of the orbitals.
    orbitals
        Occupied ones, scaled so that the density matrix is C C^T: (nao, nocc).

    Returns
    -------
    gradient
        (natoms, 3)
    by_coefficient
        (size,), in our order.
    """
    grid = found.grid
    weighted = grid.weights * found.potential
    gradient = np.zeros((molecule.natm, 3))
    change = -found.rows
    atoms = np.array([label[0] for label in molecule.ao_labels(fmt=None)])
    for block in orbital_blocks(molecule, grid, 10 if found.functional.is_gga else 4):
        rows, moved = _orbital_part(block, orbitals[block.functions], weighted[:, block.points])
        change[:, block.points] += rows
        np.add.at(gradient, atoms[block.functions], -moved.T)
        gradient[block.atom] += moved.sum(axis=1)
    response = grid.weights * found.functional.kernel(found.rows, change)
    inner = found.density.derivatives(grid.points, response)
    gradient += inner.atoms
    gradient += np.add.reduceat(inner.points, grid.starts[:-1], axis=0)
    gradient += grid.weight_gradient(
        found.energy_density + np.einsum("xn,xn->n", found.potential, change)
    )
    return gradient, inner.coefficients


def _orbital_part(
    block: OrbitalBlock, orbitals: np.ndarray, fields: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the orbitals' density, and what fields (1 or 4, n) times their slopes are.

    The latter is sum_g u d rho_m/dx + v . d grad rho_m/dx, of the part rho_m that each function m
    has in the density: (3, m).
    """
    phi = block.values
    rows = len(fields)
    psi = np.stack([orbitals.T @ one for one in phi[:rows]])  # (rows, nocc, n)
    density = np.empty_like(fields)
    density[0] = np.einsum("in,in->n", psi[0], psi[0])
    for x in range(1, rows):
        density[x] = 2 * np.einsum("in,in->n", psi[0], psi[x])
    outer = orbitals @ (fields[:, None] * psi).sum(axis=0)  # D (u phi + v . grad phi)
    moved = np.stack([np.einsum("mn,mn->m", phi[1 + x], outer) for x in range(3)])
    if rows > 1:
        inner = orbitals @ psi[0]
        for y in range(3):
            along = fields[1 + y] * inner
            for x in range(3):
                moved[x] += np.einsum("mn,mn->m", phi[_SECOND[x][y]], along)
    return density, 2 * moved


#: Where PySCF has second derivatives by x, y and z.
_SECOND = ((4, 5, 6), (5, 7, 8), (6, 8, 9))
