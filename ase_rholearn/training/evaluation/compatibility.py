"""Whether a model can be judged on a data set: basis and level of theory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...basis import Basis, RadialFunction, UnknownShell
from ...model import DensityModel
from ..data import DataSet
from ..data.dataset import difference, flatten

#: Settings that say how tightly a calculation was done, or what was kept of it: two
#: references that differ by them alone are at the same level of theory.
_NUMERICS = {
    "code",
    "method",
    "source",
    "density_fit",
    "grid_level",
    "conv_tol",
    "max_cycle",
    "forces",
    "metric",
    "basis",
}

#: Radii (bohr) at which functions are compared, and the relative difference that is none.
_RADII, _SAME = np.geomspace(1e-3, 20.0, 400), 1e-6


@dataclass(frozen=True)
class Agreement:
    """What a model and a data set share.

    Attributes
    ----------
    same_basis
        Whether their auxiliary bases are the same.
    notes
        What a reader has to know about the rest, in sentences.
    """

    same_basis: bool
    notes: tuple[str, ...]


def check_agreement(model: DensityModel, dataset: DataSet, *, other_basis: bool) -> Agreement:
    """Whether references of the data set can judge the model.

    Parameters
    ----------
    model, dataset
        The two.
    other_basis
        Whether their auxiliary bases may differ; then predictions are compared with SCF
        densities alone.

    Raises
    ------
    ValueError
        The levels of theory differ, or the bases do, or the model has no radial functions.
    """
    model.basis.check_known("comparing densities in space")
    theirs, ours = _level(model.card.level_of_theory), _level(dataset.settings)
    known = theirs.keys() & ours.keys()
    contrary = difference({k: theirs[k] for k in known}, {k: ours[k] for k in known})
    if contrary:
        raise ValueError(
            f"the model {model.card.name!r} and the data set {dataset.folder} have other levels of "
            f"theory ({contrary}): use references at the model's level"
        )
    same = same_basis(model.basis, dataset.basis)
    if not same:
        _check_bases(model, dataset, other_basis)
    return Agreement(same, tuple(_notes(model, dataset, theirs, ours, same)))


def same_basis(first: Basis, second: Basis) -> bool:
    """Whether two bases have the same functions and free atoms, to many digits.

    Free atoms are fitted, and on another machine come out with other last digits.
    """
    if (first.kind, first.core_charges) != (second.kind, second.core_charges):
        return False
    if first.sizes != second.sizes or _lengths(first) != _lengths(second):
        return False
    shells = [
        pair for z in first.species for pair in zip(first.shells[z], second.shells[z], strict=True)
    ]
    free = [(rho, second.atomic_densities[z]) for z, rho in first.atomic_densities.items()]
    return all(_same_functions(a, b) for a, b in shells) and all(
        _same_values(a.value, b.value) for a, b in free
    )


def _same_functions(first: RadialFunction, second: RadialFunction) -> bool:
    """Whether two radial functions agree, as far as both are known."""
    if isinstance(first, UnknownShell) or isinstance(second, UnknownShell):
        return first.l == second.l
    return first.l == second.l and _same_values(first.radial, second.radial)


def _lengths(basis: Basis) -> tuple[list[int], int]:
    """Numbers of shells and of free atoms."""
    return [len(shells) for shells in basis.shells.values()], len(basis.atomic_densities)


def _same_values(
    first: Callable[[np.ndarray], np.ndarray], second: Callable[[np.ndarray], np.ndarray]
) -> bool:
    """Whether two functions of the radius agree where their electrons are."""
    a, b = (function(_RADII) * _RADII for function in (first, second))
    return bool(np.abs(a - b).max() <= _SAME * np.abs(a).max())


def _check_bases(model: DensityModel, dataset: DataSet, other_basis: bool) -> None:
    first, second = model.basis, dataset.basis
    both = f"the model {model.card.name!r} has {first}; the data set {dataset.folder} has {second}"
    if first.kind != second.kind:
        raise ValueError(f"{both}: all-electron and valence densities cannot be compared")
    if not other_basis:
        raise ValueError(
            f"{both}: refit the data set in the model's basis, or allow another one "
            "(--other-basis), which leaves comparisons with SCF densities of references that "
            "kept their orbitals"
        )


def _level(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What defines the density, flat."""
    flat = dict(flatten(settings))
    return {key: value for key, value in flat.items() if key.split(".")[0] not in _NUMERICS}


def _notes(
    model: DensityModel,
    dataset: DataSet,
    theirs: dict[str, Any],
    ours: dict[str, Any],
    same: bool,
) -> list[str]:
    notes = []
    unknown = sorted(theirs.keys() ^ ours.keys())
    if not theirs:
        notes.append("The model does not say at which level of theory it was trained.")
    elif unknown:
        notes.append(f"Only one of model and data set names {', '.join(unknown)}.")
    numerics = [
        {key: value for key, value in settings.items() if key in _NUMERICS - {"basis"}}
        for settings in (model.card.level_of_theory, dataset.settings)
    ]
    if theirs and (other := difference(*numerics)):
        notes.append(f"Model and data set differ in {other}.")
    if not same:
        notes.append(
            "Model and data set have different auxiliary bases: predictions are compared with "
            "SCF densities only."
        )
    return notes
