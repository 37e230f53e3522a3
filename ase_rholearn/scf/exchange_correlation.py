"""Exchange and correlation of a density on PySCF's quadrature grid. Atomic units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import units

from ..density import Density
from ..density.evaluation.binned import BinnedDensity
from .field_matrix import field_matrix
from .molecular_grid import MolecularGrid
from .semilocal import Semilocal


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
    functional
        Of the density.
    grid
        Points and weights.
    density
        As it is evaluated there.
    rows, potential
        The density and, for a GGA, its gradient at the points, and the derivatives of the energy
        per volume by them: (1 or 4, n).
    energy_density
        (n,) Hartree/bohr^3.
    """

    matrix: np.ndarray
    energy: float
    potential_energy: float
    functional: Semilocal
    grid: MolecularGrid = field(repr=False)
    density: BinnedDensity = field(repr=False)
    rows: np.ndarray = field(repr=False)
    potential: np.ndarray = field(repr=False)
    energy_density: np.ndarray = field(repr=False)

    @classmethod
    def of(
        cls, molecule: Any, density: Density, xc: str, *, grid_level: int
    ) -> ExchangeCorrelation:
        """Integrate over PySCF's grid for the molecule."""
        functional = Semilocal(xc)
        grid = MolecularGrid.of(molecule, grid_level)
        evaluated = binned(density)
        rows = evaluated.values(grid.points, gradient=functional.is_gga)
        energy_density, potential = functional.potential(rows)
        weighted = grid.weights * potential
        matrix = np.zeros((molecule.nao, molecule.nao))
        for block in orbital_blocks(molecule, grid, len(rows)):
            found = field_matrix(block.values.transpose(0, 2, 1), weighted[:, block.points])
            matrix[np.ix_(block.functions, block.functions)] += found
        return cls(
            matrix,
            float(grid.weights @ energy_density),
            float((weighted * rows).sum()),
            functional,
            grid,
            evaluated,
            rows,
            potential,
            energy_density,
        )


def binned(density: Density) -> BinnedDensity:
    """A density as it is evaluated on grids of molecules, with its raw coefficients."""
    atoms = density.atoms
    return BinnedDensity(
        density.basis, atoms.numbers, atoms.positions / units.Bohr, density.raw_coefficients
    )


@dataclass(frozen=True)
class OrbitalBlock:
    """AO functions at some points of one atom's grid.

    Attributes
    ----------
    atom
        Whose grid it is.
    points
        Indices of the points: (n,).
    functions
        Indices of the functions that reach them: (m,).
    values
        Values, and derivatives as in PySCF: (1, 4 or 10, m, n).
    """

    atom: int
    points: np.ndarray
    functions: np.ndarray
    values: np.ndarray


def orbital_blocks(molecule: Any, grid: MolecularGrid, rows: int) -> Iterator[OrbitalBlock]:
    """AO functions at all points: values alone, with slopes, or with second derivatives too.

    ``rows`` is 1, 4 or 10.
    """
    from pyscf.dft import gen_grid, numint

    starts = molecule.ao_loc_nr()
    for atom, chosen in grid.blocks():
        points = np.asfortranarray(grid.points[chosen])
        mask = gen_grid.make_mask(molecule, points)
        values = numint.eval_ao(molecule, points, deriv={1: 0, 4: 1, 10: 2}[rows], non0tab=mask)
        values = values.reshape(rows, *values.shape[-2:]).transpose(0, 2, 1)
        reaching = np.repeat(mask.any(axis=0), np.diff(starts))
        if not reaching.all():
            values = values[:, reaching]
        yield OrbitalBlock(atom, chosen, np.flatnonzero(reaching), values)
