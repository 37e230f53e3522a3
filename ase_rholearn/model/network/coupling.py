"""Products of an expansion with itself, coupled to tensors of one order lambda."""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from typing import cast

import torch

from .clebsch_gordan import clebsch_gordan, coupled_pairs


class CoupledPath(torch.nn.Module):
    """Weighted product of the expansion's parts l1 and l2, coupled to order lambda."""

    coupling: torch.Tensor

    def __init__(self, l1: int, l2: int, o3_lambda: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.l1, self.l2, self.o3_lambda = l1, l2, o3_lambda
        self.n_out = n_out
        coupling = clebsch_gordan(l1, l2, o3_lambda)
        self.register_buffer("coupling", coupling.reshape(-1, 2 * l2 + 1).clone())
        #: [q1, q2, out]
        self.weight = torch.nn.Parameter(torch.zeros((n_in, n_in, n_out), dtype=torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """Tensors of order lambda: (n_atoms, 2 lambda + 1, n_out)."""
        n_atoms, n_in = expansion.shape[0], expansion.shape[2]
        size1 = 2 * self.l1 + 1
        first = expansion[:, self.l1 * self.l1 : (self.l1 + 1) * (self.l1 + 1)]
        second = expansion[:, self.l2 * self.l2 : (self.l2 + 1) * (self.l2 + 1)]
        # [atom, m1, q1] [q1, (q2, out)] -> [atom, (m1, q2), out]
        weighted = torch.matmul(first, self.weight.reshape(n_in, n_in * self.n_out))
        weighted = weighted.reshape(n_atoms, size1 * n_in, self.n_out)
        # [(mu, m1), m2] [m2, (atom, q2)] -> [atom, mu, (m1, q2)]
        second = second.transpose(0, 1).reshape(2 * self.l2 + 1, n_atoms * n_in)
        coupled = torch.matmul(self.coupling, second)
        coupled = coupled.reshape(2 * self.o3_lambda + 1, size1, n_atoms, n_in)
        coupled = coupled.permute(2, 0, 1, 3)
        coupled = coupled.reshape(n_atoms, 2 * self.o3_lambda + 1, size1 * n_in)
        return torch.bmm(coupled, weighted)


class CoupledProduct(torch.nn.Module):
    """All products of the expansion with itself that make tensors of one order lambda.

    The expansion's own part of that order is added with weights too, where it has one.
    """

    def __init__(self, l_max: int, o3_lambda: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.o3_lambda = o3_lambda
        self.n_out = n_out
        self.paths = torch.nn.ModuleList(
            CoupledPath(l1, l2, o3_lambda, n_in, n_out)
            for l1, l2 in coupled_pairs(l_max, o3_lambda)
        )
        self.has_linear = o3_lambda <= l_max
        self.linear = torch.nn.Parameter(torch.zeros((n_in, n_out), dtype=torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """Tensors of order lambda: (n_atoms, 2 lambda + 1, n_out)."""
        mu = 2 * self.o3_lambda + 1
        total = expansion.new_zeros((expansion.shape[0], mu, self.n_out))
        if self.n_out == 0:
            return total
        if self.has_linear:
            start = self.o3_lambda * self.o3_lambda
            total = torch.matmul(expansion[:, start : start + mu], self.linear)
        for path in self.paths:
            total = total + path(expansion)
        return total


def paths_of(product: CoupledProduct) -> list[CoupledPath]:
    """The paths of a product, with their type."""
    return cast("list[CoupledPath]", list(product.paths))
