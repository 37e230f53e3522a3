"""Energies without gradient descent: random features of a physical prior, and a linear solve.

1. Channels are random functions of the distance that vary over a given length and fade with a
   power of the distance, as interactions do, partly common to all species of neighbours. Their
   products are random features of a Gaussian process for three-body energies.
2. The weights minimise

       sum_s g_s [ (energy_weight dE_s)^2 / n_s + |dF_s|^2 ] + ridge sum_zz' w_z K^-1_zz' w_z'

   with g_s what structure s counts, dE and dF what the repulsion leaves of the errors, and
   K = 1 + share: what is learned of one species is expected of the others too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ....model.energy import EnergyHead
from ....model.network.radial import RadialTable
from .repulsion import repulsion_forces
from .samples import EnergySample

#: Distances that the random functions are drawn on, Angstrom, from the closest that atoms come.
_CLOSEST, _SPACING = 0.8, 0.02

#: What the squares of energies of lone atoms are multiplied by in the ridge term, relative to
#: those of other weights: as good as nothing.
_FREE = 1e-4

#: Structures whose rows are multiplied at once.
_CHUNK = 16


@dataclass(frozen=True)
class EnergyPrior:
    """What is expected of energies before any data.

    Attributes
    ----------
    length
        Over which interactions vary, Angstrom.
    decay
        Power of the distance with which they fade.
    common
        Share of them that does not depend on the neighbour's species.
    share
        Variance of weights that is common to all species, relative to that of their own.
    angular
        Factor by which products of each l vary less than those of l - 1.
    gate_scale
        Standard deviation of the phase that the gates see over the training set.
    gate_size
        Size of the gates in the prior, relative to the invariants.
    """

    length: float = 0.6
    decay: float = 3.0
    common: float = 0.8
    share: float = 1.0
    angular: float = 1.5
    gate_scale: float = 1.0
    gate_size: float = 3.0


# features ---------------------------------------------------------------------------------


def initialize_energy(
    head: EnergyHead,
    table: RadialTable,
    samples: Sequence[EnergySample],
    prior: EnergyPrior,
    seed: int = 0,
) -> None:
    """Step 1, in place: channels, products and gates; the weights stay zero."""
    draws = _Draws(table, prior, seed)
    n_species = len(head.baseline)
    with torch.no_grad():
        head.pairs.copy_(draws.channels(0, n_species, head.pairs.shape[1]))
        for l in range(head.l_max + 1):
            for weights in (head.first, head.second):
                weights[l] = draws.channels(l, n_species, weights.shape[2])
        _normalize(head, samples, prior.angular)
        size = prior.gate_scale / head.n_invariants**0.5
        head.frequencies.copy_(size * draws.normal(*head.frequencies.shape))
        invariants = torch.cat([head.invariants(s.expansion) for s in samples])
        phase = 2 * torch.pi * draws.uniform(len(head.phase))
        head.phase.copy_(phase - invariants.mean(dim=0) @ head.frequencies)


class _Draws:
    """Random functions of the distance as combinations of the radial functions."""

    def __init__(self, table: RadialTable, prior: EnergyPrior, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.common = prior.common
        r = np.arange(_CLOSEST, table.cutoff, _SPACING)
        self.radial = table(torch.from_numpy(r)).numpy()  # [r, l, n]
        kernel = np.exp(-0.5 * ((r[:, None] - r) / prior.length) ** 2)
        smooth = 0.5 + 0.5 * np.cos(np.pi * r / table.cutoff)
        self.size = smooth * np.maximum(r, 1.0) ** -prior.decay
        self.root = np.linalg.cholesky(kernel + 1e-8 * np.eye(len(r)))

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.from_numpy(self.random.normal(size=shape))

    def uniform(self, count: int) -> torch.Tensor:
        return torch.from_numpy(self.random.uniform(size=count))

    def channels(self, l: int, n_species: int, count: int) -> torch.Tensor:
        """Weights of channels, partly common to all species: (n_species * n, count)."""
        own = np.stack([self._functions(l, count) for _ in range(n_species)])
        shared = self._functions(l, count)
        mixed = np.sqrt(self.common) * shared + np.sqrt(1 - self.common) * own
        return torch.from_numpy(mixed.reshape(-1, count))

    def _functions(self, l: int, count: int) -> np.ndarray:
        """Combinations that come close to random functions: (n, count)."""
        values = self.size[:, None] * (self.root @ self.random.normal(size=(len(self.root), count)))
        radial = self.radial[:, l]
        gram = radial.T @ radial
        damping = 1e-6 * np.linalg.eigvalsh(gram)[-1]
        return np.linalg.solve(gram + damping * np.eye(len(gram)), radial.T @ values)


def _normalize(head: EnergyHead, samples: Sequence[EnergySample], angular: float) -> None:
    """Scale invariants to unit variance over the atoms: pairs together, products of each l."""
    invariants = torch.cat([head.invariants(s.expansion) for s in samples])
    variances = invariants.var(dim=0, correction=0)
    n_pairs, n_products = head.pairs.shape[1], head.first.shape[2]
    head.pairs.div_(_root_mean(variances[:n_pairs]))
    for l in range(head.l_max + 1):
        start = n_pairs + l * n_products
        scale = _root_mean(variances[start : start + n_products]) * angular**l
        head.first[l] /= scale**0.5
        head.second[l] /= scale**0.5


def _root_mean(variances: torch.Tensor) -> float:
    return float(variances.mean().sqrt()) if variances.any() else 1.0


# weights ----------------------------------------------------------------------------------


def fit_composition(samples: Sequence[EnergySample], n_species: int) -> torch.Tensor:
    """Energies of atoms whose sums are closest to those of the structures, eV: (n_species,).

    The error per atom is minimised; species that never occur get zero.
    """
    composition = torch.cat([s.composition(n_species) for s in samples])
    energies = torch.cat([s.energies for s in samples])
    counts = composition.sum(dim=1, keepdim=True)
    # the solution of least norm, for species that only occur together too
    inverse = torch.linalg.pinv(composition / counts)
    return inverse @ (energies / counts.squeeze(1))


@dataclass(frozen=True)
class NormalEquations:
    """Moments of the features over a training set, from which weights follow for any ridge.

    Attributes
    ----------
    matrix, right
        Of weights (species, feature), then of lone atoms' energies beyond the head's baseline:
        (size, size), (size,).
    n_species
        Number of species.
    """

    matrix: torch.Tensor
    right: torch.Tensor
    n_species: int

    def solve(self, ridge: float, prior: EnergyPrior, n_pure: int, *, fixed: bool) -> torch.Tensor:
        """Weights and energies of lone atoms for one ridge term: (size,).

        Parameters
        ----------
        ridge
            Ridge term.
        prior
            Its shape.
        n_pure
            Number of features that are invariants; the others are gates.
        fixed
            Keep the energies of lone atoms.
        """
        n, size = self.n_species, len(self.right) - self.n_species
        features = size // n
        own = torch.eye(n, dtype=torch.float64)
        precision = own - prior.share / (1 + n * prior.share)  # the inverse of 1 + share
        sizes = torch.ones(features, dtype=torch.float64)
        sizes[n_pure:] = prior.gate_size**-2
        matrix = self.matrix.clone()
        matrix[:size, :size] += ridge * torch.kron(precision, torch.diag(sizes))
        matrix.diagonal()[size:] += ridge * _FREE
        kept = size if fixed else size + n
        solution = torch.zeros_like(self.right)
        factor = torch.linalg.cholesky(matrix[:kept, :kept])
        solution[:kept] = torch.cholesky_solve(self.right[:kept, None], factor).squeeze(1)
        return solution


def normal_equations(
    head: EnergyHead, samples: Sequence[EnergySample], energy_weight: float
) -> NormalEquations:
    """Moments of the head's features; energies count from its baseline."""
    n_species, n_features = head.weight.shape
    size = n_species * n_features + n_species
    matrix = torch.zeros((size, size), dtype=torch.float64)
    right = torch.zeros(size, dtype=torch.float64)
    # structures of the same species have the same columns
    ordered = sorted(samples, key=lambda s: s.species.unique().tolist())
    for start in range(0, len(ordered), _CHUNK):
        sample = EnergySample.join(ordered[start : start + _CHUNK])
        present = sample.species.unique()
        rows, targets = _equations(head, sample, present, energy_weight)
        columns = (present[:, None] * n_features + torch.arange(n_features)).flatten()
        columns = torch.cat([columns, n_species * n_features + present])
        matrix[columns[:, None], columns] += rows.T @ rows
        right[columns] += rows.T @ targets
    return NormalEquations(matrix, right, n_species)


def set_weights(head: EnergyHead, solution: torch.Tensor) -> None:
    """Add a solution of the normal equations to the baseline, and take its weights."""
    n_species, n_features = head.weight.shape
    size = n_species * n_features
    with torch.no_grad():
        head.weight.copy_(solution[:size].reshape(n_species, n_features))
        head.baseline.add_(solution[size:])


def _equations(
    head: EnergyHead, sample: EnergySample, present: torch.Tensor, energy_weight: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of energies and forces in the columns of the present species, and their targets."""
    with torch.no_grad():
        index = torch.searchsorted(present, sample.species)
        energies = _energy_rows(head, sample, index, len(present))
        forces = _force_rows(head, sample, index, len(present))
        composition = sample.composition(len(head.baseline))
        repelled, pushed = repulsion_forces(head, sample)
        targets = sample.energies - repelled - composition @ head.baseline
        weights = energy_weight * (sample.weights / sample.counts).sqrt()
        energies = torch.cat([energies, composition[:, present]], dim=1) * weights[:, None]
        forces = torch.cat([forces, forces.new_zeros((len(forces), len(present)))], dim=1)
        known = ~sample.forces.isnan().flatten()
        sizes = sample.weights.sqrt()[sample.systems].repeat_interleave(3)[known]
    rows = torch.cat([energies, sizes[:, None] * forces[known]])
    left = (sample.forces - pushed).flatten()[known]
    return rows, torch.cat([targets * weights, sizes * left])


def _energy_rows(
    head: EnergyHead, sample: EnergySample, index: torch.Tensor, n_present: int
) -> torch.Tensor:
    """Features of the atoms of each species, summed: (n_structures, n_present * n_features)."""
    features = head.features(sample.expansion) - head.features(head.lone)[sample.species]
    total = features.new_zeros((len(sample.energies) * n_present, features.shape[1]))
    total.index_add_(0, sample.systems * n_present + index, features)
    return total.reshape(len(sample.energies), -1)


def _force_rows(
    head: EnergyHead, sample: EnergySample, index: torch.Tensor, n_present: int
) -> torch.Tensor:
    """Minus the derivatives of these: (n_atoms * 3, n_present * n_features)."""
    slopes = feature_slopes(head, sample)
    n_atoms, n_features = len(sample.species), slopes.shape[2]
    total = slopes.new_zeros((n_atoms * n_present, 3, n_features))
    kinds = index[sample.centers]
    total.index_add_(0, sample.centers * n_present + kinds, slopes)
    total.index_add_(0, sample.neighbors * n_present + kinds, -slopes)
    total = total.reshape(n_atoms, n_present, 3, n_features).transpose(1, 2)
    return total.reshape(n_atoms * 3, -1)


def feature_slopes(head: EnergyHead, sample: EnergySample) -> torch.Tensor:
    """Derivatives of the centre's features along each pair's vector: (n_pairs, 3, n_features)."""
    expansion, centers = sample.expansion, sample.centers
    kinds = sample.species[sample.neighbors]
    slopes = sample.slopes.to(torch.float64).transpose(2, 3)  # [pair, lm, axis, n]
    n_radial = slopes.shape[3]

    def channels(weights: torch.Tensor) -> torch.Tensor:
        """Weights of the neighbour's species: (n_pairs, n_radial, n_channels)."""
        return weights.reshape(-1, n_radial, weights.shape[1])[kinds]

    parts = [torch.bmm(slopes[:, 0], channels(head.pairs))]
    for l in range(head.l_max + 1):
        rows = slice(l * l, (l + 1) ** 2)
        inner = slopes[:, rows].flatten(1, 2)  # [pair, (m, axis), n]
        total: torch.Tensor | None = None
        for moving, resting in ((head.first[l], head.second[l]), (head.second[l], head.first[l])):
            moved = torch.bmm(inner, channels(moving)).reshape(len(kinds), 2 * l + 1, 3, -1)
            value = torch.matmul(expansion[:, rows], resting)[centers].unsqueeze(2)
            term = (moved * value).sum(dim=1)
            total = term if total is None else total + term
        assert total is not None
        parts.append(total)
    invariants = torch.cat(parts, dim=2)
    phases = head.invariants(expansion) @ head.frequencies + head.phase
    waves = -torch.sin(phases)[centers].unsqueeze(1) * (invariants @ head.frequencies)
    return torch.cat([invariants, waves], dim=2)
