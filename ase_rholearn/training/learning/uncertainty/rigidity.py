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
from ase import Atoms, units

from ....basis import Basis
from ....density import Density
from ....density.charges.stockholders import stockholder_blocks
from ....density.evaluation.spherical import SphericalTables, table_radii
from ....density.uncertainty import radial_variance
from ....model.network import DensityNetwork, readouts_of, species_of
from ....model.uncertainty.rigidity import LARGEST, Rigidity
from ....model.uncertainty.surroundings import Surroundings, farthest_points
from ....model.uncertainty.uncertainty import (
    N_TERMS,
    UNKNOWN,
    CoefficientVariance,
    SpeciesUncertainty,
    Uncertainty,
)
from ....references import Reference
from ..neighbors import Neighbors, neighbors_of
from ..samples import BlockOrder
from .likelihood import fit_expectations

#: Held-out atoms that other species (or training atoms) count for in the fits of one species.
_BORROWED = 10.0

#: Points of each structure at which the error of the density is looked at.
_POINTS = 2000

#: Weights (bohr^3) of quadrature points that are left out.
_NO_WEIGHT = 1e-12

#: Variances that are neglected, e^2/bohr^6.
_VACUUM = 1e-16

#: Feature vectors that are held at once.
_CHUNK = 2048


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


@dataclass(frozen=True)
class Prepared:
    """One structure as the network and the surroundings see it.

    Attributes
    ----------
    atoms
        The structure.
    found
        Its neighbours.
    rows
        For each species its atoms.
    layers
        Gates, and tensors of each lambda, for each species.
    surroundings, bonds
        Of :class:`~ase_rholearn.model.uncertainty.surroundings.Surroundings`.
    """

    atoms: Atoms
    found: Neighbors
    rows: list[torch.Tensor]
    layers: list[tuple[torch.Tensor, list[torch.Tensor]]]
    surroundings: torch.Tensor
    bonds: torch.Tensor

    @classmethod
    def of(
        cls, network: DensityNetwork, basis: Basis, surroundings: Surroundings, atoms: Atoms
    ) -> Prepared:
        """Evaluate what does not depend on the uncertainty itself."""
        found = neighbors_of(basis, atoms, network.cutoff)
        rows = [torch.nonzero(found.species == k).squeeze(1) for k in range(len(basis.species))]
        with torch.no_grad():
            layers = network.last_layers(*found, rows)
            return cls(atoms, found, rows, layers, *surroundings(*found))


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
        _Errors.of(network, basis, one, reference, options.level)
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
    variances = _fit_variances(basis, rigidities, judged[:count], errors)
    start = _assemble(surroundings, variances, known, [torch.zeros(N_TERMS)] * len(known), 1.0)
    terms = _fit_terms(start, judged[:count], errors)
    limit = _limit(start, judged, options.false_alarms)
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


# covariances ------------------------------------------------------------------------------


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
    covariance = _covariance(gates, tensors)
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


def _covariance(gates: torch.Tensor, tensors: torch.Tensor) -> torch.Tensor:
    """Mean of phi phi^T over atoms and mu, phi = gates x tensors."""
    size, mu = gates.shape[1] * tensors.shape[2], tensors.shape[1]
    total = gates.new_zeros((size, size))
    step = max(1, _CHUNK // mu)
    for g, t in zip(gates.split(step), tensors.split(step), strict=True):
        features = (g[:, None, :, None] * t[:, :, None, :]).reshape(-1, size)
        total += features.T @ features
    return total / (len(gates) * mu)


def _known(numbers: torch.Tensor, count: int) -> torch.Tensor:
    if len(numbers) == 0:
        return torch.full((1, numbers.shape[1]), UNKNOWN, dtype=numbers.dtype)
    return farthest_points(numbers, count)


# errors of held-out structures ---------------------------------------------------------------


@dataclass(frozen=True)
class _Errors:
    """Errors of one held-out structure, in atomic units.

    Attributes
    ----------
    atoms
        Integral of Hirshfeld's share times |d rho| for each atom: (natoms,) electrons.
    points, weights, squares
        Some points of the quadrature, (n, 3), their weights and (d rho)^2 there, (n,).
    coefficients
        Squared errors of orthonormal coefficients, averaged over mu, for each species and
        lambda: (n_atoms, n_functions).
    """

    atoms: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    squares: np.ndarray
    coefficients: list[list[np.ndarray]]

    @classmethod
    def of(
        cls,
        network: DensityNetwork,
        basis: Basis,
        prepared: Prepared,
        reference: Reference,
        level: int,
    ) -> _Errors:
        atoms = reference.atoms
        order = BlockOrder(basis, atoms.numbers, "overlap")
        outputs = _outputs(network, prepared)
        predicted = order.to_flat(torch.cat([c.reshape(-1) for s in outputs for c in s]).numpy())
        fitted = Density(atoms, basis, reference.coefficients, normalize=False)
        error = Density(atoms, basis, predicted, normalize=False) - fitted
        shares = np.zeros(len(atoms))
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for block in stockholder_blocks(fitted, level):
            used = np.flatnonzero(np.abs(block.weights) > _NO_WEIGHT)
            values = np.zeros(len(block.weights))
            values[used] = error.evaluate(block.points[used] * units.Bohr) * units.Bohr**3
            shares += block.shares.divide(block.weights * np.abs(values), len(shares))
            found.append((block.points[used], block.weights[used], values[used] ** 2))
        points, weights, squares = (np.concatenate(column) for column in zip(*found, strict=True))
        chosen = np.arange(0, len(weights), max(1, len(weights) // _POINTS))
        return cls(
            shares,
            points[chosen],
            np.abs(weights[chosen]),
            squares[chosen],
            _squared_errors(outputs, order, reference),
        )


def _outputs(network: DensityNetwork, prepared: Prepared) -> list[list[torch.Tensor]]:
    """Orthonormal coefficients [species][lambda]: (n_atoms, mu, n_functions)."""
    with torch.no_grad():
        expansion = network.surroundings(*prepared.found)
        return [
            species.orthonormal(expansion[rows])
            for species, rows in zip(species_of(network), prepared.rows, strict=True)
        ]


def _squared_errors(
    outputs: list[list[torch.Tensor]], order: BlockOrder, reference: Reference
) -> list[list[np.ndarray]]:
    target = order.from_flat(reference.coefficients)
    start, result = 0, []
    for species in outputs:
        parts = []
        for output in species:
            piece = target[start : start + output.numel()].reshape(output.shape)
            parts.append(((output.numpy() - piece) ** 2).mean(axis=1))
            start += output.numel()
        result.append(parts)
    return result


# calibration -----------------------------------------------------------------------------------


def _fit_variances(
    basis: Basis,
    rigidities: list[list[Rigidity]],
    judged: Sequence[Prepared],
    errors: Sequence[_Errors],
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
    errors: Sequence[_Errors],
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
        borrowed = np.where(own, 1.0, _BORROWED / max(1, int((~own).sum())))
        weights = np.append(borrowed, 1.0)
        fits.append(fit_expectations(design, observed, weights, np.array([0.5, 0.5])))
    return np.array(fits)


def _fit_scales(
    basis: Basis,
    rigidities: list[list[Rigidity]],
    shapes: list[list[np.ndarray]],
    growth: list[np.ndarray],
    judged: Sequence[Prepared],
    errors: Sequence[_Errors],
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


def _shapes(basis: Basis, errors: Sequence[_Errors]) -> list[list[np.ndarray]]:
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


def _fit_terms(
    uncertainty: Uncertainty, judged: Sequence[Prepared], errors: Sequence[_Errors]
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
        weights = np.where(own, 1.0, _BORROWED / others)
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


def _limit(uncertainty: Uncertainty, judged: Sequence[Prepared], false_alarms: float) -> float:
    """Distance that at most this share of structures like the held-out ones goes beyond."""
    largest = []
    for one in judged:
        distances, _ = uncertainty.distances(*one.found, one.rows)
        # species that the training set has not are unknown at any limit
        seen = [float(x) for x in distances if x < UNKNOWN / 2]
        if seen:
            largest.append(max(seen))
    return conformal_limit(largest, false_alarms) if largest else 1.0


def conformal_limit(values: Sequence[float], share: float) -> float:
    """Number that a further value exceeds with at most this probability.

    If there are too few values for that, their largest.

    >>> conformal_limit([float(k) for k in range(1, 40)], 0.05)
    38.0
    """
    ordered = sorted(values)
    rank = int(np.ceil((len(ordered) + 1) * (1 - share)))
    return ordered[min(rank, len(ordered)) - 1]
