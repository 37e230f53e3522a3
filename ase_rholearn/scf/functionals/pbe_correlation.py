"""Correlation of Perdew, Burke and Ernzerhof. Atomic units.

J. P. Perdew, K. Burke and M. Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996): equations (3), (7)
and (8). PBEsol, Phys. Rev. Lett. 100, 136406 (2008), has another beta.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .forms import SpinDependent
from .pbe_exchange import BETA
from .pw92 import PW92_MORE_DIGITS

_GAMMA = (1 - math.log(2)) / math.pi**2


@dataclass(frozen=True)
class GradientCorrelation:
    """f = rho (e_c(rho, zeta) + H), with e_c of the uniform gas.

    H = gamma phi^3 ln(1 + beta / gamma t^2 (1 + A t^2) / (1 + A t^2 + A^2 t^4)),
    A = beta / gamma / (exp(-e_c / (gamma phi^3)) - 1), phi = ((1 + zeta)^(2/3) +
    (1 - zeta)^(2/3)) / 2, t = |grad rho| / (2 phi k_s rho), k_s^2 = 4 k_F / pi.
    """

    beta: float = BETA

    def __call__(
        self, rho: torch.Tensor, zeta: torch.Tensor | None, sigma: torch.Tensor
    ) -> torch.Tensor:
        """Per volume; ``zeta`` is None for a closed shell."""
        uniform = PW92_MORE_DIGITS.per_electron(rho, zeta)
        phi: torch.Tensor | float = 1.0
        if zeta is not None:
            phi = 0.5 * ((1 + zeta) ** (2 / 3) + (1 - zeta) ** (2 / 3))
        strength = _GAMMA * phi**3
        # 4 k_s^2 rho^2 = (16 / pi) (3 pi^2)^(1/3) rho^(7/3)
        t2 = sigma * math.pi / (16 * (3 * math.pi**2) ** (1 / 3) * phi**2 * rho ** (7 / 3))
        ratio = self.beta / _GAMMA
        y = ratio / torch.expm1(-uniform / strength) * t2
        gradient = strength * torch.log1p(ratio * t2 * (1 + y) / (1 + y + y * y))
        return rho * (uniform + gradient)


PBE_CORRELATION = SpinDependent(",PBE", True, GradientCorrelation())
PBESOL_CORRELATION = SpinDependent(",PBESOL", True, GradientCorrelation(beta=0.046))
