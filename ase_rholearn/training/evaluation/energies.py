"""Errors of a model's energies and forces."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...model import DensityModel
from ...references.reference import Reference


def evaluate_energies(model: DensityModel, references: Iterable[Reference]) -> dict[str, float]:
    """Root mean square and mean absolute errors over structures.

    Parameters
    ----------
    model
        A model with energies.
    references
        With energies; forces count where there are some. Structures without an energy are left
        out.

    Returns
    -------
    dict
        ``energy_rmse_mev_per_atom``, ``energy_mae_mev_per_atom``, and where there are forces
        ``forces_rmse_mev_per_angstrom`` and ``forces_mae_mev_per_angstrom``, over components.
    """
    energies, forces = [], []
    for reference in references:
        if reference.energy is None:
            continue
        potential = model.potential(reference.atoms)
        energies.append((potential.energy - reference.energy) / len(reference.atoms))
        if reference.forces is not None:
            forces.append((potential.forces - reference.forces).ravel())
    if not energies:
        raise ValueError("references have no energies: compare with others")
    figures = _figures("energy", "mev_per_atom", np.array(energies))
    if forces:
        figures |= _figures("forces", "mev_per_angstrom", np.concatenate(forces))
    return figures


def _figures(name: str, unit: str, errors: np.ndarray) -> dict[str, float]:
    """Both means of errors in eV, in meV."""
    return {
        f"{name}_rmse_{unit}": 1e3 * float(np.sqrt(np.mean(errors**2))),
        f"{name}_mae_{unit}": 1e3 * float(np.mean(np.abs(errors))),
    }
