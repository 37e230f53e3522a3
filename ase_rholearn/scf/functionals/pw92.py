"""Correlation of the uniform electron gas, as fitted by Perdew and Wang. Atomic units.

J. P. Perdew and Y. Wang, Phys. Rev. B 45, 13244 (1992): equations (8) to (10), table I.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .forms import SpinDependent


@dataclass(frozen=True)
class _Fit:
    """G(rs) = -2 A (1 + alpha rs) ln(1 + 1 / (2 A sum_k beta_k rs^(k/2))), equation (10)."""

    a: float
    alpha: float
    beta: tuple[float, float, float, float]

    def __call__(self, rs: torch.Tensor) -> torch.Tensor:
        root = rs.sqrt()
        b1, b2, b3, b4 = self.beta
        series = root * (b1 + root * (b2 + root * (b3 + root * b4)))
        return -2 * self.a * (1 + self.alpha * rs) * torch.log1p(0.5 / (self.a * series))


@dataclass(frozen=True)
class PerdewWang:
    """Correlation energy per electron.

    Attributes
    ----------
    a
        A of the unpolarised and of the polarised gas, and of the spin stiffness.
    curvature
        f''(0) of equation (9).
    """

    a: tuple[float, float, float]
    curvature: float

    def per_electron(self, rho: torch.Tensor, zeta: torch.Tensor | None) -> torch.Tensor:
        """Hartree an electron; ``zeta`` is None for a closed shell."""
        rs = (3 / (4 * math.pi * rho)) ** (1 / 3)
        unpolarised = _Fit(self.a[0], 0.21370, (7.5957, 3.5876, 1.6382, 0.49294))(rs)
        if zeta is None:
            return unpolarised
        polarised = _Fit(self.a[1], 0.20548, (14.1189, 6.1977, 3.3662, 0.62517))(rs)
        stiffness = -_Fit(self.a[2], 0.11125, (10.357, 3.6231, 0.88026, 0.49671))(rs)
        f = ((1 + zeta) ** (4 / 3) + (1 - zeta) ** (4 / 3) - 2) / (2 ** (4 / 3) - 2)
        z4 = zeta**4
        return (
            unpolarised
            + stiffness * f / self.curvature * (1 - z4)
            + (polarised - unpolarised) * f * z4
        )

    def per_volume(
        self, rho: torch.Tensor, zeta: torch.Tensor | None, sigma: torch.Tensor
    ) -> torch.Tensor:
        """f = rho e_c(rho, zeta)."""
        return rho * self.per_electron(rho, zeta)


#: With the digits of the paper.
PW92 = PerdewWang((0.031091, 0.015545, 0.016887), 1.709921)

#: With more digits, as in the authors' programs and in PBE; f''(0) = 8 / (9 (2^(4/3) - 2)).
PW92_MORE_DIGITS = PerdewWang((0.0310907, 0.01554535, 0.0168869), 8 / (9 * (2 ** (4 / 3) - 2)))

PW = SpinDependent(",PW", False, PW92.per_volume)
PW_MOD = SpinDependent(",PW_MOD", False, PW92_MORE_DIGITS.per_volume)
