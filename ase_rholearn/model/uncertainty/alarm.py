"""Warnings about structures outside of what a model knows: each once, and not too many."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms

from .predicted import OutsideTrainingWarning, describe_unknown, fingerprint

#: Structures that are remembered, so that they are looked at only once.
_REMEMBERED = 1000


class Alarm:
    """Looks at structures, and warns of those with atoms beyond the limit.

    Parameters
    ----------
    extrapolation
        :meth:`DensityModel.extrapolation`, or None for a model that does not know.
    most
        Structures that are named; None names all.
    """

    def __init__(
        self,
        extrapolation: Callable[[Sequence[Atoms]], list[np.ndarray]] | None,
        most: int | None = None,
    ) -> None:
        self._extrapolation = extrapolation
        self._most = most
        self._seen: deque[bytes] = deque(maxlen=_REMEMBERED)
        #: Structures beyond the limit so far.
        self.found = 0

    def look(self, structures: Sequence[Atoms], *, stacklevel: int = 2) -> None:
        """Warn of those that were not seen before."""
        if self._extrapolation is None:
            return
        names = {fingerprint(atoms): atoms for atoms in structures}
        new = {name: atoms for name, atoms in names.items() if name not in self._seen}
        if not new:
            return
        self._seen.extend(new)
        found = self._extrapolation(list(new.values()))
        for atoms, extrapolation in zip(new.values(), found, strict=True):
            if text := describe_unknown(atoms, extrapolation):
                self.found += 1
                self._warn(text, stacklevel + 1)

    def _warn(self, text: str, stacklevel: int) -> None:
        if self._most is not None and self.found > self._most:
            return
        if self.found == self._most:
            text += "; further structures are not named"
        warnings.warn(text, OutsideTrainingWarning, stacklevel=stacklevel)
