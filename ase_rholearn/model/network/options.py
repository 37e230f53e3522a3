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
    """

    density: NeighborDensity = field(default_factory=NeighborDensity)
    tensors: int = 16
    invariants: int = 32
    gates: int = 64
    linear: bool = False
    channels: int | None = None
    messages: int = 0

    def __post_init__(self) -> None:
        if self.channels is not None and self.channels < 1:
            raise ValueError(f"channels is {self.channels}: give 1 or more, or None")
        if self.messages < 0:
            raise ValueError(f"messages is {self.messages}: give 0 or more")
        if self.tensors < 0:
            raise ValueError(f"tensors is {self.tensors}: give 0 or more")
        if self.tensors == 0 and not self.linear:
            raise ValueError("tensors is 0 and linear is false: the network would be empty")
        if self.invariants < 1 or self.gates < 1:
            raise ValueError(
                f"invariants is {self.invariants} and gates {self.gates}: give 1 or more"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NetworkOptions:
        """The inverse of :meth:`to_dict`."""
        return cls(**{**data, "density": NeighborDensity(**data["density"])})
