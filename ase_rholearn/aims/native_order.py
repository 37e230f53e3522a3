"""The order and signs that FHI-aims had in its files before 240403.

``prodbas_condon_shotley_list.out`` names the functions of odd, positive m, whose sign is
opposite; ``idx_prodbas.out`` says where each function of the standard order is. Both count
from 1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..basis import Layout
from ..files import atomic_write
from .number_files import read_indices
from .versions import INDEX_FILES


@dataclass(frozen=True)
class NativeOrder:
    """How vectors in FHI-aims' own order become standard ones, and back.

    Attributes
    ----------
    index
        Where each function of the standard order is in the native one, from 0: shape (size,).
    flipped
        Native positions of functions with the opposite sign, from 0: shape (nflipped,).

    Examples
    --------
    >>> order = NativeOrder(np.array([2, 0, 1]), np.array([0]))
    >>> order.to_standard(np.array([1.0, 2.0, 3.0])).tolist()
    [3.0, -1.0, 2.0]
    >>> order.to_native(order.to_standard(np.array([1.0, 2.0, 3.0]))).tolist()
    [1.0, 2.0, 3.0]
    """

    index: np.ndarray
    flipped: np.ndarray

    def __post_init__(self) -> None:
        index, flipped = np.asarray(self.index, int), np.asarray(self.flipped, int)
        if not np.array_equal(np.sort(index), np.arange(len(index))):
            raise ValueError(f"index is not a permutation of 1 to {len(index)}")
        if len(set(flipped.tolist())) != len(flipped) or not np.isin(flipped, index).all():
            raise ValueError("flipped has functions twice, or some that do not exist")
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "flipped", flipped)

    @cached_property
    def places(self) -> np.ndarray:
        """Where each function of the native order is in the standard one: shape (size,)."""
        return np.argsort(self.index)

    @cached_property
    def signs(self) -> np.ndarray:
        """Sign of each function in native order: shape (size,)."""
        signs = np.ones(len(self.index))
        signs[self.flipped] = -1.0
        return signs

    def to_standard(self, native: np.ndarray) -> np.ndarray:
        """A vector of shape (size,) in the order (atom, l, n, m)."""
        return (native * self.signs)[self.index]

    def to_native(self, standard: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`to_standard`."""
        native = np.empty(len(self.index))
        native[self.index] = standard
        return native * self.signs

    def check(self, layout: Layout, path: str | os.PathLike[str]) -> None:
        """Raise a ValueError if this does not belong to a basis, or flips other functions.

        Parameters
        ----------
        layout
            Labels of the functions in standard order.
        path
            The directory, for the message.
        """
        if len(self.index) != len(layout.m):
            raise ValueError(
                f"{Path(path) / INDEX_FILES[0]} has {len(self.index)} lines, but the basis has "
                f"{len(layout.m)} functions"
            )
        odd = np.zeros(len(self.index), bool)
        odd[self.index] = (layout.m > 0) & (layout.m % 2 == 1)
        if not np.array_equal(np.flatnonzero(odd), np.sort(self.flipped)):
            raise ValueError(
                f"{Path(path) / INDEX_FILES[1]} does not name the functions of odd m > 0: is it "
                "of the same run as the other files?"
            )

    def write(self, directory: str | os.PathLike[str]) -> None:
        """Write both index files."""
        for name, values in zip(INDEX_FILES, (self.index, self.flipped), strict=True):
            with atomic_write(Path(directory) / name, "w") as stream:
                stream.writelines(f"{value + 1}\n" for value in values)


def read_native_order(directory: str | os.PathLike[str]) -> NativeOrder:
    """Read the index files of a directory.

    Raises
    ------
    FileNotFoundError
        One of them is not there.
    ValueError
        They are not a permutation and a list of functions.
    """
    index, flipped = (read_indices(Path(directory) / name) - 1 for name in INDEX_FILES)
    try:
        return NativeOrder(index, flipped)
    except ValueError as error:
        raise ValueError(f"{Path(directory) / INDEX_FILES[0]}: {error}") from error
