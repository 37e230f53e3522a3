"""Quality figures of a model on reference densities.

For each structure, in percent of the integrated density (NMAE):

(a) prediction against the self-consistent density,
(b) prediction against the fitted density,
(c) fitted against the self-consistent density: the floor of the basis,
(d) density after one Kohn-Sham diagonalisation with the predicted one, against the
    self-consistent density.

(a), (c) and (d) need references that kept their orbitals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from ase import units

from ...density import Density
from ...density.evaluation.quadrature import molecular_quadrature
from ...model import DensityModel
from ...references import Reference
from ...references.pyscf import orbital_molecule
from ...scf import one_shot_orbitals

#: e Angstrom in Debye.
_DEBYE = 1 / units.Debye

#: Figures of one structure and what they mean, with units.
FIGURES = {
    "nmae_scf_percent": "(a) NMAE against the SCF density, %",
    "nmae_fit_percent": "(b) NMAE against the fitted density, %",
    "nmae_floor_percent": "(c) NMAE of the fit itself, %",
    "nmae_one_shot_percent": "(d) NMAE after one diagonalisation, %",
    "dipole_error_debye": "length of the dipole's error, D",
    "dipole_error_debye_per_heavy_atom": "the same per atom heavier than helium, D",
    "normalization_electrons": "electrons added to normalise, absolute",
}


def evaluate(
    model: DensityModel,
    references: Iterable[Reference],
    *,
    level: int = 2,
    one_shot: bool = True,
    on_progress: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Judge a model on references that it was not trained on.

    Parameters
    ----------
    model
        The model.
    references
        Made with the model's basis and level of theory.
    level
        Quality of the quadrature, 0 to 5.
    one_shot
        Whether to compute figure (d), which costs as much as a few SCF cycles.
    on_progress
        Called after each structure.

    Returns
    -------
    dict
        ``structures``: for each one id, formula and figures; ``mean`` and ``worst`` of each
        figure; ``meaning`` of their names.
    """
    structures = []
    for reference in references:
        structures.append(_evaluate_one(model, reference, level, one_shot))
        if on_progress is not None:
            on_progress()
    if not structures:
        raise ValueError("references is empty: there is nothing to evaluate")
    columns = {name: [entry[name] for entry in structures if name in entry] for name in FIGURES}
    return {
        "mean": {name: float(np.mean(column)) for name, column in columns.items() if column},
        "worst": {name: float(np.max(column)) for name, column in columns.items() if column},
        "meaning": FIGURES,
        "structures": structures,
    }


def _evaluate_one(
    model: DensityModel, reference: Reference, level: int, one_shot: bool
) -> dict[str, Any]:
    atoms, basis = reference.atoms, model.basis
    fitted = Density(atoms, basis, reference.coefficients)
    predicted = Density(atoms, basis, model.coefficients([atoms])[0])
    densities: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "predicted": lambda points: predicted.evaluate(points * units.Bohr) * units.Bohr**3,
        "fitted": lambda points: fitted.evaluate(points * units.Bohr) * units.Bohr**3,
    }
    pairs = {"nmae_fit_percent": ("predicted", "fitted")}
    settings = reference.settings
    # fits of orbitals from elsewhere may not say in which basis they are
    if reference.occupied_orbitals is not None and "orbital_basis" in settings:
        molecule = orbital_molecule(reference)
        orbitals = {"scf": np.asarray(reference.occupied_orbitals, dtype=float)}
        pairs["nmae_scf_percent"] = ("predicted", "scf")
        pairs["nmae_floor_percent"] = ("fitted", "scf")
        if one_shot and "xc" in settings:
            orbitals["one shot"], _ = one_shot_orbitals(molecule, predicted, settings["xc"])
            pairs["nmae_one_shot_percent"] = ("one shot", "scf")
        densities |= _orbital_densities(molecule, orbitals)
    figures = _nmae(reference, densities, pairs, level)
    if reference.dipole is not None:
        error = float(np.linalg.norm(predicted.dipole() - reference.dipole)) * _DEBYE
        figures["dipole_error_debye"] = error
        heavy = max(1, int((atoms.numbers > 2).sum()))
        figures["dipole_error_debye_per_heavy_atom"] = error / heavy
    figures["normalization_electrons"] = abs(predicted.normalization)
    return {"id": reference.id, "formula": atoms.get_chemical_formula(), **figures}


def _orbital_densities(
    molecule: Any, orbitals: dict[str, np.ndarray]
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Functions of points in bohr that share the values of the AOs."""
    from pyscf.dft.numint import eval_ao

    last: list[tuple[np.ndarray, np.ndarray]] = []

    def values(points: np.ndarray) -> np.ndarray:
        if not last or last[0][0] is not points:
            last[:] = [(points, eval_ao(molecule, points))]
        return last[0][1]

    def density(name: str) -> Callable[[np.ndarray], np.ndarray]:
        return lambda points: ((values(points) @ orbitals[name]) ** 2).sum(axis=1)

    return {name: density(name) for name in orbitals}


def _nmae(
    reference: Reference,
    densities: dict[str, Callable[[np.ndarray], np.ndarray]],
    pairs: dict[str, tuple[str, str]],
    level: int,
) -> dict[str, float]:
    """100 * integral |first - second| / integral second, for each pair."""
    errors = dict.fromkeys(pairs, 0.0)
    norms = dict.fromkeys(pairs, 0.0)
    positions = reference.atoms.positions / units.Bohr
    for points, weights in molecular_quadrature(reference.atoms.numbers, positions, level):
        used = weights > 1e-14
        points, weights = points[used], weights[used]
        values = {name: density(points) for name, density in densities.items()}
        for name, (first, second) in pairs.items():
            errors[name] += float(weights @ np.abs(values[first] - values[second]))
            norms[name] += float(weights @ values[second])
    return {name: 100 * errors[name] / norms[name] for name in pairs}
