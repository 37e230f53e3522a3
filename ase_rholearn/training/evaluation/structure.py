"""One structure judged: the figures, and what they are made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols

from ...density import Density, nmae
from ...density.evaluation.quadrature import check_level
from ...model import DensityModel
from ...references import Reference
from ...references.pyscf import orbital_molecule
from ...scf import OneShot
from .blocks import blocks, sample
from .energies import energy_error, judge_energies
from .figures import DENSITY_FIGURES
from .integrals import Differences, crystal_atom_errors, integrate

#: e Angstrom in Debye.
_DEBYE = 1 / units.Debye

#: Figures (a) to (e).
_A, _B, _C, _D, _E = DENSITY_FIGURES

#: Errors of dipoles and energies by the figure of their density.
_DIPOLES = {_D: "dipole_error_one_shot_debye", _E: "dipole_error_screened_debye"}
_ENERGIES = {_D: "energy_error_one_shot_mev_per_atom", _E: "energy_error_screened_mev_per_atom"}

#: Why a reference does not give the figures that need the SCF density.
_PERIODIC = "the structure is periodic: its SCF density is not kept"
_NO_ORBITALS = "the reference kept no orbitals (generate with keep_orbitals: true)"
_NO_BASIS = "the reference does not name the basis of its orbitals"


@dataclass(frozen=True)
class Settings:
    """How structures are judged.

    Attributes
    ----------
    level
        Quality of the quadrature, 0 to 5.
    one_shot
        Whether to compute figures (d) and (e), which cost as much as an SCF cycle or two.
    """

    level: int = 2
    one_shot: bool = True

    def __post_init__(self) -> None:
        check_level(self.level)


def judge(
    model: DensityModel,
    reference: Reference,
    settings: Settings | None = None,
    *,
    same_basis: bool = True,
) -> dict[str, Any]:
    """Judge the prediction of one structure.

    Parameters
    ----------
    model
        The model.
    reference
        Made at the model's level of theory.
    settings
        How.
    same_basis
        Whether the reference is fitted in the model's basis. If not, (b), (c) and errors of
        coefficients are left out, because the fits differ by more than the prediction.

    Returns
    -------
    dict
        Plain data: ``id``, ``formula``, ``atoms``, ``electrons``; the figures of
        :data:`~.figures.FIGURES` that are known, and ``missing`` with the reason for each
        density figure that is not; ``dipole_debye``, ``energy_ev``, ``forces``: predicted and
        reference; ``per_atom`` and ``multipoles`` (see the module ``integrals``), ``blocks`` (see
        the module ``blocks``), ``coefficients`` (some, for parity plots), ``seconds``.
    """
    settings = settings or Settings()
    start = time.perf_counter()
    atoms = reference.atoms
    coefficients = model.coefficients([atoms])[0]
    predicting = time.perf_counter() - start
    predicted = Density(atoms, model.basis, coefficients)
    fitted = None
    if same_basis:
        fitted = Density(atoms, model.basis, reference.coefficients)
    scf = SelfConsistent.of(reference, predicted, settings)
    result = {
        "id": reference.id,
        "formula": atoms.get_chemical_formula(),
        "atoms": len(atoms),
        "electrons": predicted.number_of_electrons,
        **_densities(reference, predicted, fitted, settings, scf),
        **_dipoles(reference, predicted, scf),
        **_one_shot_energies(reference, scf),
        **judge_energies(model, reference),
        "normalization_electrons": abs(predicted.normalization),
    }
    if fitted is not None:
        found = list(blocks(model.basis, atoms.numbers, coefficients, reference.coefficients))
        result["blocks"] = [block.to_dict() for block in found]
        result["coefficients"] = sample(found, reference.id)
    result["per_atom"] |= _uncertainty(model, atoms)
    total = time.perf_counter() - start
    result["seconds"] = {"prediction": predicting, "total": total}
    return result


@dataclass(frozen=True)
class SelfConsistent:
    """What a reference says about the SCF density, and what comes nearer to it.

    Attributes
    ----------
    orbitals
        Occupied ones of the reference, scaled; None if they are not known.
    one_shots
        One diagonalisation by (d), its linear response by (e), as far as they are wanted and known.
    molecule
        The ``pyscf.gto.Mole`` of all of them.
    missing
        Why figures are not known.
    """

    orbitals: np.ndarray | None
    one_shots: dict[str, OneShot]
    molecule: Any
    missing: dict[str, str]

    @classmethod
    def of(cls, reference: Reference, predicted: Density, settings: Settings) -> SelfConsistent:
        """With the diagonalisations that start from the prediction."""
        known = reference.settings
        reason = ""
        if reference.atoms.pbc.any():
            reason = _PERIODIC
        elif reference.occupied_orbitals is None:
            reason = _NO_ORBITALS
        elif "orbital_basis" not in known:
            reason = _NO_BASIS  # fits of orbitals from elsewhere may not say it
        if reason:
            return cls(None, {}, None, dict.fromkeys((_A, _C, _D, _E), reason))
        orbitals = np.asarray(reference.occupied_orbitals, dtype=float)
        molecule = orbital_molecule(reference)
        one_shots, reason = {}, ""
        if not settings.one_shot:
            reason = "it was not asked for"
        elif "xc" not in known:
            reason = "the reference does not name its functional"
        else:
            try:
                one_shots[_D] = OneShot.of(molecule, predicted, known["xc"], grid_level=2)
                one_shots[_E] = one_shots[_D].screened()
            except ValueError as error:  # a functional of more than the density, a large molecule
                reason = str(error)
        missing = {name: reason for name in (_D, _E) if name not in one_shots}
        return cls(orbitals, one_shots, molecule, missing)

    def densities(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """By figure, and "scf", of points in bohr; they share the values of the AOs."""
        if self.orbitals is None:
            return {}
        found = {name: one.occupied_orbitals for name, one in self.one_shots.items()}
        return _orbital_densities(self.molecule, {"scf": self.orbitals, **found})


def _densities(
    reference: Reference,
    predicted: Density,
    fitted: Density | None,
    settings: Settings,
    scf: SelfConsistent,
) -> dict[str, Any]:
    """Figures (a) to (e), the reasons for those that are missing, errors of atoms."""
    missing = dict(scf.missing)
    if fitted is None:
        reason = "model and data set have different auxiliary bases"
        missing |= {_B: reason, _C: reason}
        if scf.orbitals is None:
            raise ValueError(
                f"structure {reference.id}: {missing[_A]}, and its fit is in another basis than "
                "the model's: there is nothing to compare"
            )
    if fitted is not None and predicted.atoms.pbc.any():
        found = _crystal(predicted, fitted, settings)
    else:
        found = _molecule(predicted, fitted, scf.densities(), settings)
    found["per_atom"]["numbers"] = predicted.atoms.numbers.tolist()
    return {**found, "missing": missing}


def _crystal(predicted: Density, fitted: Density, settings: Settings) -> dict[str, Any]:
    """Figure (b), and errors of atoms."""
    parts = None
    if predicted.basis.atomic_densities:
        parts = crystal_atom_errors(predicted, predicted - fitted, settings.level)
    return {_B: nmae(predicted, fitted), "per_atom": _errors(parts)}


def _molecule(
    predicted: Density,
    fitted: Density | None,
    orbitals: dict[str, Callable[[np.ndarray], np.ndarray]],
    settings: Settings,
) -> dict[str, Any]:
    """Figures that orbitals and fit allow, errors of atoms and their multipoles."""
    atoms, electrons = predicted.atoms, predicted.number_of_electrons
    differences = _differences(predicted, fitted, orbitals)
    divided = _B if fitted is not None else _A
    found = integrate(differences, atoms, settings.level, predicted.basis, divided)
    return {
        **{name: 100 * value / electrons for name, value in found.absolute.items()},
        "squared_error": found.squared[divided],
        "per_atom": _errors(found.atoms),
        **_multipoles(found.multipoles, atoms.numbers),
    }


def _errors(parts: np.ndarray | None) -> dict[str, Any]:
    return {} if parts is None else {"error_electrons": parts.tolist()}


def _multipoles(squares: np.ndarray | None, numbers: np.ndarray) -> dict[str, Any]:
    """Squared errors by species, each with l = 0 .. l_max and higher: e^2/bohr^3."""
    if squares is None:
        return {}
    by_species = {
        chemical_symbols[z]: squares[numbers == z].sum(axis=0).tolist()
        for z in np.unique(numbers).tolist()
    }
    return {"multipoles": by_species}


def _differences(
    predicted: Density,
    fitted: Density | None,
    orbitals: dict[str, Callable[[np.ndarray], np.ndarray]],
) -> Differences:
    """The differences whose integrals are the figures, of points in bohr."""

    def values(density: Any, points: np.ndarray) -> np.ndarray:
        return density.evaluate(points * units.Bohr) * units.Bohr**3

    def differences(points: np.ndarray) -> dict[str, np.ndarray]:
        found = {}
        if fitted is not None:
            found[_B] = values(predicted - fitted, points)
        if orbitals:
            scf = orbitals["scf"](points)
            if fitted is None:
                found[_A] = values(predicted, points) - scf
            else:
                found[_C] = values(fitted, points) - scf
                found[_A] = found[_C] + found[_B]
            for name in (_D, _E):
                if name in orbitals:
                    found[name] = orbitals[name](points) - scf
        return found

    return differences


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


def _dipoles(reference: Reference, predicted: Density, scf: SelfConsistent) -> dict[str, Any]:
    if reference.dipole is None or predicted.atoms.pbc.any():
        return {}
    found, expected = predicted.dipole() * _DEBYE, np.asarray(reference.dipole) * _DEBYE
    error = float(np.linalg.norm(found - expected))
    heavy = max(1, int((predicted.atoms.numbers > 2).sum()))
    better = {
        _DIPOLES[name]: float(np.linalg.norm(one.dipole() * _DEBYE - expected))
        for name, one in scf.one_shots.items()
    }
    return {
        "dipole_error_debye": error,
        "dipole_error_debye_per_heavy_atom": error / heavy,
        **better,
        "dipole_debye": {"predicted": found.tolist(), "reference": expected.tolist()},
    }


def _one_shot_energies(reference: Reference, scf: SelfConsistent) -> dict[str, float]:
    """Errors of Harris-Foulkes energies, where the reference has one."""
    if reference.energy is None:
        return {}
    return {
        _ENERGIES[name]: energy_error(one.energy, reference) for name, one in scf.one_shots.items()
    }


def _uncertainty(model: DensityModel, atoms: Atoms) -> dict[str, list[float]]:
    """Of models that know it: expected errors of atoms, and how far they are from known ones."""
    if not model.knows_uncertainty:
        return {}
    found = model.uncertainty([atoms])[0]
    return {
        "uncertainty_electrons": found.errors.tolist(),
        "extrapolation": found.extrapolation.tolist(),
    }


def warm_up(model: DensityModel) -> None:
    """Predict once, so that timings do not hold what only the first call does."""
    model.coefficients([Atoms([model.basis.species[0]])])
