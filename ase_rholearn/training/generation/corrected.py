"""References without self-consistent runs: predictions that linear response corrects.

One diagonalisation that starts from the prediction of a first model, and the linear response of
its orbitals (see :mod:`ase_rholearn.scf.screening`), leave some hundredths of a percent of the
electrons misplaced: a tenth of what a better model will leave, for two fifths of the time of a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from ase import Atoms
from scipy.linalg import eigvalsh

from ...basis import Basis
from ...density import Density
from ...model import DensityModel, load_model
from ...references import NotConvergedError, Reference
from ...references.pyscf import KohnSham, Wavefunction, fit_wavefunction
from ...references.pyscf.molecule import build_molecule, check_molecule
from ...scf import OneShot

#: What these references are called in settings and notes.
METHOD = "linear response"

#: Electrons that the response may move, as a fraction of all; its own error goes with the square.
#: Ozone, where a prediction with an error of 10 % ends with one of 0.3 %, has 8 %.
_FARTHEST = 0.03


@dataclass(frozen=True)
class CorrectedPredictions:
    """A :class:`~ase_rholearn.references.ReferenceCode` of corrected predictions.

    Attributes
    ----------
    basis
        Auxiliary basis of the fits.
    model
        A model file, or the name of a shipped model, of the same functional.
    level
        Level of theory; nothing is iterated, so that its thresholds do not count.
    keep_orbitals
        Keep the occupied orbitals.
    """

    basis: Basis
    model: str
    level: KohnSham = field(default_factory=KohnSham)
    keep_orbitals: bool = True

    def __post_init__(self) -> None:
        if self.level.forces:
            raise ValueError("kohn_sham.forces is true: linear response has none, set it to false")
        trained = _loaded(self.model).card.level_of_theory.get("xc")
        if trained != self.level.xc:
            raise ValueError(
                f"model is {self.model!r}, which was trained on densities of {trained}, but "
                f"kohn_sham.xc is {self.level.xc}: give a model of the same functional"
            )

    def settings(self) -> dict[str, Any]:
        """Plain data that fixes the result."""
        fingerprint = _loaded(self.model).fingerprint
        return {**self.level.to_dict(), "method": METHOD, "model": fingerprint}

    def reference(self, atoms: Atoms) -> Reference:
        """Predict, correct and fit the density."""
        check_molecule(atoms)
        self.basis.check_species(atoms.numbers)
        model = _loaded(self.model)
        model.check(atoms)
        predicted = Density(atoms, model.basis, model.coefficients([atoms])[0])
        molecule = build_molecule(atoms, self.level.orbital_basis)
        first = OneShot.of(molecule, predicted, self.level.xc, grid_level=self.level.grid_level)
        found = first.screened()
        _check_moved(first, found)
        noted = atoms.copy()
        noted.info["method"] = METHOD
        wavefunction = Wavefunction(
            noted,
            molecule,
            found.occupied_orbitals,
            source="run",
            name=atoms.get_chemical_formula(),
            energy=found.energy,
        )
        return fit_wavefunction(
            wavefunction,
            self.basis,
            level=self.level,
            settings=self.settings(),
            converged=True,
            keep_orbitals=self.keep_orbitals,
        )


@lru_cache(maxsize=1)
def _loaded(model: str) -> DensityModel:
    return load_model(model, "cpu")


def _check_moved(first: OneShot, found: OneShot) -> None:
    """Raise if the response is too large for a linear one."""
    fraction = moved(first, found) / first.molecule.nelectron
    if fraction > _FARTHEST:
        raise NotConvergedError(
            f"linear response moves {100 * fraction:.1f} % of the electrons of "
            f"{first.atoms.get_chemical_formula()}, more than {100 * _FARTHEST:g} %: the model's "
            "prediction is too far off; run this structure self-consistently"
        )


def moved(first: OneShot, second: OneShot) -> float:
    """Electrons whose orbitals differ: the trace norm of the difference of density matrices.

    At least the integral of the absolute difference of the densities.
    """
    difference = first.density_matrix - second.density_matrix
    overlap = first.molecule.intor("int1e_ovlp")
    # eigenvalues of S^1/2 D S^1/2 are those of the pencil (S D S, S)
    return float(np.abs(eigvalsh(overlap @ difference @ overlap, overlap)).sum())
