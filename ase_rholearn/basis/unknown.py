"""Radial functions that another program has, and of which only overlaps are known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class UnknownShell:
    """One radial function R(r) of one angular momentum whose values are not known.

    A product basis of FHI-aims consists of such functions until they are recovered, see
    docs/fhi-aims-models.md. Coefficients can be learned and predicted, but not evaluated.

    Attributes
    ----------
    l
        Angular momentum.
    overlaps
        Integrals of R_i R r^2 dr with the functions R_i of the same species and l up to this
        one, which is the last: a row of the lower triangle of their Gram matrix. Empty if
        nothing is known of them either.

    Examples
    --------
    >>> shells = [UnknownShell(0, (2.0,)), UnknownShell(0, (0.5, 1.0))]
    >>> unknown_overlap(shells).tolist()
    [[2.0, 0.5], [0.5, 1.0]]
    """

    l: int
    overlaps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.l < 0:
            raise ValueError(f"l is {self.l}: an angular momentum is 0 or larger")
        overlaps = tuple(float(value) for value in self.overlaps)
        if not np.isfinite(overlaps).all():
            raise ValueError(f"overlaps are {overlaps}: give finite numbers")
        object.__setattr__(self, "overlaps", overlaps)

    def radial(self, r: np.ndarray) -> np.ndarray:
        """Refused: R(r) is not known."""
        raise self._refusal

    def moment(self, power: int) -> float:
        """Refused: the integral of R(r) r^power dr is not known."""
        raise self._refusal

    @property
    def _refusal(self) -> ValueError:
        return ValueError(
            f"the values of a radial function of l = {self.l} are not known: recover the functions "
            "from FHI-aims first (docs/fhi-aims-models.md)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data (JSON); floats survive unchanged."""
        return {"l": self.l, "overlaps": list(self.overlaps)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> UnknownShell:
        """The inverse of :meth:`to_dict`."""
        return cls(int(data["l"]), tuple(data["overlaps"]))


def unknown_shells(l: int, gram: np.ndarray | None, count: int) -> tuple[UnknownShell, ...]:
    """Functions of one species and l from their Gram matrix, (count, count), if it is known."""
    if gram is None:
        return (UnknownShell(l),) * count
    return tuple(UnknownShell(l, tuple(gram[n, : n + 1].tolist())) for n in range(count))


def unknown_overlap(shells: Sequence[UnknownShell]) -> np.ndarray:
    """Gram matrix of the radial functions of one species and l: shape (n, n).

    Raises
    ------
    ValueError
        It is not known, or not that of one set of functions.
    """
    matrix = np.zeros((len(shells), len(shells)))
    for n, shell in enumerate(shells):
        if len(shell.overlaps) != n + 1:
            raise ValueError(
                f"the overlaps of the radial functions of l = {shell.l} are not known: collect at "
                "least one structure of the species with its overlap matrix (ri_full_output)"
            )
        matrix[n, : n + 1] = matrix[: n + 1, n] = shell.overlaps
    return matrix
