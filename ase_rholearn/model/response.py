"""Coefficients of a structure, and how they change with positions: one backward pass of a model.

Whoever has an energy that depends on coefficients needs no matrix of their derivatives, only its
product with one vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from metatensor.torch import TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelEvaluationOptions,
    ModelOutput,
    NeighborListOptions,
)

from ..basis import Basis, from_tensormap
from .potential import differentiable_system
from .systems import to_system


@dataclass(frozen=True)
class CoefficientResponse:
    """Predicted coefficients that remember where they came from.

    Attributes
    ----------
    coefficients
        Flat vector: (size,) e/bohr^1.5.
    """

    coefficients: np.ndarray
    _flat: torch.Tensor
    _positions: torch.Tensor

    def pull_back(self, cotangent: np.ndarray) -> np.ndarray:
        """Derivatives of sum_b cotangent_b c_b by the positions: (natoms, 3), per Angstrom."""
        if not self._flat.requires_grad:  # no atom has a neighbour
            return np.zeros(tuple(self._positions.shape))
        weights = torch.from_numpy(cotangent).to(self._flat)
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            [gradient] = torch.autograd.grad(
                self._flat @ weights, [self._positions], retain_graph=True, materialize_grads=True
            )
        return gradient.to(device="cpu", dtype=torch.float64).numpy()


def coefficient_response(
    model: AtomisticModel,
    neighbors: Sequence[NeighborListOptions],
    atoms: Atoms,
    basis: Basis,
    output: str,
    dtype: torch.dtype,
    device: torch.device,
) -> CoefficientResponse:
    """Evaluate a model, and keep what its backward pass needs.

    Parameters
    ----------
    model, neighbors
        The model and the neighbour lists that it asks for.
    atoms
        The structure.
    basis, output
        Of the coefficients.
    dtype, device
        Of the model.
    """
    positions = torch.from_numpy(atoms.positions.copy()).to(dtype=dtype, device=device)
    positions.requires_grad_()
    strain = torch.eye(3, dtype=dtype, device=device)
    plain = to_system(atoms, neighbors, dtype, device)
    options = ModelEvaluationOptions(
        length_unit="angstrom", outputs={output: ModelOutput(unit="", sample_kind="atom")}
    )
    # as for coefficients, without the profiling executor
    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        system = differentiable_system(plain, positions, strain)
        found = model([system], options, check_consistency=False)[output]
    flat = _flat(basis, atoms.numbers, found)
    values = flat.detach().to(device="cpu", dtype=torch.float64).numpy()
    return CoefficientResponse(values, flat, positions)


def _flat(basis: Basis, numbers: np.ndarray, tensor: TensorMap) -> torch.Tensor:
    """The coefficients in our order, as a function of what they came from."""
    values = [block.values.reshape(-1) for block in tensor.blocks()]
    places = torch.arange(sum(map(len, values)), dtype=torch.float64)
    blocks, start = [], 0
    for block, one in zip(tensor.blocks(), values, strict=True):
        own = places[start : start + len(one)].reshape(block.values.shape)
        labels = [block.samples, *block.components, block.properties]
        samples, *components, properties = (label.to("cpu") for label in labels)
        blocks.append(TensorBlock(own, samples, components, properties))
        start += len(one)
    # numbered elements, in whatever order the model has them, tell where each one belongs
    [order] = from_tensormap(basis, [numbers], TensorMap(tensor.keys.to("cpu"), blocks))
    index = torch.from_numpy(order).round().to(device=values[0].device, dtype=torch.long)
    return torch.cat(values)[index]
