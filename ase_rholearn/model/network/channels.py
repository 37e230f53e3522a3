"""Fewer channels, messages and products: what an expansion has before it is multiplied."""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from typing import cast

import torch

from .coupling import CoupledProduct
from .options import NetworkOptions


class ChannelMixing(torch.nn.Module):
    """Combinations of the channels of an expansion, others for each l.

    Without a number of channels, the expansion as it is.
    """

    def __init__(self, l_max: int, n_in: int, channels: int | None) -> None:
        super().__init__()
        self.l_max = l_max
        self.n_out = n_in if channels is None else channels
        self.mixes = channels is not None
        #: [l, in, out]
        shape = (l_max + 1, n_in, channels or 0)
        self.weight = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """(n_atoms, (l_max + 1)^2, n_in) -> (n_atoms, (l_max + 1)^2, n_out)."""
        if not self.mixes:
            return expansion
        parts: list[torch.Tensor] = []
        for l in range(self.l_max + 1):
            parts.append(torch.matmul(expansion[:, l * l : (l + 1) * (l + 1)], self.weight[l]))
        return torch.cat(parts, dim=1)


class Products(torch.nn.Module):
    """Further channels: products of the expansion with itself, of each l."""

    def __init__(self, l_max: int, n_in: int, n_products: int) -> None:
        super().__init__()
        self.n_products = n_products
        self.n_out = n_in + n_products
        orders = range(l_max + 1 if n_products else 0)
        self.products = torch.nn.ModuleList(
            CoupledProduct(l_max, l, n_in, n_products) for l in orders
        )

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """(n_atoms, (l_max + 1)^2, n_in) -> (n_atoms, (l_max + 1)^2, n_out)."""
        if self.n_products == 0:
            return expansion
        parts: list[torch.Tensor] = []
        for product in self.products:
            parts.append(product(expansion))
        return torch.cat([expansion, torch.cat(parts, dim=1)], dim=2)


class Messages(torch.nn.Module):
    """Bounded invariants of an atom, by which it makes itself known to its neighbours."""

    def __init__(self, l_max: int, n_in: int, options: NetworkOptions) -> None:
        super().__init__()
        # without messages there is nothing to mix channels for
        self.mixing = ChannelMixing(l_max, n_in, options.channels if options.messages else None)
        self.product = CoupledProduct(l_max, 0, self.mixing.n_out, options.messages)
        self.shift = torch.nn.Parameter(torch.zeros(options.messages, dtype=torch.float64))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """Expansion of the species alone -> (n_atoms, n_messages), between -1 and 1."""
        mixed = self.mixing(expansion)
        return torch.tanh(self.product(mixed).squeeze(1) + self.shift)


def products_of(products: Products) -> list[CoupledProduct]:
    """The products of each l, none without further channels, with their type."""
    return cast("list[CoupledProduct]", list(products.products))
