"""Errors of held-out structures: of coefficients, of the density at points, of atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase import units

from ....basis import Basis
from ....density import Density
from ....density.charges.stockholders import stockholder_blocks
from ....model.network import DensityNetwork, species_of
from ....references import Reference
from ..samples import BlockOrder
from .prepared import Prepared

#: Points of each structure at which the error of the density is looked at.
_POINTS = 2000

#: Weights (bohr^3) of quadrature points that are left out.
_NO_WEIGHT = 1e-12


@dataclass(frozen=True)
class HeldOutErrors:
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
    ) -> HeldOutErrors:
        """Those of a network, from a quadrature of the given level."""
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
