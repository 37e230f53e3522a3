"""Uncertainty of a trained network: covariances from training data, the rest from held-out data.

1. The rigidity of each species and lambda from the features of its training atoms.
2. Surroundings that are known: training atoms that cover all others.
3. Variances of coefficients: the squared error of the density at points around held-out
   structures, by maximum likelihood. Squared errors of coefficients give the shapes over n only:
   as functions of neighbouring atoms overlap, their errors cancel in the density.
4. The error of the density around each atom, integral of Hirshfeld's share times |d rho|.
5. The limit of known surroundings, such that held-out structures rarely have an atom beyond it
   (split conformal prediction: V. Vovk, A. Gammerman and G. Shafer, Algorithmic Learning in a
   Random World (2005)).

Species of which there are few held-out atoms lean on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from ase import Atoms

from ....basis import Basis
from ....model.network import DensityNetwork, readouts_of, species_of
from ....model.uncertainty.rigidity import Rigidity
from ....model.uncertainty.surroundings import Surroundings, farthest_points
from ....model.uncertainty.uncertainty import (
    N_TERMS,
    UNKNOWN,
    CoefficientVariance,
    SpeciesUncertainty,
    Uncertainty,
)
from ....references import Reference
from ..readout import ReadoutInputs
from .errors import HeldOutErrors
from .limit import find_limit
from .prepared import Prepared
from .terms import fit_terms
from .variances import fit_variances


@dataclass(frozen=True)
class RigidityOptions:
    """How the uncertainty of a network is found.

    Attributes
    ----------
    vectors
        Eigenvectors of each covariance that are kept.
    ridge
        Smallest ridge term, relative to the largest eigenvalue.
    known
        Training atoms of each species that are kept, to measure distances from.
    structures
        Most held-out structures whose densities are compared; all of them set the limit.
    level
        Quality of the quadrature of their errors.
    false_alarms
        Share of held-out structures that may have an atom beyond the limit.
    """

    vectors: int = 256
    ridge: float = 1e-8
    known: int = 512
    structures: int = 64
    level: int = 0
    false_alarms: float = 0.05

    def __post_init__(self) -> None:
        for name in ("vectors", "known", "structures"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give 1 or more")
        if not self.ridge > 0:
            raise ValueError(f"ridge is {self.ridge}: give a small positive number")
        if not 0 < self.false_alarms < 1:
            raise ValueError(f"false_alarms is {self.false_alarms}: give a share between 0 and 1")


def fit_uncertainty(
    network: DensityNetwork,
    basis: Basis,
    training: Sequence[Atoms],
    held_out: Sequence[Reference],
    options: RigidityOptions | None = None,
) -> Uncertainty:
    """What a trained network knows about its errors.

    Parameters
    ----------
    network
        Trained, in double precision.
    basis
        Of its coefficients, with atomic densities.
    training
        The structures that it was trained on.
    held_out
        References that it was not trained on, but that are like what it will meet.
    options
        How; left out: the defaults.

    Raises
    ------
    ValueError
        The network has no tensors, there are no held-out references, or the basis has no atomic
        densities.
    """
    options = options or RigidityOptions()
    _check(network, basis, training, held_out)
    surroundings = Surroundings(basis.species)
    learned = [Prepared.of(network, basis, surroundings, atoms) for atoms in training]
    judged = [Prepared.of(network, basis, surroundings, one.atoms) for one in held_out]
    count = min(options.structures, len(judged))
    errors = [
        HeldOutErrors.of(network, basis, one, reference, options.level)
        for one, reference in zip(judged[:count], held_out, strict=False)
    ]
    rigidities = [
        [_rigidity([one.layers[k] for one in learned], l, options) for l in range(n_lambda)]
        for k, n_lambda in enumerate(len(readouts_of(s)) for s in species_of(network))
    ]
    known = [
        _known(torch.cat([one.surroundings[one.rows[k]] for one in learned]), options.known)
        for k in range(len(basis.species))
    ]
    variances = fit_variances(basis, rigidities, judged[:count], errors)
    start = _assemble(surroundings, variances, known, [torch.zeros(N_TERMS)] * len(known), 1.0)
    terms = fit_terms(start, judged[:count], errors)
    limit = find_limit(start, judged, options.false_alarms)
    return _assemble(surroundings, variances, known, terms, limit)


def _check(
    network: DensityNetwork,
    basis: Basis,
    training: Sequence[Atoms],
    held_out: Sequence[Reference],
) -> None:
    if all(readout.n_tensors == 0 for s in species_of(network) for readout in readouts_of(s)):
        raise ValueError(
            "the network has no tensors, whose products with gates tell its uncertainty: train one "
            "with model.tensors above 0"
        )
    if not training:
        raise ValueError("training is empty: give the structures that the network was trained on")
    if not held_out:
        raise ValueError(
            "held_out is empty: uncertainty is calibrated on references that the network was not "
            "trained on; give split.validation"
        )
    if not basis.atomic_densities:
        raise ValueError(
            f"the basis {basis.name!r} has no atomic densities, by which errors are divided among "
            "the atoms: see Basis.with_atomic_densities"
        )


def _assemble(
    surroundings: Surroundings,
    variances: list[list[CoefficientVariance]],
    known: list[torch.Tensor],
    terms: list[torch.Tensor],
    limit: float,
) -> Uncertainty:
    species = [SpeciesUncertainty(*parts) for parts in zip(variances, known, terms, strict=True)]
    return Uncertainty(surroundings, species, limit)


def _rigidity(
    layers: Sequence[tuple[torch.Tensor, list[torch.Tensor]]],
    o3_lambda: int,
    options: RigidityOptions,
) -> Rigidity:
    """Of one species and lambda, with mean 1 over the training atoms."""
    gates = torch.cat([one[0] for one in layers])
    tensors = torch.cat([one[1][o3_lambda] for one in layers])
    shape = (gates.shape[1], tensors.shape[2])
    size = shape[0] * shape[1]
    if size == 0 or len(gates) == 0:
        return Rigidity(gates.new_zeros((*shape, 1)), gates.new_zeros(1), 0.0)
    inputs = ReadoutInputs(gates, tensors, tensors.new_zeros((*tensors.shape[:2], 0)))
    n_rows = len(gates) * tensors.shape[1]
    covariance = inputs.gram(gates.new_full((len(gates),), 1 / n_rows))
    count = min(options.vectors, size)
    values, vectors = scipy.linalg.eigh(
        covariance.numpy(), subset_by_index=[size - count, size - 1]
    )
    values = np.maximum(values, 0.0)
    left = max(float(covariance.trace()) - values.sum(), 0.0) / max(1, size - count)
    zeta = max(left, options.ridge * float(values[-1]), np.finfo(float).tiny)
    rigidity = Rigidity(
        torch.from_numpy(vectors).reshape(*shape, count),
        torch.from_numpy(1 / (values + zeta)),
        1 / zeta if count < size else 0.0,
    )
    rigidity.rescale(gates, tensors)
    return rigidity


def _known(numbers: torch.Tensor, count: int) -> torch.Tensor:
    if len(numbers) == 0:
        return torch.full((1, numbers.shape[1]), UNKNOWN, dtype=numbers.dtype)
    return farthest_points(numbers, count)
