"""Predicted coefficients as FHI-aims needs them, and whether their basis is that of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import chemical_symbols

from ..basis import Basis, Shell
from ..density import Density


def counts_of(basis: Basis) -> dict[str, tuple[int, ...]]:
    """Radial functions of l = 0, 1, ..., lmax of each element of a basis.

    >>> counts_of(Basis.from_shells({"H": [(0, [1.0, 0.3]), (1, [0.8])]}))
    {'H': (2, 1)}
    """
    found = {}
    for z, shells in basis.shells.items():
        momenta = [shell.l for shell in shells]
        found[chemical_symbols[z]] = tuple(
            momenta.count(l) for l in range(max(momenta, default=-1) + 1)
        )
    return found


def product_coefficients(density: Density) -> np.ndarray:
    """Coefficients of a density on FHI-aims' product basis: shape (size,).

    Raises
    ------
    ValueError
        The density is on another kind of basis.
    """
    gaussian = any(
        isinstance(shell, Shell) for shells in density.basis.shells.values() for shell in shells
    )
    if gaussian or density.basis.atomic_densities:
        raise ValueError(
            f"the density is on {density.basis.name or 'a basis'} of Gaussians or on top of free "
            "atoms, not on FHI-aims' product basis: give `project`, or a model of FHI-aims' "
            "densities"
        )
    return density.raw_coefficients


def check_counts(model: Mapping[str, Sequence[int]], aims: Mapping[str, Sequence[int]]) -> None:
    """Raise a ValueError if functions of a species that both know are not the same."""
    for label in model.keys() & aims.keys():
        if tuple(model[label]) != tuple(aims[label]):
            raise ValueError(
                f"the model has {tuple(model[label])} radial functions of l = 0, 1, ... on "
                f"{label}, FHI-aims {tuple(aims[label])}: species defaults, xc, relativistic, "
                "default_prodbas_acc and default_max_l_prodbas have to be those of the training "
                "data"
            )
