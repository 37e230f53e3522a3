"""What the steps of any training have in common: order, sizes and copies of weights."""

from __future__ import annotations

import torch


def epoch_order(size: int, seed: int, epoch: int) -> torch.Tensor:
    """Random order of an epoch, the same after a restart: (size,).

    >>> epoch_order(5, seed=0, epoch=0).tolist()
    [4, 0, 1, 3, 2]
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(size, generator=generator)


def typical_size(parameter: torch.Tensor) -> float:
    """Root mean square of the weights, or 1 where they are all zero."""
    return float(parameter.detach().square().mean().sqrt()) or 1.0


def copied_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights and buffers as they are now."""
    return {name: value.clone() for name, value in module.state_dict().items()}
