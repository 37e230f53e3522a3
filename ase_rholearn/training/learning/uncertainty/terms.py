"""Errors of the density around atoms: sums of terms with coefficients for each species."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ....model.uncertainty.uncertainty import N_TERMS, Uncertainty
from .errors import HeldOutErrors
from .likelihood import BORROWED, fit_expectations
from .prepared import Prepared


def fit_terms(
    uncertainty: Uncertainty, judged: Sequence[Prepared], errors: Sequence[HeldOutErrors]
) -> list[torch.Tensor]:
    """Coefficients of the atoms' errors, for each species."""
    terms = np.concatenate([_terms(uncertainty, one) for one in judged])
    species = np.concatenate([one.found.species.numpy() for one in judged])
    observed = np.concatenate([error.atoms for error in errors])
    count = len(judged[0].rows)
    means = np.array(
        [observed[species == k].mean() if (species == k).any() else np.nan for k in range(count)]
    )
    means = np.where(np.isnan(means), np.nanmax(means), means)
    result = []
    for k in range(count):
        own = species == k
        others = max(1, int((~own).sum()))
        weights = np.where(own, 1.0, BORROWED / others)
        # atoms of other species, as if their errors were as large on average
        scaled = observed * np.where(own, 1.0, means[k] / means[species])
        start = np.full(N_TERMS, means[k] / terms.sum(axis=1).mean())
        result.append(torch.from_numpy(fit_expectations(terms, scaled, weights, start)))
    return result


def _terms(uncertainty: Uncertainty, prepared: Prepared) -> np.ndarray:
    """What atoms' errors are sums of: (natoms, N_TERMS)."""
    one = prepared
    with torch.no_grad():
        distances, bonds = uncertainty.distances(*one.found, one.rows)
        rigidity = torch.zeros_like(distances)
        for k, species in enumerate(uncertainty.species):
            rigidity[one.rows[k]] = species(*one.layers[k]).sum(dim=1).sqrt()
        centers, neighbors = one.found.centers, one.found.neighbors
        return uncertainty.terms(rigidity, distances, bonds, centers, neighbors).numpy()
