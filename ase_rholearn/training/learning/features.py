"""The features that a network never forms: products of expansions, and their leading components."""

from __future__ import annotations

import numpy as np
import scipy.sparse.linalg
import torch

from ...model.network import CoupledProduct, paths_of
from ...model.network.clebsch_gordan import clebsch_gordan

#: Feature vectors that are held at once.
CHUNK = 2048

#: Variance below which even the leading features are rounding of what symmetry makes vanish, such
#: as vectors at the atoms of rock salt. Weights of them would be without bounds.
VANISHING = 1e-26

#: Fewer eigenvectors than this fraction are found by Lanczos steps, not all at once.
_FEW = 8


def product_features(product: CoupledProduct, expansion: torch.Tensor) -> torch.Tensor:
    """All features of one lambda before any weights: (n_atoms, mu, n_features).

    Paths in their order, each (q1, q2), then the linear part.
    """
    parts = []
    for path in paths_of(product):
        first = expansion[:, path.l1**2 : (path.l1 + 1) ** 2]
        second = expansion[:, path.l2**2 : (path.l2 + 1) ** 2]
        coupling = clebsch_gordan(path.l1, path.l2, product.o3_lambda)
        pairs = torch.einsum("cab,naq,nbr->ncqr", coupling, first, second)
        parts.append(pairs.flatten(2))
    if product.has_linear:
        parts.append(expansion[:, product.o3_lambda**2 : (product.o3_lambda + 1) ** 2])
    return torch.cat(parts, dim=2)


def set_weights(product: CoupledProduct, vectors: torch.Tensor, first: int) -> None:
    """Give the outputs from ``first`` on the weights (n_features, n_outputs)."""
    columns = slice(first, first + vectors.shape[1])
    start = 0
    with torch.no_grad():
        for path in paths_of(product):
            n_in = path.weight.shape[0]
            stop = start + n_in * n_in
            path.weight[..., columns] = vectors[start:stop].reshape(n_in, n_in, -1)
            start = stop
        if product.has_linear:
            product.linear[:, columns] = vectors[start:]


def covariance_of(
    product: CoupledProduct, expansions: torch.Tensor, *, centred: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Second moment (or covariance) of the features over atoms and mu, and their mean."""
    total: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    count = 0
    for chunk in expansions.split(CHUNK // (2 * product.o3_lambda + 1)):
        features = product_features(product, chunk).flatten(0, 1)
        moment, summed = features.T @ features, features.sum(dim=0)
        total = moment if total is None else total + moment
        mean = summed if mean is None else mean + summed
        count += len(features)
    assert total is not None
    assert mean is not None
    mean = mean / count
    covariance = total / count - (torch.outer(mean, mean) if centred else 0.0)
    return covariance, mean


def components_of(product: CoupledProduct, expansions: torch.Tensor, count: int) -> torch.Tensor:
    """Leading principal components of the features, not centred: (n_features, at most count).

    All are scaled alike, the leading one to unit variance, so that a ridge term prefers it.
    """
    rows = len(expansions) * (2 * product.o3_lambda + 1)
    if rows >= feature_count(product):
        covariance, _ = covariance_of(product, expansions, centred=False)
        values, vectors = leading(covariance, min(count, len(covariance)))
        return vectors / values[0].sqrt() if values[0] > VANISHING else vectors
    # few atoms: the same from the products of feature vectors, X X^T instead of X^T X
    features = product_features(product, expansions).flatten(0, 1)
    values, left = leading(features @ features.T / rows, min(count, rows))
    kept = (values > 1e-14 * values[0]) & (values[0] > VANISHING)
    values, left = values[kept], left[:, kept]
    return features.T @ (left / (rows * values * values[:1]).sqrt())


def feature_count(product: CoupledProduct) -> int:
    """Number of features of :func:`product_features`."""
    n_in = product.linear.shape[0]
    return len(paths_of(product)) * n_in * n_in + (n_in if product.has_linear else 0)


def leading(covariance: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Leading eigenvalues (count,) and eigenvectors (n, count), padded with zeros."""
    size = len(covariance)
    if _FEW * count < size and bool(covariance.any()):
        start = np.random.default_rng(0).standard_normal(size)  # the same in every run
        few = scipy.sparse.linalg.eigsh(covariance.numpy(), count, which="LA", v0=start)
        values, vectors = (torch.from_numpy(array) for array in few)
    else:
        values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    missing = count - len(values)
    return (
        torch.nn.functional.pad(values, (0, missing)),
        torch.nn.functional.pad(vectors, (0, missing)),
    )
