"""Real solid harmonics in plain torch, and as polynomials.

Order m = -l..+l and signs as in sphericart, featomic and metatensor, for example
r Y_1 = sqrt(3 / 4 pi) (y, z, x). PySCF's functions differ only by the order of l = 1.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss


def solid_harmonics(vectors: torch.Tensor, l_max: int) -> torch.Tensor:
    """r^l Y_lm of every vector for l = 0..l_max, by stable recurrences in l and m.

    Parameters
    ----------
    vectors
        Shape (n, 3), any length unit.
    l_max
        Highest angular momentum.

    Returns
    -------
    torch.Tensor
        Shape (n, (l_max + 1)^2); function (l, m) is column l^2 + l + m. It can be compiled
        by TorchScript and differentiated any number of times, also at the origin.

    Examples
    --------
    >>> solid_harmonics(torch.tensor([[0.0, 0.0, 2.0]]), 1)
    tensor([[0.2821, 0.0000, 0.9772, 0.0000]])
    """
    x, y, z = vectors[:, 0], vectors[:, 1], vectors[:, 2]
    r2 = x * x + y * y + z * z

    # (x + i y)^m = cosines[m] + i sines[m]
    cosines: list[torch.Tensor] = [torch.ones_like(x)]
    sines: list[torch.Tensor] = [torch.zeros_like(x)]
    for m in range(1, l_max + 1):
        cosines.append(x * cosines[m - 1] - y * sines[m - 1])
        sines.append(x * sines[m - 1] + y * cosines[m - 1])

    columns: list[torch.Tensor] = [x] * ((l_max + 1) * (l_max + 1))
    diagonal = 1.0 / math.sqrt(4.0 * math.pi)  # the constant A_mm of A_lm(z, r^2)
    for m in range(l_max + 1):
        factor = 1.0
        if m > 0:
            diagonal = diagonal * math.sqrt((2.0 * m + 1.0) / (2.0 * m))
            factor = math.sqrt(2.0)
        two_below = torch.zeros_like(x)
        one_below = torch.full_like(x, diagonal * factor)
        for l in range(m, l_max + 1):
            current = one_below
            if l > m:
                up = math.sqrt((4.0 * l * l - 1.0) / (1.0 * l * l - m * m))
                k = l - 1.0
                down = math.sqrt((k * k - m * m) / (4.0 * k * k - 1.0))
                current = up * (z * one_below - down * r2 * two_below)
                two_below = one_below
                one_below = current
            columns[l * l + l + m] = current * cosines[m]
            if m > 0:
                columns[l * l + l - m] = current * sines[m]
    return torch.stack(columns, dim=1)


def harmonic_rotations(matrix: torch.Tensor, l_max: int) -> list[torch.Tensor]:
    """Wigner matrices D_l of a rotation or an improper one: S_l(R v) = D_l S_l(v).

    They are the integrals of Y_l(R n) Y_l(n) over the sphere.

    Parameters
    ----------
    matrix
        R, orthogonal: shape (3, 3), float64. Derivatives can be taken.
    l_max
        Highest angular momentum.

    Returns
    -------
    list of torch.Tensor
        D_l of shape (2 l + 1, 2 l + 1) for l = 0..l_max. Coefficients turn as the functions do:
        those of the turned density are D_l c.
    """
    normals, weights = sphere_rule(2 * l_max)
    before = solid_harmonics(normals, l_max)
    after = solid_harmonics(normals @ matrix.T, l_max) * weights[:, None]
    parts = (slice(l * l, (l + 1) ** 2) for l in range(l_max + 1))
    return [after[:, part].T @ before[:, part] for part in parts]


@cache
def sphere_rule(degree: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors (n, 3) and weights (n,) that integrate polynomials of a degree exactly."""
    z, weights = leggauss(degree // 2 + 1)
    angle = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    ring = np.sqrt(1 - z * z)[:, None]
    points = np.stack(
        np.broadcast_arrays(ring * np.cos(angle), ring * np.sin(angle), z[:, None]), axis=-1
    ).reshape(-1, 3)
    shares = np.repeat(weights, degree + 1) * 2 * np.pi / (degree + 1)
    return torch.from_numpy(points), torch.from_numpy(shares)


def harmonic_rows(vectors: np.ndarray, l_max: int) -> np.ndarray:
    """:func:`solid_harmonics` in NumPy, one row a function: shape ((l_max + 1)^2, n).

    Without derivatives, but several times as fast: rows are written in place. Blocks of some
    thousand vectors, which stay in the processor's cache, suit best.

    >>> harmonic_rows(np.array([[0.0, 0.0, 2.0]]), 1).ravel().round(4).tolist()
    [0.2821, 0.0, 0.9772, 0.0]
    """
    x, y, z = np.ascontiguousarray(vectors.T, dtype=float)
    r2 = x * x + y * y + z * z
    rows = np.empty(((l_max + 1) ** 2, len(x)))
    cosine, sine, scratch = np.ones_like(x), np.zeros_like(x), np.empty_like(x)
    for m in range(l_max + 1):
        if m > 0:  # (x + i y)^m
            np.multiply(y, sine, out=scratch)
            np.multiply(sine, x, out=sine)
            sine += y * cosine
            np.multiply(x, cosine, out=cosine)
            cosine -= scratch
        polar = _polar_rows(m, z, r2, l_max)
        for l, row in enumerate(polar, start=m):
            np.multiply(row, cosine, out=rows[l * l + l + m])
            if m > 0:
                np.multiply(row, sine, out=rows[l * l + l - m])
    return rows


def _polar_rows(m: int, z: np.ndarray, r2: np.ndarray, l_max: int) -> np.ndarray:
    """Factors of the harmonics l = m..l_max that depend on z and r^2 only."""
    rows = np.empty((l_max + 1 - m, len(z)))
    diagonal = math.prod((2.0 * k + 1.0) / (2.0 * k) for k in range(1, m + 1)) / (4.0 * math.pi)
    rows[0] = math.sqrt(diagonal) * (math.sqrt(2.0) if m > 0 else 1.0)
    scratch = np.empty_like(z)
    for k, l in enumerate(range(m + 1, l_max + 1), start=1):
        up = math.sqrt((4.0 * l * l - 1.0) / (1.0 * l * l - m * m))
        np.multiply(z, rows[k - 1], out=rows[k])
        rows[k] *= up
        if k > 1:
            down = math.sqrt(((l - 1.0) ** 2 - m * m) / (4.0 * (l - 1.0) ** 2 - 1.0))
            np.multiply(r2, rows[k - 2], out=scratch)
            scratch *= up * down
            rows[k] -= scratch
    return rows


def harmonic_polynomials(l: int) -> np.ndarray:
    """Solid harmonics of one l as coefficients of monomials.

    Returns
    -------
    numpy.ndarray
        Shape (2 l + 1, l + 1, l + 1, l + 1): element [l + m, i, j, k] multiplies x^i y^j z^k;
        it is zero unless i + j + k = l.
    """
    return _fit_polynomials(lambda v: solid_harmonics(v, l)[:, l * l :], l)


def _fit_polynomials(functions: Callable[[torch.Tensor], torch.Tensor], l: int) -> np.ndarray:
    """Coefficients of homogeneous polynomials of degree l from their values at points."""
    powers = [(i, j, l - i - j) for i in range(l + 1) for j in range(l + 1 - i)]
    points = np.random.default_rng(0).normal(size=(4 * len(powers), 3))
    values = functions(torch.from_numpy(points)).numpy()
    monomials = np.stack([np.prod(points ** np.array(p), axis=1) for p in powers], axis=1)
    solution = np.linalg.lstsq(monomials, values, rcond=None)[0]
    solution[np.abs(solution) < 1e-12] = 0.0
    polynomials = np.zeros((values.shape[1], l + 1, l + 1, l + 1))
    for (i, j, k), row in zip(powers, solution, strict=True):
        polynomials[:, i, j, k] = row
    return polynomials


@cache
def harmonic_derivatives(l_max: int) -> torch.Tensor:
    """Matrices D with d S_lm / d x_i = sum_l'm' D[i, lm, l'm'] S_l'm' (l' = l - 1).

    Shape (3, (l_max + 1)^2, (l_max + 1)^2).
    """
    size = (l_max + 1) ** 2
    matrices = np.zeros((3, size, size))
    for l in range(1, l_max + 1):
        polynomials = harmonic_polynomials(l)
        below = harmonic_polynomials(l - 1).reshape(2 * l - 1, -1)
        for axis in range(3):
            slope = _polynomial_derivative(polynomials, axis).reshape(2 * l + 1, -1)
            rows = slice(l * l, (l + 1) ** 2)
            columns = slice((l - 1) ** 2, l * l)
            matrices[axis, rows, columns] = np.linalg.lstsq(below.T, slope.T, rcond=None)[0].T
    return torch.from_numpy(matrices)


def _polynomial_derivative(polynomials: np.ndarray, axis: int) -> np.ndarray:
    """Derivative along an axis of polynomials [function, i, j, k], one degree smaller."""
    moved = np.moveaxis(polynomials, axis + 1, -1)
    slope = (moved * np.arange(moved.shape[-1]))[..., 1:]
    slope = np.moveaxis(slope, -1, axis + 1)
    # the other two powers cannot reach the old degree any more
    degree = polynomials.shape[1] - 1
    return slope[:, :degree, :degree, :degree]
