"""Exchange and correlation of a density on a quadrature grid, by PySCF's libxc. Atomic units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units

from ..density import Density
from .field_matrix import field_matrix

#: Density (e/bohr^3) below which exchange and correlation are left out.
_VACUUM = 1e-12

#: Quadrature points that are worked on at once.
_BLOCK = 8192


@dataclass(frozen=True)
class ExchangeCorrelation:
    """What one pass over the grid gives.

    Attributes
    ----------
    matrix
        Of the potential in the AO basis: (nao, nao), Hartree.
    energy
        E_xc of the density, Hartree.
    potential_energy
        Integral of the density times its potential, Hartree; for a GGA with its gradient part.
    """

    matrix: np.ndarray
    energy: float
    potential_energy: float

    @classmethod
    def of(
        cls, molecule: Any, density: Density, xc: str, *, grid_level: int
    ) -> ExchangeCorrelation:
        """Integrate over PySCF's grid for the molecule."""
        from pyscf import dft
        from pyscf.dft import libxc

        integrator, kind = dft.numint.NumInt(), libxc.xc_type(xc)
        matrix = np.zeros((molecule.nao, molecule.nao))
        energy = potential_energy = 0.0
        for coords, weights, values in quadrature(molecule, grid_level, gradient=kind == "GGA"):
            rho = _density_and_gradient(density, coords, kind)
            # energy per electron, and derivatives by value and gradient: (n,), (1 or 4, n)
            per_electron, potential = integrator.eval_xc_eff(xc, rho, deriv=1, xctype=kind)[:2]
            potential = weights * np.where(rho[0] > _VACUUM, potential, 0.0)
            energy += float(weights @ (rho[0] * per_electron))
            potential_energy += float((potential * rho).sum())
            matrix += field_matrix(values, potential)
        return cls(matrix, energy, potential_energy)


def quadrature(
    molecule: Any, level: int, *, gradient: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Points (n, 3) in bohr, weights (n,) and AO values there, in blocks.

    The values are (1, n, nao), or with their gradients (4, n, nao).
    """
    from pyscf import dft

    grids = dft.gen_grid.Grids(molecule)
    grids.level = level
    grids.build()
    for start in range(0, len(grids.coords), _BLOCK):
        block = slice(start, start + _BLOCK)
        values = dft.numint.eval_ao(molecule, grids.coords[block], deriv=int(gradient))
        # without derivatives PySCF leaves their axis out
        yield grids.coords[block], grids.weights[block], values.reshape(-1, *values.shape[-2:])


def _density_and_gradient(density: Density, coords: np.ndarray, kind: str) -> np.ndarray:
    """PySCF's rho array in atomic units: (n,) rows value and gradient; (1, n) for LDA."""
    points = coords * units.Bohr
    value = density.evaluate(points)[None] * units.Bohr**3
    if kind == "LDA":
        rho = value
    else:
        rho = np.concatenate([value, density.gradient(points).T * units.Bohr**4])
    return np.where(rho[0] > _VACUUM, rho, 0.0)
