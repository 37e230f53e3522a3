"""Errors of coefficients in the norm of overlap matrices that a data set has. Atomic units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ...model import DensityModel
from ..data import DataSet
from ..learning.loss import full_matrix


@dataclass(frozen=True)
class OverlapError:
    r"""The error of one predicted density, without values of functions.

    Attributes
    ----------
    id, formula
        Of the reference.
    squared
        :math:`\int |\rho - \rho_{ref}|^2 = \Delta c^T S \Delta c`, e^2/bohr^3.
    percent
        Its root, relative to that of the reference's density.
    """

    id: str
    formula: str
    squared: float
    percent: float


def overlap_errors(
    model: DensityModel, dataset: DataSet, ids: Iterable[str] | None = None
) -> Iterator[OverlapError]:
    """Errors of predictions, for the structures of a data set that have an overlap matrix.

    Parameters
    ----------
    model
        Of the same functions as the data set.
    dataset
        Such as one of fits of FHI-aims.
    ids
        Leave out all others.

    Raises
    ------
    ValueError
        An id is not there, or the functions are others.
    """
    if model.basis.sizes != dataset.basis.sizes:
        raise ValueError(
            f"the model {model.card.name!r} has {model.basis}; the data set {dataset.folder} has "
            f"{dataset.basis}: give both of the same product basis"
        )
    for name in sorted(dataset.ids if ids is None else dataset.select(ids)):
        reference = dataset.load(name)
        if reference.overlap is None:
            continue
        [predicted] = model.coefficients([reference.atoms])
        matrix = full_matrix(np.asarray(reference.overlap), len(predicted))
        error = predicted - reference.coefficients
        squared = float(error @ matrix @ error)
        norm = float(reference.coefficients @ matrix @ reference.coefficients)
        formula = reference.atoms.get_chemical_formula()
        yield OverlapError(name, formula, squared, 100 * float(np.sqrt(max(squared, 0.0) / norm)))
