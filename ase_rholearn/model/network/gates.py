"""Functions of the invariants of an atom."""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

from typing import cast

import torch

from .coupling import CoupledProduct


class Gates(torch.nn.Module):
    """Functions of the invariants of an atom: cosines of random or learned projections.

    Together with a linear readout they approximate a kernel of the invariants (A. Rahimi and
    B. Recht, Adv. Neural Inf. Process. Syst. 20, 1177 (2007)); being bounded, they do not run
    away for atoms unlike those of the training set. Further layers add bounded functions of the
    gates to them.
    """

    def __init__(self, l_max: int, n_in: int, invariants: int, gates: int, depth: int = 1) -> None:
        super().__init__()
        self.product = CoupledProduct(l_max, 0, n_in, invariants)
        self.shift = torch.nn.Parameter(torch.zeros(invariants, dtype=torch.float64))
        self.weight = torch.nn.Parameter(torch.zeros((invariants, gates), dtype=torch.float64))
        self.phase = torch.nn.Parameter(torch.zeros(gates, dtype=torch.float64))
        self.layers = torch.nn.ModuleList(GateLayer(gates) for _ in range(depth - 1))

    def forward(self, expansion: torch.Tensor) -> torch.Tensor:
        """A constant, then the gates: (n_atoms, 1 + n_gates)."""
        invariants = self.invariants(expansion)
        waves = torch.cos(torch.matmul(invariants, self.weight) + self.phase)
        for layer in self.layers:
            waves = layer(waves)
        return torch.cat([torch.ones_like(waves[:, :1]), waves], dim=1)

    def invariants(self, expansion: torch.Tensor) -> torch.Tensor:
        """What the gates depend on: (n_atoms, n_invariants)."""
        return self.product(expansion).squeeze(1) + self.shift


class GateLayer(torch.nn.Module):
    """Gates, and what a layer of a residual network adds to them."""

    def __init__(self, gates: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros((gates, gates), dtype=torch.float64))
        self.bias = torch.nn.Parameter(torch.zeros(gates, dtype=torch.float64))

    def forward(self, gates: torch.Tensor) -> torch.Tensor:
        """(n_atoms, n_gates) -> (n_atoms, n_gates)."""
        return gates + torch.tanh(torch.matmul(gates, self.weight) + self.bias)


def layers_of(gates: Gates) -> list[GateLayer]:
    """The further layers of gates, with their type."""
    return cast("list[GateLayer]", list(gates.layers))
