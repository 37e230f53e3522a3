r"""Screening: most of what one diagonalisation leaves of a density's error, by linear response.

The orbitals of the Kohn-Sham matrix of a density :math:`\rho` have another density :math:`\rho'`.
To first order the self-consistent one is :math:`\rho + \delta` with

.. math:: \delta = (\rho' - \rho) + \chi_0 f \delta, \qquad f = \frac{1}{|r - r'|} + f_{xc},

where :math:`\chi_0` is the response of independent electrons, and the potential :math:`f \delta`
brings the matrix there. :math:`1 - \chi_0 f` is the dielectric function of the molecule; codes for
solids precondition the mixing of densities with models of it (P.-M. Anglade and X. Gonze, Phys.
Rev. B 78, 045126 (2008)). Here all is done in the small basis of the Coulomb fit, with exchange
and correlation of the local density approximation, so that it costs less than the matrix itself.
Atomic units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, solve

from .coulomb import packed_pairs, three_centre_blocks
from .exchange_correlation import ExchangeCorrelation, orbital_blocks
from .kohn_sham import KohnShamTerms
from .semilocal import Semilocal

#: Orbitals that take part lie within this of the middle of the gap, Hartree: core electrons and
#: high virtual orbitals answer little, and are a good part of all.
_WINDOW = 4.0

#: Energy differences below it are replaced by it, Hartree: orbitals of bad densities may be
#: nearly degenerate, where first order says nothing.
_SMALLEST_GAP = 0.1

#: Fitting functions whose integrals are transformed together.
_TOGETHER = 16

#: Numbers of pair densities that are held, in single precision: 2 GB. Larger molecules go without.
_MOST = 2**29


@dataclass(frozen=True)
class Channel:
    """Orbitals of one spin.

    Attributes
    ----------
    energies
        Hartree: (nmo,).
    orbitals
        (nao, nmo).
    occupied
        Which of them are occupied: (nmo,) bool.
    electrons
        In each: 2 where the channel stands for both spins.
    """

    energies: np.ndarray
    orbitals: np.ndarray
    occupied: np.ndarray
    electrons: int

    @property
    def density_matrix(self) -> np.ndarray:
        """(nao, nao)."""
        occupied = self.orbitals[:, self.occupied]
        return np.asarray(self.electrons * occupied @ occupied.T)

    def active(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the occupied and of the empty orbitals that answer."""
        if self.occupied.all() or not self.occupied.any():
            return np.zeros(0, int), np.zeros(0, int)
        middle = (self.energies[self.occupied].max() + self.energies[~self.occupied].min()) / 2
        near = np.abs(self.energies - middle) < _WINDOW
        return np.flatnonzero(self.occupied & near), np.flatnonzero(~self.occupied & near)


@dataclass(frozen=True)
class Screening:
    """What linear response adds.

    Attributes
    ----------
    matrices
        To the Kohn-Sham matrix, for each channel: (nao, nao) Hartree. Only the part that mixes
        occupied with empty orbitals is there: the rest changes no density to first order.
    energy
        To the Harris energy, 1/2 (rho' - rho| f |delta), which leaves an error of third order:
        Hartree.
    """

    matrices: list[np.ndarray]
    energy: float


def linear_response(
    molecule: Any,
    terms: KohnShamTerms,
    channels: list[Channel],
    overlap: np.ndarray,
) -> Screening | None:
    """Change of the Kohn-Sham matrix towards self-consistency; None for too large molecules.

    Parameters
    ----------
    molecule
        Of the orbital basis.
    terms
        The Kohn-Sham matrix of the density; its Coulomb part with a fit.
    channels
        Orbitals of this matrix: one channel of both spins, or one for each.
    overlap
        S: (nao, nao).
    """
    coulomb = terms.coulomb
    [(auxiliary, fitted)] = coulomb.fit
    active = [channel.active() for channel in channels]
    if sum(len(o) * len(v) for o, v in active) * auxiliary.nao > _MOST:
        return None
    projections, pairs = _transformed(molecule, auxiliary, channels, active)
    response = np.zeros((auxiliary.nao, auxiliary.nao))
    for channel, (o, v), pair in zip(channels, active, pairs, strict=True):
        gaps = np.maximum(channel.energies[v][None] - channel.energies[o][:, None], _SMALLEST_GAP)
        weighted = pair * (2 * channel.electrons / gaps).ravel().astype(np.float32)
        response -= weighted @ pair.T
    change = cho_solve(coulomb.metric, projections) - fitted
    kernel = _kernel_matrix(auxiliary, terms.exchange_correlation)
    # v = (1 + V^-1 K) d, and (1 - V^-1 M (1 + V^-1 K)) d = change
    identity = np.eye(auxiliary.nao)
    potential = identity + cho_solve(coulomb.metric, kernel)
    dielectric = identity - cho_solve(coulomb.metric, response @ potential)
    delta = solve(dielectric, change)
    energy = 0.5 * change @ (auxiliary.intor("int2c2e") + kernel) @ delta
    source = (potential @ delta).astype(np.float32)
    matrices = []
    for channel, (o, v), pair in zip(channels, active, pairs, strict=True):
        mixing = (source @ pair).reshape(len(o), len(v))
        left, right = (overlap @ channel.orbitals[:, chosen] for chosen in (o, v))
        half = left @ mixing @ right.T
        matrices.append(half + half.T)
    return Screening(matrices, float(energy))


def _transformed(
    molecule: Any,
    auxiliary: Any,
    channels: list[Channel],
    active: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(P|D) of the density, (naux,), and for each channel (P|ia), (naux, nocc * nvirt) float32."""
    packed = packed_pairs(np.sum([channel.density_matrix for channel in channels], axis=0))
    projections = np.empty(auxiliary.nao)
    pairs = [np.empty((auxiliary.nao, len(o) * len(v)), np.float32) for o, v in active]
    kept = [
        [channel.orbitals[:, chosen].astype(np.float32) for chosen in both]
        for channel, both in zip(channels, active, strict=True)
    ]
    for block, integrals in three_centre_blocks(molecule, auxiliary, "int3c2e", "s2ij", 1):
        projections[block] = packed @ integrals
        for first in range(0, integrals.shape[1], _TOGETHER):
            chosen = slice(first, first + _TOGETHER)
            triangles = _lower_triangles(integrals[:, chosen], molecule.nao)
            rows = slice(block.start + first, block.start + first + len(triangles))
            for pair, (occupied, empty) in zip(pairs, kept, strict=True):
                # (P, m, i), then (P, i, a)
                half = triangles @ occupied + triangles.transpose(0, 2, 1) @ occupied
                pair[rows] = (half.transpose(0, 2, 1) @ empty).reshape(len(triangles), -1)
    return projections, pairs


def _lower_triangles(packed: np.ndarray, size: int) -> np.ndarray:
    """Symmetric matrices (pairs, n) as what gives them when its transpose is added: (n, m, m)."""
    triangles = np.zeros((packed.shape[1], size, size), np.float32)
    for row in range(size):
        start = row * (row + 1) // 2
        triangles[:, row, : row + 1] = packed[start : start + row + 1].T
    triangles[:, np.arange(size), np.arange(size)] *= 0.5
    return triangles


def _kernel_matrix(auxiliary: Any, found: ExchangeCorrelation) -> np.ndarray:
    """Integral of f_xc with products of fitting functions: (naux, naux) Hartree."""
    rows = found.rows[:1]
    kernel = Semilocal("LDA,VWN").kernel(rows, np.ones_like(rows))[0] * found.grid.weights
    matrix = np.zeros((auxiliary.nao, auxiliary.nao))
    for block in orbital_blocks(auxiliary, found.grid, 1):
        values = block.values[0]
        part = (values * kernel[block.points]) @ values.T
        matrix[np.ix_(block.functions, block.functions)] += part
    return matrix
