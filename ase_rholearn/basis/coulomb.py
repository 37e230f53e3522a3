r"""Coulomb integrals of two centres, in closed form. Atomic units.

In reciprocal space two solid-harmonic Gaussians with exponents a and b are Gaussians again.
Their harmonics multiply to harmonics of degree L = \|l - l'\|, ..., l + l', and what is left for
each L, with s = (a + b) / 4ab and x = R^2 / 4s, is

.. math:: \int_0^\infty k^{L+2p} e^{-s k^2} j_L(kR) dk =
          \frac{\sqrt\pi}{2} \left(\frac R2\right)^L s^{-L-\frac12} F_L(x), \quad p = 0,

.. math:: = \frac{\sqrt\pi}{4} \left(\frac R2\right)^L (p-1)!\, s^{-L-p-\frac12}
          e^{-x} L_{p-1}^{(L+1/2)}(x), \quad p = (l + l' - L) / 2 > 0,

with the Boys function F and Laguerre's polynomials.
"""

from __future__ import annotations

from functools import cache
from math import factorial

import numpy as np
import torch

from .basis import Basis
from .boys import boys
from .harmonics import solid_harmonics, sphere_rule
from .radial_tables import RadialTable, radial_tables

#: Numbers that one temporary array may hold (32 MB).
_TEMPORARY = 2**22


def coulomb_matrix(basis: Basis, numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Coulomb interaction of all functions of a molecule, in Hartree: shape (size, size).

    Parameters
    ----------
    basis
        Its atomic densities play no part.
    numbers, positions
        Atomic numbers, and positions in bohr.
    """
    numbers, offsets = np.asarray(numbers), basis.offsets(numbers)
    tables = {
        z: radial_tables(basis.shells[z], purpose="coulomb_matrix") for z in set(numbers.tolist())
    }
    matrix = np.empty((offsets[-1], offsets[-1]))
    for (za, zb), pairs in species_pairs(numbers, numbers).items():
        # the other half is the transpose
        pairs = pairs[pairs[:, 0] >= pairs[:, 1]]
        rows = max(1, _TEMPORARY // (basis.sizes[za] * basis.sizes[zb]))
        for chosen in (pairs[start : start + rows] for start in range(0, len(pairs), rows)):
            vectors = positions[chosen[:, 0]] - positions[chosen[:, 1]]
            blocks = coulomb_blocks(tables[za], tables[zb], vectors)
            for (a, b), block in zip(chosen.tolist(), blocks, strict=True):
                first, second = (slice(offsets[k], offsets[k + 1]) for k in (a, b))
                matrix[first, second] = block
                matrix[second, first] = block.T
    return matrix


def species_pairs(first: np.ndarray, second: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """Index pairs (n, 2) of the atoms of two structures, by their atomic numbers."""
    pairs = {}
    for za in sorted(set(first.tolist())):
        for zb in sorted(set(second.tolist())):
            a, b = np.flatnonzero(first == za), np.flatnonzero(second == zb)
            pairs[za, zb] = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2)
    return pairs


def coulomb_blocks(
    first: tuple[RadialTable, ...], second: tuple[RadialTable, ...], vectors: np.ndarray
) -> np.ndarray:
    """Interaction of the functions of two atoms, in Hartree, for many pairs at once.

    Parameters
    ----------
    first, second
        Functions of the two species.
    vectors
        Position of the first atom minus that of the second: shape (n, 3), bohr.

    Returns
    -------
    numpy.ndarray
        Shape (n, size of the first, size of the second).
    """
    sizes = [sum(table.size for table in tables) for tables in (first, second)]
    widest = max(len(table.exponents) for table in (*first, *second))
    rows = max(1, _TEMPORARY // max(widest**2, sizes[0] * sizes[1]))
    result = np.empty((len(vectors), *sizes))
    for start in range(0, len(vectors), rows):
        part = slice(start, start + rows)
        moved = torch.from_numpy(np.ascontiguousarray(vectors[part], dtype=float))
        l_max = max(table.l for table in first) + max(table.l for table in second)
        harmonics = solid_harmonics(moved, l_max)
        r2 = (moved * moved).sum(dim=1)
        row = 0
        for left in first:
            column = 0
            for right in second:
                block = _table_block(left, right, r2, harmonics)
                result[part, row : row + left.size, column : column + right.size] = block
                column += right.size
            row += left.size
    return result


def _table_block(
    left: RadialTable, right: RadialTable, r2: torch.Tensor, harmonics: torch.Tensor
) -> np.ndarray:
    """Functions of one l against those of another: shape (n, left size, right size)."""
    la, lb = left.l, right.l
    a, b = torch.from_numpy(left.exponents)[:, None], torch.from_numpy(right.exponents)[None]
    s = (a + b) / (4 * a * b)
    x = r2[:, None, None] / (4 * s)
    scale = 2 / np.pi * transform_scale(la, a) * transform_scale(lb, b)
    from_left, from_right = torch.from_numpy(left.contraction), torch.from_numpy(right.contraction)
    total = torch.zeros(
        (len(r2), left.contraction.shape[1], 2 * la + 1, right.contraction.shape[1], 2 * lb + 1),
        dtype=torch.float64,
    )
    for l in range(abs(la - lb), la + lb + 1, 2):
        radial = scale * radial_integral(l, (la + lb - l) // 2, s, x)
        contracted = from_left.T @ radial @ from_right  # [n, function, function]
        sign = (-1) ** ((la - lb + l) // 2)
        own = harmonics[:, l * l : (l + 1) ** 2]
        angular = sign * torch.einsum("nM,abM->nab", own, gaunt(la, lb, l))
        total += contracted[:, :, None, :, None] * angular[:, None, :, None, :]
    return total.reshape(len(r2), left.size, right.size).numpy()


def transform_scale(l: int, a: torch.Tensor) -> torch.Tensor:
    """Factor of the Fourier transform of S_lm exp(-a r^2)."""
    return (np.pi / a) ** 1.5 / (2 * a) ** l


def radial_integral(
    l: int, p: int, s: torch.Tensor, x: torch.Tensor, decay: torch.Tensor | None = None
) -> torch.Tensor:
    """The integral over k of the module's formula, over R^l; the shape is that of x.

    ``decay`` is exp(-x), if it is known.
    """
    root = np.sqrt(np.pi) / 2 / 2**l
    if p == 0:
        return root * s ** (-l - 0.5) * boys(l, x)
    scale = 0.5 * root * factorial(p - 1) * s ** (-l - p - 0.5)
    decay = torch.exp(-x) if decay is None else decay
    return scale * decay if p == 1 else scale * decay * _laguerre(p - 1, l + 0.5, x)


def _laguerre(n: int, alpha: float, x: torch.Tensor) -> torch.Tensor:
    """Generalised Laguerre polynomial by its recurrence."""
    if n == 0:
        return torch.ones_like(x)
    below, current = torch.ones_like(x), 1 + alpha - x
    for k in range(1, n):
        below, current = (
            current,
            ((2 * k + 1 + alpha - x) * current - (k + alpha) * below) / (k + 1),
        )
    return current


@cache
def gaunt(la: int, lb: int, l: int) -> torch.Tensor:
    """Integrals of three real harmonics: shape (2 la + 1, 2 lb + 1, 2 l + 1)."""
    points, weight = sphere_rule(la + lb + l)
    harmonics = solid_harmonics(points, max(la, lb, l))
    first, second, third = (harmonics[:, k * k : (k + 1) ** 2] for k in (la, lb, l))
    return torch.einsum("p,pa,pb,pc->abc", weight, first, second, third)
