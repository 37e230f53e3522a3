"""Exchange and correlation of a density at points, as fields. Atomic units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import units

from ...density import Density
from ..semilocal import Semilocal


@dataclass(frozen=True)
class LocalExchangeCorrelation:
    """Potential and energies of a density at the points of a quadrature.

    Attributes
    ----------
    rho
        Density, and its gradient for a GGA: (1 or 4, n).
    fields
        Derivatives of the energy by them, times the weights of the points: (1 or 4, n).
    energy
        E_xc a cell.
    potential_energy
        Integral of the density times its potential; for a GGA with its gradient part.
    """

    rho: np.ndarray
    fields: np.ndarray
    energy: float
    potential_energy: float

    @classmethod
    def of(
        cls, density: Density, points: np.ndarray, weights: np.ndarray, xc: str
    ) -> LocalExchangeCorrelation:
        """That of a density at points (n, 3) in bohr."""
        places = points * units.Bohr
        rho = density.evaluate(places)[None] * units.Bohr**3
        if Semilocal(xc).is_gga:
            rho = np.concatenate([rho, density.gradient(places).T * units.Bohr**4])
        return cls.of_values(rho, weights, xc)

    @classmethod
    def of_values(cls, rho: np.ndarray, weights: np.ndarray, xc: str) -> LocalExchangeCorrelation:
        """That of values and gradients: (1 or 4, n)."""
        energy_density, potential = Semilocal(xc).potential(rho)
        fields = weights * potential
        return cls(rho, fields, float(weights @ energy_density), float((fields * rho).sum()))
