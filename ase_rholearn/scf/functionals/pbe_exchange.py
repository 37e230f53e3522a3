"""Exchange of Perdew, Burke and Ernzerhof, and of its relatives. Atomic units.

PBE: J. P. Perdew, K. Burke and M. Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996).
revPBE: Y. Zhang and W. Yang, Phys. Rev. Lett. 80, 890 (1998).
RPBE: B. Hammer, L. B. Hansen and J. K. Norskov, Phys. Rev. B 59, 7413 (1999).
PBEsol: J. P. Perdew et al., Phys. Rev. Lett. 100, 136406 (2008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from .forms import SpinScaled
from .slater import slater_exchange

#: beta of PBE's correlation, with the digits of libxc; mu = beta pi^2 / 3 cancels it.
BETA = 0.06672455060314922
_MU = BETA * math.pi**2 / 3


@dataclass(frozen=True)
class EnhancedExchange:
    """f = f_Slater(rho) F(s^2), with s = |grad rho| / (2 k_F rho) and k_F = (3 pi^2 rho)^(1/3).

    Attributes
    ----------
    kappa, mu
        F = 1 + mu s^2 for small s and 1 + kappa for large s.
    exponential
        F = 1 + kappa - kappa exp(-mu s^2 / kappa) instead of 1 + kappa - kappa / (1 + mu s^2 /
        kappa).
    """

    kappa: float = 0.804
    mu: float = _MU
    exponential: bool = False

    def __call__(self, rho: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Per volume and for a closed shell."""
        s2 = sigma / (4 * (3 * math.pi**2) ** (2 / 3) * rho ** (8 / 3))
        x = self.mu * s2 / self.kappa
        rise = -torch.expm1(-x) if self.exponential else x / (1 + x)
        return slater_exchange(rho) * (1 + self.kappa * rise)


PBE_EXCHANGE = SpinScaled("PBE,", True, EnhancedExchange())
REVPBE_EXCHANGE = SpinScaled("REVPBE,", True, EnhancedExchange(kappa=1.245))
RPBE_EXCHANGE = SpinScaled("RPBE,", True, EnhancedExchange(exponential=True))
PBESOL_EXCHANGE = SpinScaled("PBESOL,", True, EnhancedExchange(mu=10 / 81))
