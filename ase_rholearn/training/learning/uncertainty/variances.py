"""Variances of coefficients from the errors of held-out structures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import units

from ....basis import Basis
from ....density.evaluation.spherical import SphericalTables, table_radii
from ....density.uncertainty import radial_variance
from ....model.uncertainty.rigidity import LARGEST, Rigidity
from ....model.uncertainty.uncertainty import CoefficientVariance
from .errors import HeldOutErrors
from .likelihood import BORROWED, fit_expectations
from .prepared import Prepared

#: Variances that are neglected, e^2/bohr^6.
_VACUUM = 1e-16


def fit_variances(
    basis: Basis,
    rigidities: list[list[Rigidity]],
    judged: Sequence[Prepared],
    errors: Sequence[HeldOutErrors],
) -> list[list[CoefficientVariance]]:
    """a_n and b_n of each species and lambda: a and b times a common shape over n."""
    shapes = _shapes(basis, errors)
    growth = _fit_growth(rigidities, shapes, judged, errors)
    scales = _fit_scales(basis, rigidities, shapes, growth, judged, errors)
    result = []
    for k, of_species in enumerate(rigidities):
        parts = []
        for l, rigidity in enumerate(of_species):
            offset, slope = scales[k] * growth[l][k]
            shape = torch.from_numpy(shapes[k][l])
            parts.append(CoefficientVariance(rigidity, offset * shape, slope * shape))
        result.append(parts)
    return result


def _fit_growth(
    rigidities: list[list[Rigidity]],
    shapes: list[list[np.ndarray]],
    judged: Sequence[Prepared],
    errors: Sequence[HeldOutErrors],
) -> list[np.ndarray]:
    """a and b of each species, from squared errors over their shape: for each lambda (k, 2)."""
    count, result = len(rigidities), []
    for l in range(len(rigidities[0])):
        species, x, y = [], [], []
        for prepared, error in zip(judged, errors, strict=True):
            for k in range(count):
                squares = error.coefficients[k][l]
                if squares.size:
                    gates, tensors = prepared.layers[k]
                    species += [k] * len(squares)
                    x.append(rigidities[k][l](gates, tensors[l]).numpy())
                    y.append((squares / shapes[k][l]).mean(axis=1))
        result.append(_borrowing_fit(np.array(species), x, y, count))
    return result


def _borrowing_fit(
    species: np.ndarray, x: list[np.ndarray], y: list[np.ndarray], count: int
) -> np.ndarray:
    """a and b of each species; others count a little, and so does one atom of the largest R.

    Where the data do not say how errors grow with R, that atom says: in proportion.
    """
    if not x:
        return np.tile([0.5, 0.5], (count, 1))
    rigidity, observed = np.append(np.concatenate(x), LARGEST), np.concatenate(y)
    observed = np.append(observed, LARGEST * observed.mean())
    design = np.stack([np.ones_like(rigidity), rigidity], axis=1)
    fits = []
    for k in range(count):
        own = species == k
        borrowed = np.where(own, 1.0, BORROWED / max(1, int((~own).sum())))
        weights = np.append(borrowed, 1.0)
        fits.append(fit_expectations(design, observed, weights, np.array([0.5, 0.5])))
    return np.array(fits)


def _fit_scales(
    basis: Basis,
    rigidities: list[list[Rigidity]],
    shapes: list[list[np.ndarray]],
    growth: list[np.ndarray],
    judged: Sequence[Prepared],
    errors: Sequence[HeldOutErrors],
) -> np.ndarray:
    """One factor a species for its variances, from the squared error of the density."""
    tables = [
        [radial_variance(basis, z, l, shape) if len(shape) else None for l, shape in enumerate(of)]
        for z, of in zip(basis.species, shapes, strict=True)
    ]
    design, weights = [], []
    for prepared, error in zip(judged, errors, strict=True):
        design.append(_variance_terms(rigidities, tables, growth, prepared, error.points))
        # where errors are expected, as far out as they matter
        weights.append(error.weights * np.sqrt(design[-1].sum(axis=1)))
    x, w = np.concatenate(design), np.concatenate(weights)
    y = np.concatenate([error.squares for error in errors])
    common = fit_expectations(x.sum(axis=1, keepdims=True), y, w, np.ones(1))
    return fit_expectations(x, y, w, np.tile(common, x.shape[1]))


def _shapes(basis: Basis, errors: Sequence[HeldOutErrors]) -> list[list[np.ndarray]]:
    """Mean squared errors of the coefficients of each species and lambda: (n_functions,).

    As if there were one more atom, with the mean of all coefficients.
    """
    parts = [part.ravel() for error in errors for of in error.coefficients for part in of]
    typical = float(np.concatenate(parts).mean())
    result = []
    for k in range(len(basis.species)):
        of_species = []
        for l in range(basis.l_max + 1):
            squares = np.concatenate([error.coefficients[k][l] for error in errors])
            total = squares.sum(axis=0) + (squares.mean() if squares.size else typical)
            of_species.append(total / (len(squares) + 1))
        result.append(of_species)
    return result


def _variance_terms(
    rigidities: list[list[Rigidity]],
    tables: list[list[np.ndarray | None]],
    growth: list[np.ndarray],
    prepared: Prepared,
    points: np.ndarray,
) -> np.ndarray:
    """Variance of the density at points due to atoms of each species: (n_points, n_species)."""
    atoms = prepared.atoms
    centres, cell = atoms.positions / units.Bohr, atoms.cell.array / units.Bohr
    result = np.zeros((len(points), len(rigidities)))
    for k, rows in enumerate(prepared.rows):
        if len(rows) == 0:
            continue
        gates, tensors = prepared.layers[k]
        total = np.zeros((len(rows), len(table_radii())))
        for l, rigidity in enumerate(rigidities[k]):
            table = tables[k][l]
            if table is not None:
                offset, slope = growth[l][k]
                total += np.outer(offset + slope * rigidity(gates, tensors[l]).numpy(), table)
        functions = SphericalTables.of(total[:, :, None], _VACUUM)
        result[:, [k]] = functions.sums(centres[rows.numpy()], points, cell, atoms.pbc)
    return result
