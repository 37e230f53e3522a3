"""Symmetric matrices with half of their entries, and quadratic forms of errors in them.

The metric of a structure is the largest thing that training keeps, and that a step reads. Of a
symmetric matrix one triangle says all: the other is neither kept nor read on a CPU. Left to
autograd, e.M.e would read it twice, forwards and backwards; but M e, which the value needs, is half
of the gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.linalg import blas

#: Products of packed symmetric matrices and vectors.
_PACKED = {torch.float32: blas.sspmv, torch.float64: blas.dspmv}


def pack(matrix: np.ndarray) -> torch.Tensor:
    """The upper triangle, row by row, as data sets keep overlaps: (size (size + 1) / 2,).

    >>> pack(np.array([[1.0, 2.0], [2.0, 3.0]])).tolist()
    [1.0, 2.0, 3.0]
    """
    return torch.from_numpy(matrix[np.triu_indices(len(matrix))])


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """The matrix again: (size, size).

    >>> unpack(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    size = _size(packed)
    rows, columns = torch.triu_indices(size, size, device=packed.device)
    matrix = packed.new_zeros((size, size))
    matrix[rows, columns] = packed
    matrix[columns, rows] = packed
    return matrix


def product(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """A symmetric matrix, packed or not, times a vector of its precision: (size,).

    >>> product(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, -1.0])).tolist()
    [-1.0, -1.0]
    """
    if matrix.ndim == 2:
        return matrix @ vector
    multiply = _PACKED.get(matrix.dtype)
    if multiply is None or matrix.device.type != "cpu":
        return unpack(matrix) @ vector
    # the upper triangle by rows is, to Fortran, the lower one by columns
    return torch.from_numpy(multiply(len(vector), 1.0, matrix.numpy(), vector.numpy(), lower=1))


def metric_on(device: torch.device, matrix: torch.Tensor) -> torch.Tensor:
    """A matrix on a device: whole where it is no CPU, as products of packed ones are slow there."""
    moved = matrix.to(device)
    return unpack(moved) if moved.ndim == 1 and moved.device.type != "cpu" else moved


def quadratic_form(error: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
    """error . metric . error for a symmetric metric, differentiable once in the error.

    Parameters
    ----------
    error
        (size,).
    metric
        (size, size), or packed as by :func:`pack`; not differentiated. It may have another
        precision than the error, in which the product is then computed.

    Examples
    --------
    >>> error = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> value = quadratic_form(error, torch.tensor([2.0, 1.0, 3.0]))
    >>> value.backward()
    >>> value.item(), error.grad.tolist()
    (18.0, [8.0, 14.0])
    """
    return _QuadraticForm.apply(error, metric)


class _QuadraticForm(torch.autograd.Function):
    """e.M.e, with gradient 2 M e."""

    @staticmethod
    def forward(ctx: Any, error: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
        found = product(metric, error.detach().to(metric.dtype)).to(error.dtype)
        ctx.save_for_backward(found)
        return torch.dot(error, found)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (found,) = ctx.saved_tensors
        return 2 * gradients[0] * found, None


def _size(packed: torch.Tensor) -> int:
    """Of the matrix: size (size + 1) / 2 is the number of entries."""
    return int(((8 * packed.numel() + 1) ** 0.5 - 1) / 2 + 0.5)
