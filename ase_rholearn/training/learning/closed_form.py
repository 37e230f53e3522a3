"""A start without gradient descent: principal components, random gates, and a linear solve.

1. Messages become the leading principal components of the invariants, channels those of the
   expansion, and the tensors of each species and lambda those of the lambda-SOAP features of the
   training set.
2. The gates become cosines of random projections of the leading components of the invariants.
3. The readout, which is linear, is solved for: the minimum of the training loss in its metric
   plus a ridge term, by conjugate gradients preconditioned per species and lambda.

Step 3 alone also finishes a network that was trained by gradients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse.linalg
import torch

from ...model.clebsch_gordan import clebsch_gordan
from ...model.network import (
    ChannelMixing,
    CoupledProduct,
    DensityNetwork,
    Messages,
    Readout,
    SpeciesNetwork,
    paths_of,
    readouts_of,
    species_of,
)
from .samples import (
    Sample,
    expansions_with_messages,
    mixed_expansions,
    predictions,
    without_metrics,
)

#: Feature vectors that are held at once.
_CHUNK = 2048

#: Variances below are those of features that vanish.
_TINY = 1e-100

#: Standard deviation of messages at the start: what makes a difference between neighbours of the
#: same species should not outweigh the species.
_MESSAGE_SIZE = 0.3

#: Fewer eigenvectors than this fraction are found by Lanczos steps, not all at once.
_FEW = 8


@dataclass(frozen=True)
class ClosedForm:
    """Options of the closed-form start.

    Attributes
    ----------
    components
        Principal components of the features that the linear map is solved for, if the
        network has one.
    gate_scale
        Standard deviation of the phase that the gates see over the training set: small for
        gates that vary slowly.
    ridge
        Ridge term relative to the largest eigenvalue of the features' covariance.
    iterations
        Most steps of conjugate gradients.
    tolerance
        Relative residual at which they stop.
    """

    components: int = 128
    gate_scale: float = 0.5
    ridge: float = 1e-6
    iterations: int = 200
    tolerance: float = 1e-5


def initialize(
    network: DensityNetwork,
    samples: Sequence[Sample],
    options: ClosedForm,
    seed: int = 0,
    *,
    leave: Collection[int] = (),
) -> None:
    """Steps 1 and 2, in place: tensors and gates from the training samples.

    Those of the species whose indices are in ``leave`` stay as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = [
        (k, species)
        for k, species in enumerate(species_of(network))
        if k not in leave and any(len(sample.expansions[k]) for sample in samples)
    ]
    for k, species in chosen:
        _principal_messages(species.messages, _raw_expansions(samples, k))
    with torch.no_grad():
        expansions = expansions_with_messages(network, without_metrics(samples))
    for k, species in chosen:
        _principal_channels(species.mixing, expansions[k])
        mixed = species.mixing(expansions[k]).detach()
        _initialize_gates(species, mixed, options.gate_scale, generator)
        for readout in readouts_of(species):
            if readout.n_tensors:
                _principal_tensors(readout, mixed)


def _raw_expansions(samples: Sequence[Sample], species: int) -> torch.Tensor:
    return torch.cat([sample.expansions[species] for sample in samples])


def _principal_channels(mixing: ChannelMixing, expansion: torch.Tensor) -> None:
    """Make the channels of each l the leading components of the expansion."""
    if not mixing.mixes:
        return
    for l in range(mixing.l_max + 1):
        rows = expansion[:, l * l : (l + 1) ** 2].flatten(0, 1)
        _, vectors = _leading(rows.T @ rows / max(1, len(rows)), mixing.n_out)
        with torch.no_grad():
            mixing.weight[l] = vectors


def _principal_messages(messages: Messages, expansion: torch.Tensor) -> None:
    """Make messages the leading components of the invariants, small beside the species."""
    if messages.product.n_out == 0:
        return
    _principal_channels(messages.mixing, expansion)
    mixed = messages.mixing(expansion).detach()
    covariance, mean = _covariance(messages.product, mixed, centred=True)
    values, vectors = _leading(covariance, messages.product.n_out)
    vectors = _MESSAGE_SIZE * vectors / values.clamp_min(1e-12 * float(values[0]) + 1e-300).sqrt()
    with torch.no_grad():
        _set_weights(messages.product, vectors, 0)
        messages.shift.copy_(-(mean @ vectors))


def _principal_tensors(readout: Readout, expansions: torch.Tensor) -> None:
    """Make the tensors of one lambda the leading components of its features."""
    vectors = _components(readout.product, expansions, readout.n_tensors)
    missing = readout.n_tensors - vectors.shape[1]
    vectors = torch.nn.functional.pad(vectors, (0, missing))
    _set_weights(readout.product, vectors, readout.n_linear)


def _initialize_gates(
    species: SpeciesNetwork, expansions: torch.Tensor, scale: float, generator: torch.Generator
) -> None:
    gates = species.gates
    covariance, mean = _covariance(gates.product, expansions, centred=True)
    n_invariants, n_gates = gates.weight.shape
    values, vectors = _leading(covariance, n_invariants)
    spread = values.clamp_min(0).sum().sqrt().clamp_min(1e-12)
    with torch.no_grad():
        _set_weights(gates.product, vectors / spread, 0)
        gates.shift.copy_(-(mean @ vectors) / spread)
        noise = torch.randn((n_invariants, n_gates), generator=generator, dtype=torch.float64)
        gates.weight.copy_(scale * noise)
        phase = torch.rand(n_gates, generator=generator, dtype=torch.float64)
        gates.phase.copy_(2 * torch.pi * phase)


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


def _set_weights(product: CoupledProduct, vectors: torch.Tensor, first: int) -> None:
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


def _covariance(
    product: CoupledProduct, expansions: torch.Tensor, *, centred: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Second moment (or covariance) of the features over atoms and mu, and their mean."""
    total: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    count = 0
    for chunk in expansions.split(_CHUNK // (2 * product.o3_lambda + 1)):
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


def _components(product: CoupledProduct, expansions: torch.Tensor, count: int) -> torch.Tensor:
    """Leading principal components of the features, not centred: (n_features, at most count).

    All are scaled alike, the leading one to unit variance, so that a ridge term prefers it.
    """
    rows = len(expansions) * (2 * product.o3_lambda + 1)
    if rows >= feature_count(product):
        covariance, _ = _covariance(product, expansions, centred=False)
        values, vectors = _leading(covariance, min(count, len(covariance)))
        return vectors / values[0].clamp_min(_TINY).sqrt()
    # few atoms: the same from the products of feature vectors, X X^T instead of X^T X
    features = product_features(product, expansions).flatten(0, 1)
    values, left = _leading(features @ features.T / rows, min(count, rows))
    kept = values > 1e-14 * values[0].clamp_min(_TINY)
    values, left = values[kept], left[:, kept]
    return features.T @ (left / (rows * values * values[:1]).sqrt())


def feature_count(product: CoupledProduct) -> int:
    """Number of features of :func:`product_features`."""
    n_in = product.linear.shape[0]
    return len(paths_of(product)) * n_in * n_in + (n_in if product.has_linear else 0)


def _leading(covariance: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
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


# the readout ------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadoutInputs:
    """Inputs of one readout for atoms of its species.

    Attributes
    ----------
    gates
        (n_atoms, n_gates).
    tensors
        (n_atoms, mu, n_tensors); each is multiplied by each gate.
    components
        (n_atoms, mu, n_components); those of the linear map. For lambda = 0 the last one is
        constant and stands for the bias.
    """

    gates: torch.Tensor
    tensors: torch.Tensor
    components: torch.Tensor

    @property
    def n_gated(self) -> int:
        """Products of a gate and a tensor."""
        return self.gates.shape[1] * self.tensors.shape[2]

    @property
    def n_features(self) -> int:
        """Those, and the components."""
        return self.n_gated + self.components.shape[2]

    def part(self, rows: slice) -> ReadoutInputs:
        """The same for some of the atoms."""
        return ReadoutInputs(self.gates[rows], self.tensors[rows], self.components[rows])

    def features(self) -> torch.Tensor:
        """(n_atoms * mu, n_features): gates times tensors, then components."""
        gated = (self.gates[:, None, :, None] * self.tensors[:, :, None, :]).flatten(2)
        return torch.cat([gated, self.components], dim=2).flatten(0, 1)

    def predict(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights (n_features, n_out) -> (n_atoms, mu, n_out)."""
        gated, rest = weight[: self.n_gated], weight[self.n_gated :]
        shape = (self.tensors.shape[2], weight.shape[1])
        mixing = self.gates @ gated.reshape(self.gates.shape[1], shape[0] * shape[1])
        mixing = mixing.reshape(len(mixing), *shape)
        return torch.bmm(self.tensors, mixing) + self.components @ rest

    def transpose(self, residual: torch.Tensor) -> torch.Tensor:
        """The transpose of :meth:`predict`: (n_atoms, mu, n_out) -> (n_features, n_out)."""
        inner = torch.bmm(self.tensors.transpose(1, 2), residual)  # [atom, tensor, out]
        gated = (self.gates.T @ inner.flatten(1)).reshape(self.n_gated, residual.shape[2])
        rest = self.components.flatten(0, 1).T @ residual.flatten(0, 1)
        return torch.cat([gated, rest])


Weights = list[torch.Tensor]


def solve_readout(
    network: DensityNetwork, samples: Sequence[Sample], options: ClosedForm
) -> list[float]:
    """Step 3, in place: the readout weights that minimise loss plus ridge term.

    The conjugate gradients start from the fit that takes the coefficients for independent.
    Where functions overlap strongly, its errors are small already in the directions that
    the metric hardly sees, and that the iterations would take longest for.

    Returns
    -------
    list of float
        Relative residual before each step of conjugate gradients.
    """
    problem = ReadoutProblem(network, samples, options.components)
    factors, ridges = problem.preconditioner(options.ridge)

    def apply(weights: Weights) -> Weights:
        images = problem.normal(weights)
        return [a + ridge * w for a, ridge, w in zip(images, ridges, weights, strict=True)]

    def precondition(residual: Weights) -> Weights:
        return [torch.cholesky_solve(r, f) for r, f in zip(residual, factors, strict=True)]

    start = precondition(problem.projections())
    right = problem.right_hand_side()
    weights, history = _conjugate_gradients(
        apply, precondition, right, start, options.iterations, options.tolerance
    )
    problem.store(weights)
    return history


def correct_readout(
    network: DensityNetwork, samples: Sequence[Sample], options: ClosedForm
) -> list[float]:
    """Step 3 for a network that has weights: the smallest correction, instead of new weights.

    The ridge term holds the difference small, so that what the samples do not determine stays
    as it was learned from others.
    """
    before = _readout_weights(network)
    with torch.no_grad():
        errors = [
            dataclasses.replace(sample, target=sample.target - prediction)
            for sample, prediction in zip(samples, predictions(network, samples), strict=True)
        ]
        for parameter, _ in before:
            parameter.zero_()  # species without samples are not solved for
    history = solve_readout(network, errors, options)
    with torch.no_grad():
        for parameter, old in before:
            parameter += old
    return history


def _readout_weights(network: DensityNetwork) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Views of what :func:`solve_readout` sets, and copies of their present values."""
    views: list[torch.Tensor] = []
    for species in species_of(network):
        for readout in readouts_of(species):
            linear = [*(path.weight for path in paths_of(readout.product)), readout.product.linear]
            views += [readout.weight, readout.bias]
            views += [weight[..., : readout.n_linear] for weight in linear]
    return [(view, view.detach().clone()) for view in views]


class ReadoutProblem:
    """The normal equations of the readouts of all species and lambdas."""

    def __init__(self, network: DensityNetwork, samples: Sequence[Sample], components: int) -> None:
        self.samples = samples
        self.readouts: list[Readout] = []
        self.blocks: list[ReadoutInputs] = []
        self.bases: list[torch.Tensor] = []
        self.counts: list[list[int]] = []
        with torch.no_grad():
            mixed = mixed_expansions(network, without_metrics(samples))
            for k, (species, expansions) in enumerate(zip(species_of(network), mixed, strict=True)):
                if len(expansions) == 0:
                    continue
                gates = species.gates(expansions)
                for readout in readouts_of(species):
                    if readout.n_out:
                        self._add(readout, expansions, gates, components)
                        self.counts.append([len(sample.expansions[k]) for sample in samples])

    def _add(
        self, readout: Readout, expansions: torch.Tensor, gates: torch.Tensor, components: int
    ) -> None:
        basis = component_vectors(readout, expansions, components)
        self.readouts.append(readout)
        self.blocks.append(readout_inputs(readout, expansions, gates, basis))
        self.bases.append(basis)

    def right_hand_side(self) -> Weights:
        """X^T M y of the targets y, with the metric M."""
        return self._transposed([sample.projected_target() for sample in self.samples])

    def projections(self) -> Weights:
        """The right-hand side with the unit matrix for the metric."""
        return self._transposed([sample.target / sample.electrons for sample in self.samples])

    def normal(self, weights: Weights) -> Weights:
        """X^T M X w."""
        outputs = [b.predict(w) for b, w in zip(self.blocks, weights, strict=True)]
        vectors = [[] for _ in self.samples]  # type: list[list[torch.Tensor]]
        for output, counts in zip(outputs, self.counts, strict=True):
            for vector, piece in zip(vectors, output.split(counts), strict=True):
                vector.append(piece.reshape(-1))
        images = [
            sample.apply_metric(torch.cat(vector))
            for sample, vector in zip(self.samples, vectors, strict=True)
        ]
        return self._transposed(images)

    def _transposed(self, vectors: list[torch.Tensor]) -> Weights:
        """X^T v, where v has one vector for each structure."""
        starts = [0] * len(vectors)
        result = []
        for block, readout, counts in zip(self.blocks, self.readouts, self.counts, strict=True):
            mu = block.tensors.shape[1]
            pieces = []
            for i, count in enumerate(counts):
                size = count * mu * readout.n_out
                piece = vectors[i][starts[i] : starts[i] + size]
                pieces.append(piece.reshape(count, mu, readout.n_out))
                starts[i] += size
            result.append(block.transpose(torch.cat(pieces)))
        return result

    def preconditioner(self, ridge: float) -> tuple[Weights, list[float]]:
        """Cholesky factors of the blocks' own normal matrices, and their ridge terms."""
        factors, ridges = [], []
        for block, counts in zip(self.blocks, self.counts, strict=True):
            per_atom = torch.cat(
                [
                    torch.full((count,), 1.0 / sample.electrons, dtype=torch.float64)
                    for count, sample in zip(counts, self.samples, strict=True)
                ]
            )
            gram = torch.zeros((block.n_features,) * 2, dtype=torch.float64)
            mu = block.tensors.shape[1]
            step = max(1, _CHUNK // mu)
            for start in range(0, len(block.gates), step):
                rows = slice(start, start + step)
                features = block.part(rows).features()
                gram += (features * per_atom[rows].repeat_interleave(mu)[:, None]).T @ features
            largest = float(torch.linalg.eigvalsh(gram)[-1]) if len(gram) else 1.0
            ridges.append(ridge * largest)
            diagonal = torch.eye(len(gram), dtype=torch.float64)
            # a little more than the ridge keeps the factorisation safe
            factors.append(torch.linalg.cholesky(gram + (ridge + 1e-14) * largest * diagonal))
        return factors, ridges

    def store(self, weights: Weights) -> None:
        """Write the solution into the network."""
        for readout, basis, weight in zip(self.readouts, self.bases, weights, strict=True):
            store_readout(readout, basis, weight)


def store_readout(readout: Readout, vectors: torch.Tensor, weight: torch.Tensor) -> None:
    """Give a readout the weights (n_features, n_out) of its :func:`readout_inputs`."""
    n_gated = readout.weight.shape[0] * readout.weight.shape[1]
    gated, rest = weight[:n_gated], weight[n_gated:]
    with torch.no_grad():
        readout.weight.copy_(gated.reshape(readout.weight.shape))
        if readout.product.o3_lambda == 0:
            readout.bias.copy_(rest[-1])
        if readout.n_linear:
            _set_weights(readout.product, vectors @ rest[: vectors.shape[1]], 0)


def readout_weights(readout: Readout, vectors: torch.Tensor) -> torch.Tensor:
    """The inverse of :func:`store_readout`: (n_features, n_out).

    What the linear map has outside of the components is left out.
    """
    parts = [readout.weight.flatten(0, 1)]
    if readout.n_linear:
        flat = [path.weight.flatten(0, 1) for path in paths_of(readout.product)]
        if readout.product.has_linear:
            flat.append(readout.product.linear)
        linear = torch.cat(flat)[:, : readout.n_linear]
        parts.append(vectors.T @ linear / vectors.square().sum(dim=0).unsqueeze(1))
    if readout.product.o3_lambda == 0:
        parts.append(readout.bias.unsqueeze(0))
    return torch.cat(parts).detach()


def component_vectors(readout: Readout, expansions: torch.Tensor, count: int) -> torch.Tensor:
    """Leading components of a readout's features, for its linear map: (n_features, n).

    Orthogonal, each of the length that gives the leading one unit variance. None at all for a
    network without a linear map.
    """
    if readout.n_linear == 0:
        return expansions.new_zeros((0, 0))
    return _components(readout.product, expansions, count)


def readout_inputs(
    readout: Readout, expansions: torch.Tensor, gates: torch.Tensor, vectors: torch.Tensor
) -> ReadoutInputs:
    """What a readout multiplies its weights with, the linear map in the given components."""
    tensors = readout.product(expansions)[..., readout.n_linear :]
    mu = tensors.shape[1]
    linear = expansions.new_zeros((len(expansions), mu, 0))
    if readout.n_linear:
        chunks = expansions.split(_CHUNK // mu)
        linear = torch.cat([product_features(readout.product, c) @ vectors for c in chunks])
    if readout.product.o3_lambda == 0:
        linear = torch.cat([linear, linear.new_ones((len(linear), 1, 1))], dim=2)
    return ReadoutInputs(gates, tensors, linear)


def _conjugate_gradients(
    apply: Callable[[Weights], Weights],
    precondition: Callable[[Weights], Weights],
    right: Weights,
    start: Weights,
    iterations: int,
    tolerance: float,
) -> tuple[Weights, list[float]]:
    """Solve apply(w) = right from a start; also the relative residual before each step."""

    def dot(a: Weights, b: Weights) -> float:
        return float(sum((x * y).sum() for x, y in zip(a, b, strict=True)))

    def add(a: Weights, factor: float, b: Weights) -> Weights:
        return [x + factor * y for x, y in zip(a, b, strict=True)]

    image = apply(start)
    # the best multiple of the start is never worse than zero
    factor = dot(start, right) / (dot(start, image) or 1.0)
    solution = [factor * x for x in start]
    residual = add(right, -factor, image)
    scale = dot(right, precondition(right)) or 1.0
    search: Weights = []
    slope = 0.0
    history: list[float] = []
    for _ in range(iterations):
        preconditioned = precondition(residual)
        new_slope = dot(residual, preconditioned)
        history.append((max(new_slope, 0.0) / scale) ** 0.5)
        if history[-1] < tolerance:
            break
        search = add(preconditioned, new_slope / slope, search) if search else preconditioned
        slope = new_slope
        image = apply(search)
        step = slope / dot(search, image)
        solution = add(solution, step, search)
        residual = add(residual, -step, image)
    return solution, history
