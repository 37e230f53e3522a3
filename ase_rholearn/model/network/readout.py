"""From tensors and gates to the coefficients of one lambda."""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

import torch

from .coupling import CoupledProduct
from .options import NetworkOptions


class Readout(torch.nn.Module):
    """Coefficients of one lambda from tensors of that order, mixed by the gates.

    c_mu,out = sum_k h_mu,k sum_g gate_g weight_g,k,out, plus a linear map if there is one.
    """

    transform: torch.Tensor

    def __init__(
        self,
        l_max: int,
        o3_lambda: int,
        n_in: int,
        transform: torch.Tensor,
        options: NetworkOptions,
    ) -> None:
        super().__init__()
        self.n_out = transform.shape[0]
        self.n_linear = self.n_out if options.linear else 0
        self.n_tensors = options.tensors if self.n_out > 0 else 0
        #: n_linear outputs of the linear map, then the tensors
        self.product = CoupledProduct(l_max, o3_lambda, n_in, self.n_linear + self.n_tensors)
        shape = (1 + options.gates, self.n_tensors, self.n_out)
        self.weight = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        # only invariants have a mean
        bias = torch.zeros(self.n_out, dtype=torch.float64)
        self.bias = torch.nn.Parameter(bias, requires_grad=o3_lambda == 0)
        self.register_buffer("transform", transform.T.contiguous().to(torch.float64))

    def forward(self, expansion: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
        """Coefficients of the orthonormal radial basis: (n_atoms, 2 lambda + 1, n_out)."""
        products = self.product(expansion)
        linear, tensors = products[..., : self.n_linear], products[..., self.n_linear :]
        if self.n_tensors == 0:
            return linear + self.bias
        mixed = self.mix(tensors, gates) + self.bias
        if self.n_linear > 0:
            mixed = mixed + linear
        return mixed

    def tensors(self, expansion: torch.Tensor) -> torch.Tensor:
        """The tensors that gates mix: (n_atoms, 2 lambda + 1, n_tensors)."""
        return self.product(expansion)[..., self.n_linear :]

    def mix(self, tensors: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
        """Tensors (n_atoms, mu, n_tensors) with gates (n_atoms, n_gates), without the bias."""
        size = self.n_tensors * self.n_out
        mixing = torch.matmul(gates, self.weight.reshape(gates.shape[1], size))
        return torch.bmm(tensors, mixing.reshape(-1, self.n_tensors, self.n_out))
