"""Quadratic forms of errors in a metric, each with one product of the matrix.

The metric of a structure is the largest thing that a training step reads. Left to autograd, e.M.e
is read twice, forwards and backwards; but M e, which the value needs, is half of the gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from scipy.linalg import blas

#: Products of symmetric matrices and vectors.
_SYMMETRIC = {torch.float32: blas.ssymv, torch.float64: blas.dsymv}


class _QuadraticForm(torch.autograd.Function):
    """e.M.e, with gradient 2 M e."""

    @staticmethod
    def forward(ctx: Any, error: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
        product = _product(metric, error.detach().to(metric.dtype)).to(error.dtype)
        ctx.save_for_backward(product)
        return torch.dot(error, product)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (product,) = ctx.saved_tensors
        return 2 * gradients[0] * product, None


def _product(metric: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Symmetric matrix times vector; on a CPU half of the matrix is read."""
    multiply = _SYMMETRIC.get(metric.dtype)
    if multiply is None or metric.device.type != "cpu" or not metric.is_contiguous():
        return metric @ vector
    # the transpose, which is the matrix itself, has the order of Fortran
    return torch.from_numpy(multiply(1.0, metric.numpy().T, vector.numpy()))


def quadratic_form(error: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
    """error . metric . error for a symmetric metric, differentiable once in the error.

    Parameters
    ----------
    error
        (size,).
    metric
        (size, size), symmetric; not differentiated. It may have another precision than the
        error, in which the product is then computed.

    Examples
    --------
    >>> error = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> value = quadratic_form(error, torch.tensor([[2.0, 1.0], [1.0, 3.0]]))
    >>> value.backward()
    >>> value.item(), error.grad.tolist()
    (18.0, [8.0, 14.0])
    """
    return _QuadraticForm.apply(error, metric)
