"""Densities turned and moved as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...basis import Basis, harmonic_rotations
from ..density import Density

#: Largest element of R R^T - 1.
_ORTHOGONAL = 1e-8


def transformed(rho: Density, rotation: Any, translation: Any = (0.0, 0.0, 0.0)) -> Density:
    """The density turned about the origin and then moved: atoms, cell and coefficients.

    Parameters
    ----------
    rho
        The density.
    rotation
        Orthogonal matrix R, also an improper one: shape (3, 3). Positions become R r + t.
    translation
        t in Angstrom: shape (3,).

    Raises
    ------
    ValueError
        The matrix is not orthogonal, or a shape is wrong.

    Examples
    --------
    >>> from ase import Atoms
    >>> basis = Basis.from_shells({"H": [(0, [1.0]), (1, [0.5])]})
    >>> turned = transformed(
    ...     Density(Atoms("H"), basis, [1.0, 0.0, 0.3, 0.0]), [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    ... )
    >>> turned.raw_coefficients.round(9).tolist()  # z became x
    [1.0, 0.0, 0.0, 0.3]
    """
    matrix, shift = np.asarray(rotation, dtype=float), np.asarray(translation, dtype=float)
    if matrix.shape != (3, 3) or not np.abs(matrix @ matrix.T - np.eye(3)).max() < _ORTHOGONAL:
        raise ValueError(f"rotation is {rotation}: give an orthogonal matrix, shape (3, 3)")
    if shift.shape != (3,) or not np.isfinite(shift).all():
        raise ValueError(f"translation is {translation}: give three finite numbers in Angstrom")
    atoms = rho.atoms.copy()
    atoms.positions = atoms.positions @ matrix.T + shift
    atoms.set_cell(atoms.cell.array @ matrix.T)
    coefficients = _turned(rho.basis, atoms.numbers, rho.raw_coefficients, matrix)
    normalized = rho.coefficients is not rho.raw_coefficients
    return Density(atoms, rho.basis, coefficients, normalize=normalized)


def _turned(
    basis: Basis, numbers: np.ndarray, coefficients: np.ndarray, matrix: np.ndarray
) -> np.ndarray:
    """Flat vector of the turned functions."""
    wigner = [d.numpy() for d in harmonic_rotations(torch.from_numpy(matrix), basis.l_max)]
    layout, result = basis.layout(numbers), np.empty(len(coefficients))
    for l in range(basis.l_max + 1):
        own = np.flatnonzero(layout.l == l)
        shells = coefficients[own].reshape(-1, 2 * l + 1)
        result[own] = (shells @ wigner[l].T).ravel()
    return result
