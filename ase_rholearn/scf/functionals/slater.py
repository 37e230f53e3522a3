"""Exchange of the uniform electron gas. Atomic units.

P. A. M. Dirac, Math. Proc. Cambridge Philos. Soc. 26, 376 (1930); J. C. Slater, Phys. Rev. 81,
385 (1951), with the factor of 2/3.
"""

from __future__ import annotations

import math

import torch

from .forms import SpinScaled

#: C_x = (3/4) (3 / pi)^(1/3)
_C_X = 0.75 * (3 / math.pi) ** (1 / 3)


def slater_exchange(rho: torch.Tensor, sigma: torch.Tensor | None = None) -> torch.Tensor:
    """f = -C_x rho^(4/3), per volume and for a closed shell."""
    return -_C_X * rho ** (4 / 3)


SLATER = SpinScaled("LDA,", False, slater_exchange)
