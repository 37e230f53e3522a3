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
        Structures that are named, after which no more are looked at; None looks at all.
    """

    def __init__(
        self,
        extrapolation: Callable[[Sequence[Atoms]], list[np.ndarray]] | None,
        most: int | None = None,
    ) -> None:
        self._extrapolation = extrapolation
        self._most = most
        self._seen: deque[bytes] = deque(maxlen=_REMEMBERED)
        self._found = 0

    def look(self, structures: Sequence[Atoms], *, stacklevel: int = 2) -> None:
        """Warn of those that were not seen before."""
        if self._extrapolation is None or self._found == self._most:
            return
        names = {fingerprint(atoms): atoms for atoms in structures}
        new = {name: atoms for name, atoms in names.items() if name not in self._seen}
        if not new:
            return
        self._seen.extend(new)
        found = self._extrapolation(list(new.values()))
        for atoms, extrapolation in zip(new.values(), found, strict=True):
            if text := describe_unknown(atoms, extrapolation):
                self._found += 1
                last = self._found == self._most
                more = "; further structures are not looked at" if last else ""
                warnings.warn(text + more, OutsideTrainingWarning, stacklevel=stacklevel)
                if last:
                    return
