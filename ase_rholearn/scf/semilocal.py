"""LDA and GGA functionals of PySCF's libxc that fade out where there is no density. Atomic units.

The tails of fitted densities change sign, where a cut-off makes energies jump and gradients wrong.
The energy per volume f of the functional is multiplied by x^3 (10 - 15 x + 6 x^2) with x = rho /
:data:`BELOW` between 0 and 1, which makes it twice continuously differentiable for every density.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..references.pyscf.settings import check_functional

#: Density (e/bohr^3) below which functionals fade out. PBE energies of small molecules change by
#: some 1e-7 Hartree.
BELOW = 1e-7

#: Density that is taken for none, where libxc gives zeros or worse.
_VACUUM = 1e-12


def needs_only_density(xc: str) -> bool:
    """Whether a functional is an LDA or GGA, neither hybrid nor meta-GGA."""
    from pyscf.dft import libxc

    return libxc.xc_type(xc) in ("LDA", "GGA") and not libxc.is_hybrid_xc(xc)


def check_semilocal(xc: str) -> None:
    """Raise a ValueError for functionals that PySCF does not know, hybrids and meta-GGAs."""
    check_functional(xc)
    if not needs_only_density(xc):
        raise ValueError(
            f"xc is {xc!r}: give an LDA or GGA functional; hybrids and meta-GGAs need more than "
            "the density"
        )


@dataclass(frozen=True)
class Semilocal:
    """A functional in PySCF's notation, for closed shells.

    Rows are the density and, for a GGA, the three components of its gradient: (1 or 4, n).
    """

    xc: str

    @cached_property
    def is_gga(self) -> bool:
        """Whether the gradient counts."""
        from pyscf.dft import libxc

        return bool(libxc.xc_type(self.xc) == "GGA")

    def potential(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Energy per volume f, (n,), and its derivatives by the rows, (1 or 4, n)."""
        switch, slope, _ = _switch(rows[0])
        f, v, _ = self._evaluated(rows, 1)
        potential = switch * v
        potential[0] += slope * f
        return switch * f, potential

    def kernel(self, rows: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Second derivatives of f by the rows times a change of the rows: (1 or 4, n)."""
        switch, slope, curvature = _switch(rows[0])
        f, v, second = self._evaluated(rows, 2)
        result = switch * np.einsum("xyn,yn->xn", second, change)
        result += slope * v * change[0]
        result[0] += slope * np.einsum("xn,xn->n", v, change) + curvature * f * change[0]
        return np.asarray(result)

    def _evaluated(self, rows: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray, Any]:
        """Without the switch: f, its first and, if the order is 2, second derivatives."""
        from pyscf.dft.numint import NumInt

        rows = np.where(rows[0] > _VACUUM, rows, 0.0)
        kind = "GGA" if self.is_gga else "LDA"
        per_electron, v, second = NumInt().eval_xc_eff(self.xc, rows, deriv=order, xctype=kind)[:3]
        inside = rows[0] > 0
        if second is not None:
            second = np.where(inside, second, 0.0)
        return rows[0] * per_electron, np.where(inside, v, 0.0), second


def _switch(rho: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The factor and its first and second derivatives by the density: (n,) each."""
    x = np.clip(rho / BELOW, 0.0, 1.0)
    value = x**3 * (10 + x * (6 * x - 15))
    slope = 30 * (x * (1 - x)) ** 2 / BELOW
    curvature = 60 * x * (1 - x) * (1 - 2 * x) / BELOW**2
    return value, slope, curvature
