"""Kinetic energies of the density alone. Atomic units.

L. H. Thomas, Math. Proc. Cambridge Philos. Soc. 23, 542 (1927) and E. Fermi, Z. Phys. 48, 73
(1928): exact for the uniform gas. C. F. von Weizsaecker, Z. Phys. 96, 431 (1935): exact for
one orbital, and the smallest that a density can have.
"""

from __future__ import annotations

import math

import torch

from .forms import SpinScaled

#: C_F = (3/10) (3 pi^2)^(2/3)
_C_F = 0.3 * (3 * math.pi**2) ** (2 / 3)


def thomas_fermi(rho: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
    """f = C_F rho^(5/3)."""
    return _C_F * rho ** (5 / 3)


def von_weizsaecker(rho: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """f = |grad rho|^2 / (8 rho)."""
    return sigma / (8 * rho)


THOMAS_FERMI = SpinScaled("LDA_K_TF", False, thomas_fermi)
VON_WEIZSAECKER = SpinScaled("GGA_K_VW", True, von_weizsaecker)
