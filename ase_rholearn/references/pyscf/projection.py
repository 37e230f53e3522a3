"""From one auxiliary basis to another, when nothing but the fit was kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...basis import Basis, from_pyscf_order, to_pyscf_order
from ...structures import total_charge
from ..reference import Reference, settings_with_basis
from .fit import solve_metric
from .integrals import (
    auxiliary_molecule,
    baseline_molecule,
    baseline_projections,
    metric_integral,
    metric_matrix,
)


def project(
    reference: Reference, basis: Basis, target: Basis, *, metric: str | None = None
) -> Reference:
    """Fit another basis to the fitted density of a molecule.

    Only integrals of two functions are needed. The result is what a fit to the orbitals
    would have given, but for the error of the first fit: make that with a rich basis.

    Parameters
    ----------
    reference
        The fit at hand.
    basis
        Its auxiliary basis.
    target
        The new one. It may have other atomic densities, or none.
    metric
        Metric of the new fit; left out: that of the reference.

    Returns
    -------
    Reference
        Its settings say from which basis it was projected (``projected_from``).

    Raises
    ------
    ValueError
        The structure is periodic, a species is missing, or the bases describe different
        electrons.
    """
    from pyscf import gto

    atoms, numbers = reference.atoms, reference.atoms.numbers
    if atoms.pbc.any():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: only fits of molecules can be projected"
        )
    if (basis.kind, basis.core_charges) != (target.kind, target.core_charges):
        raise ValueError(
            f"the target basis is {target.kind} with core_charges {dict(target.core_charges)}, "
            f"the reference {basis.kind} with {dict(basis.core_charges)}: give one of the same "
            "electrons"
        )
    basis.check_coefficients(numbers, reference.coefficients)
    target.check_species(numbers)
    settings = projected_settings(reference.settings, metric)
    integral = metric_integral(settings["metric"])
    new = auxiliary_molecule(atoms, target)
    cross = gto.mole.intor_cross(integral, new, auxiliary_molecule(atoms, basis))
    projections = cross @ to_pyscf_order(basis, numbers, reference.coefficients)
    if basis.atomic_densities:
        gaussians, amplitudes = baseline_molecule(atoms, basis)
        projections += gto.mole.intor_cross(integral, new, gaussians) @ amplitudes
    projections = from_pyscf_order(target, numbers, projections)
    projections -= baseline_projections(atoms, target, settings["metric"])
    matrix = metric_matrix(atoms, target, settings["metric"])
    coefficients = solve_metric(matrix, projections)
    return replace(
        reference,
        coefficients=coefficients,
        projections=None,
        settings=settings_with_basis(settings, target),
        fit={"electron_error": _electron_error(reference, target, coefficients)},
    )


def projected_settings(settings: Mapping[str, Any], metric: str | None = None) -> dict[str, Any]:
    """Settings of a projection of a reference with these settings, without the new basis."""
    kept = {k: v for k, v in settings.items() if k != "basis"}
    return {**kept, "metric": metric or kept["metric"], "projected_from": settings["basis"]}


def _electron_error(reference: Reference, basis: Basis, coefficients: np.ndarray) -> float:
    """Electrons of the fit less those of the structure."""
    numbers = reference.atoms.numbers
    held = basis.electrons(numbers) @ coefficients + basis.baseline_electrons(numbers).sum()
    cores = sum(basis.core_charge(int(z)) for z in numbers)
    return float(held - cores + total_charge(reference.atoms))
