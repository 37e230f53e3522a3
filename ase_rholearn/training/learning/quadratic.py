"""Quadratic forms of errors in a metric, each with one product of the matrix.

The metric of a structure is the largest thing that a training step reads. Left to autograd, e.M.e
is read twice, forwards and backwards; but M e, which the value needs, is half of the gradient.
"""

from __future__ import annotations

from typing import Any

import torch


class _QuadraticForm(torch.autograd.Function):
    """e.M.e, with gradient 2 M e."""

    @staticmethod
    def forward(ctx: Any, error: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
        product = metric @ error.to(metric.dtype)
        product = product.to(error.dtype)
        ctx.save_for_backward(product)
        return torch.dot(error, product)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (product,) = ctx.saved_tensors
        return 2 * gradients[0] * product, None


def quadratic_form(error: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
    """error . metric . error for a symmetric metric, differentiable once in the error.

    Parameters
    ----------
    error
        (size,).
    metric
        (size, size), symmetric; not differentiated. It may have another precision than the
        error, in which the product is then computed.

    >>> error = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> value = quadratic_form(error, torch.tensor([[2.0, 1.0], [1.0, 3.0]]))
    >>> value.backward()
    >>> value.item(), error.grad.tolist()
    (18.0, [8.0, 14.0])
    """
    return _QuadraticForm.apply(error, metric)  # type: ignore[no-untyped-call, no-any-return]
