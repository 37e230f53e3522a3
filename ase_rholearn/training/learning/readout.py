"""The readout of a network, which is linear, as the solution of normal equations.

The minimum of the training loss in its metric plus a ridge term, by conjugate gradients that are
preconditioned per species and lambda.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from ...model.network import (
    DensityNetwork,
    Readout,
    paths_of,
    readouts_of,
    species_of,
)
from .closed_form import ClosedForm
from .features import (
    CHUNK,
    VANISHING,
    components_of,
    product_features,
    set_weights,
)
from .samples import Sample, mixed_expansions, predictions, without_metrics


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

    def gram(self, per_atom: torch.Tensor) -> torch.Tensor:
        """X^T W X of the features X, with a weight for each atom: (n_features, n_features)."""
        total = self.tensors.new_zeros((self.n_features, self.n_features))
        mu = self.tensors.shape[1]
        step = max(1, CHUNK // mu)
        for start in range(0, len(self.gates), step):
            rows = slice(start, start + step)
            features = self.part(rows).features()
            total += (features * per_atom[rows].repeat_interleave(mu)[:, None]).T @ features
        return total

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

    Returns
    -------
    list of float
        Relative residual before each step of conjugate gradients.
    """
    return next(readout_solutions(network, samples, options, [options.ridge]))


def readout_solutions(
    network: DensityNetwork, samples: Sequence[Sample], options: ClosedForm, ridges: Sequence[float]
) -> Iterator[list[float]]:
    """The same for one ridge term after the other; each is in the network when its turn is over.

    The conjugate gradients start from the fit that takes the coefficients for independent.
    Where functions overlap strongly, its errors are small already in the directions that
    the metric hardly sees, and that the iterations would take longest for.
    """
    problem = ReadoutProblem(network, samples, options.components)
    right, projections = problem.right_hand_side(), problem.projections()
    for ridge in ridges:
        factors, terms = problem.preconditioner(ridge)
        apply = functools.partial(_apply, problem, terms)
        precondition = functools.partial(_precondition, factors)
        start = precondition(projections)
        weights, history = _conjugate_gradients(
            apply, precondition, right, start, options.iterations, options.tolerance
        )
        problem.store(weights)
        yield history


def _apply(problem: ReadoutProblem, terms: list[float], weights: Weights) -> Weights:
    images = problem.normal(weights)
    return [a + term * w for a, term, w in zip(images, terms, weights, strict=True)]


def _precondition(factors: Weights, residual: Weights) -> Weights:
    return [torch.cholesky_solve(r, f) for r, f in zip(residual, factors, strict=True)]


def readout_corrections(
    network: DensityNetwork, samples: Sequence[Sample], options: ClosedForm, ridges: Sequence[float]
) -> Iterator[list[float]]:
    """Step 3 for a network that has weights: the smallest corrections, instead of new weights.

    The ridge term holds the difference small, so that what the samples do not determine stays
    as it was learned from others. One ridge term after the other, see :func:`readout_solutions`.
    """
    before = _readout_weights(network)
    with torch.no_grad():
        errors = [
            dataclasses.replace(sample, target=sample.target - prediction)
            for sample, prediction in zip(samples, predictions(network, samples), strict=True)
        ]
        for parameter, _ in before:
            parameter.zero_()  # species without samples are not solved for
    for history in readout_solutions(network, errors, options, ridges):
        with torch.no_grad():
            for parameter, old in before:
                parameter += old
        yield history
        with torch.no_grad():
            for parameter, _ in before:
                parameter.zero_()


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
            gram = block.gram(per_atom)
            largest = float(torch.linalg.eigvalsh(gram)[-1]) if len(gram) else 1.0
            largest = largest if largest > VANISHING else 1.0
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
            set_weights(readout.product, vectors @ rest[: vectors.shape[1]], 0)


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
    return components_of(readout.product, expansions, count)


def readout_inputs(
    readout: Readout, expansions: torch.Tensor, gates: torch.Tensor, vectors: torch.Tensor
) -> ReadoutInputs:
    """What a readout multiplies its weights with, the linear map in the given components."""
    tensors = readout.product(expansions)[..., readout.n_linear :]
    mu = tensors.shape[1]
    linear = expansions.new_zeros((len(expansions), mu, 0))
    if readout.n_linear:
        chunks = expansions.split(CHUNK // mu)
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
