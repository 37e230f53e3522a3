r"""Coulomb metric of a molecule: closed-form potentials at the points. Atomic units.

The potential of a solid-harmonic Gaussian is

.. math:: \int \frac{r'^l Y_{lm} e^{-a r'^2}}{|r - r'|} d^3r' =
          \frac{2 \pi}{a} F_l(a r^2) r^l Y_{lm}

with the Boys function F. Summed with the density over the points it reaches beyond the box,
unlike a potential on a grid, and is smooth, so that the sum is as good as the integral.
"""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms, units

from ...basis import Basis, solid_harmonics
from ...basis.boys import boys
from ...basis.numerical import gaussian_shells

#: Points that are treated at once.
_BLOCK = 2**15


class PotentialMetric:
    """Coulomb interaction (Hartree) of the functions, and with values at points."""

    def __init__(self, basis: Basis, atoms: Atoms, points: np.ndarray, volume: float) -> None:
        from ..pyscf.integrals import metric_matrix

        self._basis = basis
        self._numbers = atoms.numbers
        self._positions = atoms.positions / units.Bohr
        self._points = points
        self._volume = volume
        self.matrix = metric_matrix(atoms, basis, "coulomb")

    def project(self, values: np.ndarray, charge: float) -> np.ndarray:
        """Interaction of every function with values (nx, ny, nz) in e/bohr^3: shape (size,).

        The charge plays no part.
        """
        values = values.ravel()
        result = np.zeros(self._basis.size(self._numbers))
        offsets = self._basis.offsets(self._numbers)
        used = np.flatnonzero(values)
        for start in range(0, len(used), _BLOCK):
            chosen = used[start : start + _BLOCK]
            electrons = values[chosen] * self._volume
            for atom, z in enumerate(self._numbers):
                vectors = self._points[chosen] - self._positions[atom]
                result[offsets[atom] : offsets[atom + 1]] += _interaction(
                    self._basis, int(z), vectors, electrons
                )
        return result


def _interaction(basis: Basis, z: int, vectors: np.ndarray, electrons: np.ndarray) -> np.ndarray:
    """Electrons at points in the potentials of the functions of one atom: (n_functions,)."""
    r2 = np.einsum("ij,ij->i", vectors, vectors)
    l_max = max(shell.l for shell in basis.shells[z])
    harmonics = solid_harmonics(torch.from_numpy(vectors), l_max).numpy()
    weighted = harmonics * electrons[:, None]
    parts = []
    for shell in gaussian_shells(basis.shells[z], "fit_grid"):
        own = weighted[:, shell.l**2 : (shell.l + 1) ** 2]
        total = np.zeros(2 * shell.l + 1)
        for a, d in zip(shell.exponents, shell.coefficients, strict=True):
            total += 2 * np.pi / a * d * (boys(shell.l, torch.from_numpy(a * r2)).numpy() @ own)
        parts.append(total)
    return np.concatenate(parts)
