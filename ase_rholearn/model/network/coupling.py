"""Products of an expansion with itself, coupled to tensors of one order lambda."""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from typing import cast

import torch

from .clebsch_gordan import clebsch_gordan, coupled_pairs


class CoupledPath(torch.nn.Module):
    """Weights of the product of the expansion's parts l1 and l2."""

    def __init__(self, l1: int, l2: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.l1, self.l2 = l1, l2
        #: [q1, q2, out]
        self.weight = torch.nn.Parameter(torch.zeros((n_in, n_in, n_out), dtype=torch.float64))

    def forward(
        self, total: torch.Tensor, first: torch.Tensor, coupled: torch.Tensor
    ) -> torch.Tensor:
        """Add the product to tensors of order lambda: (n_atoms, 2 lambda + 1, n_out).

        Parameters
        ----------
        total
            What it is added to.
        first
            The part l1: (n_atoms, 2 l1 + 1, n_in).
        coupled
            The part l2, coupled to lambda and m1: (n_atoms, (2 lambda + 1) * (2 l1 + 1), n_in).
        """
        n_atoms, n_in, n_out = first.shape[0], first.shape[2], self.weight.shape[2]
        rows = first.shape[1] * n_in
        # [(atom, m1), q1] [q1, (q2, out)] -> [atom, (m1, q2), out]
        weighted = torch.matmul(first, self.weight.reshape(n_in, n_in * n_out))
        weighted = weighted.reshape(n_atoms, rows, n_out)
        return torch.baddbmm(total, coupled.reshape(n_atoms, total.shape[1], rows), weighted)


class CoupledProduct(torch.nn.Module):
    """All products of the expansion with itself that make tensors of one order lambda.

    The expansion's own part of that order is added with weights too, where it has one.
    """

    coupling: torch.Tensor

    def __init__(self, l_max: int, o3_lambda: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.o3_lambda = o3_lambda
        self.n_out = n_out
        pairs = coupled_pairs(l_max, o3_lambda)
        self.paths = torch.nn.ModuleList(CoupledPath(l1, l2, n_in, n_out) for l1, l2 in pairs)
        self.has_linear = o3_lambda <= l_max
        self.linear = torch.nn.Parameter(torch.zeros((n_in, n_out), dtype=torch.float64))
        #: rows of the expansion with each l, and of ``coupling`` for each path
        self.parts = [2 * l + 1 for l in range(l_max + 1)]
        self.coupled_parts = [(2 * o3_lambda + 1) * (2 * l1 + 1) for l1, _ in pairs]
        none = torch.zeros((0, (l_max + 1) ** 2), dtype=torch.float64)  # with l_max 0
        coupling = [_in_expansion(l1, l2, o3_lambda, l_max) for l1, l2 in pairs]
        #: [(path, mu, m1), lm2]
        self.register_buffer("coupling", torch.cat([none, *coupling]))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """Tensors of order lambda: (n_atoms, 2 lambda + 1, n_out)."""
        n_atoms, mu = expansion.shape[0], 2 * self.o3_lambda + 1
        total = expansion.new_zeros((n_atoms, mu, self.n_out))
        if self.n_out == 0:
            return total
        parts = torch.split(expansion, self.parts, dim=1)
        if self.has_linear:
            total = torch.matmul(parts[self.o3_lambda], self.linear)
        # all paths at once: [(path, mu, m1), lm2] [atom, lm2, q2] -> [atom, (path, mu, m1), q2]
        coupled = torch.bmm(self.coupling.expand(n_atoms, -1, -1), expansion)
        of_path = torch.split(coupled, self.coupled_parts, dim=1)
        for k, path in enumerate(self.paths):
            total = path(total, parts[path.l1], of_path[k])  # type: ignore[index]
        return total


def _in_expansion(l1: int, l2: int, o3_lambda: int, l_max: int) -> torch.Tensor:
    """Coupling of m1 and all (l, m) of an expansion, zero but for l2: ((mu, m1), lm)."""
    missing = (l2 * l2, (l_max + 1) ** 2 - (l2 + 1) ** 2)
    return torch.nn.functional.pad(clebsch_gordan(l1, l2, o3_lambda).flatten(0, 1), missing)


def paths_of(product: CoupledProduct) -> list[CoupledPath]:
    """The paths of a product, with their type."""
    return cast("list[CoupledPath]", list(product.paths))
