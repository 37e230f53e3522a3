"""From references to samples: everything about structures that does not depend on weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...basis import Basis
from ...model import DensityNetwork
from ...references import ACTIVE_ATOMS, Reference
from ..data import DataSet
from ..options.train import LossOptions
from .loss import MetricOf, electrons_of
from .neighbors import neighbors_of
from .samples import BlockOrder, Sample, expansions_of, pairs_of
from .symmetric import product

#: In which the radial functions are made orthonormal.
ORTHONORMAL_METRIC = "overlap"


def prepare(
    dataset: DataSet,
    names: Sequence[str],
    network: DensityNetwork,
    loss: LossOptions | None = None,
    dtype: torch.dtype = torch.float32,
) -> list[Sample]:
    """Samples of some references of a data set.

    Parameters
    ----------
    dataset
        The data set.
    names
        Ids of the references.
    network
        Its expansion is computed, which training does not change.
    loss
        What is compared, and how much memory metrics may take; the defaults if left out.
    dtype
        Precision of the metrics. Single precision halves their memory, and differences of
        densities do not need more digits.
    """
    options = loss or LossOptions()
    room = options.memory * 1e9
    samples = []
    for name in names:
        reference = dataset.load(name)
        atoms = reference.atoms
        metric = MetricOf(
            dataset.basis,
            atoms,
            options.terms(),
            ORTHONORMAL_METRIC,
            dtype,
            reference.overlap,
        )
        room -= metric.n_bytes
        found = neighbors_of(dataset.basis, atoms, network.cutoff)
        order = BlockOrder(dataset.basis, atoms.numbers, ORTHONORMAL_METRIC)
        target = torch.from_numpy(order.from_flat(_deviation(dataset.basis, reference)))
        samples.append(
            Sample(
                expansions=expansions_of(network, found),
                target=target,
                metric=metric() if room >= 0 else metric,
                electrons=electrons_of(dataset.basis, atoms),
                residual=_residual(dataset, reference, metric, target, options),
                pairs=pairs_of(network, found),
            )
        )
    return samples


def _deviation(basis: Basis, reference: Reference) -> np.ndarray:
    """Coefficients less those of mean atoms; zero on atoms without functions of their own."""
    numbers = reference.atoms.numbers
    deviation = reference.coefficients - basis.mean_vector(numbers)
    if ACTIVE_ATOMS in reference.atoms.info:
        active = np.isin(basis.layout(numbers).atom, reference.atoms.info[ACTIVE_ATOMS])
        deviation[~active] = 0.0
    return deviation


def _residual(
    dataset: DataSet,
    reference: Reference,
    metric: MetricOf,
    target: torch.Tensor,
    options: LossOptions,
) -> torch.Tensor | None:
    """Metric times target, less the projections that the reference holds; None if unwanted."""
    if options.target == "coefficients":
        return None
    terms = metric.terms
    fitted = dataset.settings.get("metric")
    share = {"overlap": 0.0, "coulomb": 1.0}.get(str(fitted))
    if terms.coulomb != share or terms.electrons or terms.dipole or terms.mask or terms.cutoff:
        raise ValueError(
            f"loss.target is 'projections', which this data set has in the metric {fitted!r}: set "
            f"loss.coulomb to {share:g}, and leave out electrons, dipole, mask and cutoff"
            if share is not None
            else f"loss.target is 'projections', but {dataset.folder} does not say in which "
            "metric: use coefficients"
        )
    if reference.projections is None:
        raise ValueError(
            f"loss.target is 'projections', but the reference {reference.id} has none: use "
            "coefficients, or a data set that keeps them"
        )
    order = BlockOrder(dataset.basis, reference.atoms.numbers, ORTHONORMAL_METRIC)
    projections = torch.from_numpy(order.project(np.asarray(reference.projections, dtype=float)))
    exact = MetricOf(
        metric.basis, metric.atoms, terms, ORTHONORMAL_METRIC, overlap=metric.overlap
    )()
    # mean atoms are no part of the target
    mean = torch.from_numpy(order.from_flat(metric.basis.mean_vector(metric.atoms.numbers)))
    return product(exact, target + mean) - projections
