"""Errors of a model's energies and forces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...model import DensityModel
from ...references.reference import Reference


def evaluate_energies(model: DensityModel, references: Iterable[Reference]) -> dict[str, float]:
    """Root mean square and mean absolute errors over structures, without judging densities.

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
        See :func:`summarize_energies`.
    """
    entries = [judge_energies(model, reference) for reference in references]
    figures = summarize_energies([entry for entry in entries if entry])
    if not figures:
        raise ValueError(
            f"the model {model.card.name!r} or all references have no energies: give others"
        )
    return figures


def judge_energies(model: DensityModel, reference: Reference) -> dict[str, Any]:
    """Energy and forces of one structure, of models and references that have them.

    Returns
    -------
    dict
        ``energy_ev`` and ``forces_ev_per_angstrom``, predicted and reference, and their figures
        of :data:`~.figures.FIGURES`; empty without energies.
    """
    if reference.energy is None or not model.has_energy:
        return {}
    found = model.potential(reference.atoms)
    result: dict[str, Any] = {
        "energy_error_mev_per_atom": energy_error(found.energy, reference),
        "energy_ev": {"predicted": found.energy, "reference": reference.energy},
    }
    if reference.forces is not None:
        difference = np.abs(found.forces - reference.forces)
        result["force_error_mev_per_angstrom"] = 1000 * float(difference.mean())
        result["forces_ev_per_angstrom"] = {
            "predicted": found.forces.tolist(),
            "reference": np.asarray(reference.forces).tolist(),
        }
    return result


def energy_error(energy: float, reference: Reference) -> float:
    """Of an energy in eV, beside that of a reference which has one: absolute, meV per atom."""
    assert reference.energy is not None
    return 1000 * abs(energy - reference.energy) / len(reference.atoms)


def summarize_energies(structures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Errors over structures and over all components of forces.

    Parameters
    ----------
    structures
        Results of :func:`judge_energies`.

    Returns
    -------
    dict
        ``energy_rmse_mev_per_atom``, ``energy_mae_mev_per_atom``, and where there are forces
        ``forces_rmse_mev_per_angstrom`` and ``forces_mae_mev_per_angstrom``; empty without
        energies.
    """
    energies = [s["energy_error_mev_per_atom"] for s in structures if "energy_ev" in s]
    forces = [
        np.subtract(both["predicted"], both["reference"]).ravel()
        for s in structures
        if (both := s.get("forces_ev_per_angstrom"))
    ]
    figures: dict[str, float] = {}
    if energies:
        figures |= _figures("energy", "mev_per_atom", np.array(energies))
    if forces:
        figures |= _figures("forces", "mev_per_angstrom", 1000 * np.concatenate(forces))
    return figures


def _figures(name: str, unit: str, errors: np.ndarray) -> dict[str, float]:
    return {
        f"{name}_rmse_{unit}": float(np.sqrt(np.mean(errors**2))),
        f"{name}_mae_{unit}": float(np.mean(np.abs(errors))),
    }
