"""Matrices of fields in a basis of functions, by quadrature."""

from __future__ import annotations

import numpy as np


def field_matrix(functions: np.ndarray, fields: np.ndarray) -> np.ndarray:
    r"""Integral of a field with products of functions, and of a vector field with their slopes.

    .. math:: \int v \phi_m^* \phi_n + \mathbf{u} \cdot \nabla(\phi_m^* \phi_n)

    Parameters
    ----------
    functions
        Values at the points, and their slopes where there is u: (1 or 4, n, m).
    fields
        v, and the components of u, times the weights of the points: (1 or 4, n).

    Returns
    -------
    numpy.ndarray
        (m, m)
    """
    # half of the value's term, so that adding the transpose makes it whole
    half = functions[0] * (0.5 * fields[0])[:, None]
    if len(fields) > 1:
        half += np.einsum("xp,xpm->pm", fields[1:], functions[1:])
    matrix: np.ndarray = functions[0].conj().T @ half
    return matrix + matrix.conj().T
