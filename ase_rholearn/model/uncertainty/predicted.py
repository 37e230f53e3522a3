"""Predicted uncertainty of a structure, and the warning that goes with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from metatensor.torch import TensorMap

#: So many atoms are named in a warning.
_NAMED = 5


class OutsideTrainingWarning(UserWarning):
    """A structure has atoms whose bonds are unlike all that the model was trained on."""


@dataclass(frozen=True)
class PredictedUncertainty:
    """What a model knows about the error of its prediction for one structure.

    Attributes
    ----------
    errors
        Expected error of the density around each atom, the integral of Hirshfeld's share times
        the absolute error: shape (natoms,), electrons.
    extrapolation
        Distance of each atom's bonds to the nearest that the model was trained on, in units of
        the limit: shape (natoms,). 1 is reached by few structures like those of the training set.
    variances
        Of the coefficients of the orthonormal radial functions, in the order of the flat vector:
        shape (size,), e^2/bohr^3; for
        :class:`~ase_rholearn.density.uncertainty.DensityUncertainty`.
    """

    errors: np.ndarray
    extrapolation: np.ndarray
    variances: np.ndarray


def per_atom(tensor: TensorMap, structures: Sequence[Atoms]) -> list[np.ndarray]:
    """One number for each atom of each structure, from an output with one block a species."""
    result = [np.full(len(atoms), np.nan) for atoms in structures]
    for block in tensor.blocks():
        values = block.values.detach().cpu().numpy()[:, 0]
        samples = block.samples.values.cpu().numpy()
        for (system, atom), value in zip(samples.tolist(), values, strict=True):
            result[system][atom] = value
    return result


def describe_unknown(atoms: Atoms, extrapolation: np.ndarray) -> str:
    """Text of the warning, or nothing if all atoms are within the limit.

    >>> describe_unknown(Atoms("OH"), np.array([0.3, 2.04]))
    'HO has atoms whose bonds are unlike those of the training set: H1 (2.0 times the limit)'
    """
    beyond = np.flatnonzero(extrapolation > 1)
    if len(beyond) == 0:
        return ""
    worst = beyond[np.argsort(-extrapolation[beyond], kind="stable")]
    names = [f"{atoms.symbols[i]}{i} ({extrapolation[i]:.1f} times the limit)" for i in worst]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (
        f"{atoms.get_chemical_formula()} has atoms whose bonds are unlike those of the training "
        f"set: {', '.join(names[:_NAMED])}{more}"
    )


def fingerprint(atoms: Atoms) -> bytes:
    """Short name of a structure's geometry."""
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    return hashlib.blake2b(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).digest()
