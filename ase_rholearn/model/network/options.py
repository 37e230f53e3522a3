"""Architecture of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .radial import NeighborDensity


@dataclass(frozen=True)
class NetworkOptions:
    """Architecture of the network.

    Attributes
    ----------
    density
        The neighbour density.
    tensors
        Tensors of each order lambda that are made per atom and mixed by gates; 0 leaves
        only the linear part.
    invariants
        Invariants per atom that the gates depend on.
    gates
        Functions of the invariants that mix the tensors.
    linear
        Whether to add a linear map of all features to the coefficients.
    channels
        Combinations of the radial functions of all species, for each l, that are multiplied
        with each other. None multiplies all of them: slow for more than a few species.
    messages
        Invariants of neighbours that weigh the second expansion; 0 leaves it out.
    products
        Products of the expansion with itself, for each l, that are multiplied again beside it,
        so that tensors and invariants have correlation order 4. 0 leaves order 2.
    depth
        Layers of the gates: functions of invariants, and then functions of these functions.
    """

    density: NeighborDensity = field(default_factory=NeighborDensity)
    tensors: int = 16
    invariants: int = 32
    gates: int = 64
    linear: bool = False
    channels: int | None = None
    messages: int = 0
    products: int = 0
    depth: int = 1

    def __post_init__(self) -> None:
        if self.channels is not None and self.channels < 1:
            raise ValueError(f"channels is {self.channels}: give 1 or more, or None")
        for name in ("messages", "products", "tensors"):
            if (value := getattr(self, name)) < 0:
                raise ValueError(f"{name} is {value}: give 0 or more")
        if self.tensors == 0 and not self.linear:
            raise ValueError("tensors is 0 and linear is false: the network would be empty")
        for name in ("invariants", "gates", "depth"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} is {value}: give 1 or more")

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NetworkOptions:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**data, "density": NeighborDensity(**data["density"])})
