"""Cartesian frames along the axes of a grid. Atomic units."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from ...basis import harmonic_rotations
from .terms import TermClass


@dataclass(frozen=True)
class CartesianFrame:
    """Orthonormal axes, in which atoms and their terms have other components.

    Attributes
    ----------
    axes
        Rows are unit vectors, right- or left-handed: shape (3, 3).
    """

    axes: np.ndarray
    # harmonics of a vector are these combinations of those of its components in the frame
    _rotations: dict[int, torch.Tensor] = field(init=False, default_factory=dict, repr=False)

    def components(self, vectors: np.ndarray) -> np.ndarray:
        """Components of vectors (..., 3) along the axes."""
        return vectors if self._is_straight else np.asarray(vectors @ self.axes.T)

    def terms(self, terms: TermClass) -> TermClass:
        """The same terms as functions of the components."""
        if self._is_straight:
            return terms
        weights = terms.weights @ self._rotation(terms.l_max)
        return TermClass(terms.radius, terms.exponents, weights)

    @cached_property
    def _is_straight(self) -> bool:
        """Whether the axes are x, y and z."""
        return np.array_equal(self.axes, np.eye(3))

    def _rotation(self, l_max: int) -> torch.Tensor:
        if l_max not in self._rotations:
            blocks = harmonic_rotations(torch.from_numpy(self.axes.T), l_max)
            self._rotations[l_max] = torch.block_diag(*blocks)
        return self._rotations[l_max]
