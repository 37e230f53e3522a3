"""The smallest change of coefficients that corrects the number of electrons."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ..basis import Basis


def charge_step(basis: Basis, numbers: np.ndarray) -> np.ndarray:
    """Change of the coefficients that adds one electron: shape (size,).

    It minimises the sum of the on-site Coulomb self-interactions of the change:
    dc_A = lambda J_AA^-1 n_A, with one lambda for the structure.
    """
    species_steps = {}
    for z in set(numbers.tolist()):
        shells = basis.radial_functions(z, 0)
        step = np.zeros(basis.sizes[z])
        if shells:
            per_function = basis.electrons([z])
            coulomb = basis.radial_metric(z, 0, "coulomb")
            step[: len(shells)] = cho_solve(cho_factor(coulomb), per_function[: len(shells)])
        species_steps[z] = step
    total = np.concatenate([species_steps[int(z)] for z in numbers])
    electrons = basis.electrons(numbers) @ total
    if not electrons > 0:
        raise ValueError(
            f"the basis {basis.name!r} has no s functions on these species, so that the charge "
            "cannot be corrected: use normalize=False"
        )
    return np.asarray(total / electrons)
