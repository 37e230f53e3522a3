"""Energy, forces and stress of structures from a loaded model, by one backward pass.

A metatomic model answers with energies per atom; forces and stress are the derivatives of their
sum with respect to positions and a strain of all space, which reach the model through the
vectors between neighbours. Any model with metatomic's standard output ``energy`` will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from metatomic.torch import (
    AtomisticModel,
    ModelEvaluationOptions,
    ModelOutput,
    NeighborListOptions,
    System,
    register_autograd_neighbors,
)

from .systems import to_system
from .wrapper import ENERGY


@dataclass(frozen=True)
class Potential:
    """Energy of a structure and its derivatives.

    Attributes
    ----------
    energies
        (natoms,) eV, of each atom.
    forces
        (natoms, 3) eV/Angstrom.
    stress
        (6,) eV/Angstrom^3 in ASE's (Voigt's) order; None unless the structure is periodic in
        three directions.
    """

    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray | None

    @property
    def energy(self) -> float:
        """Of the structure, eV."""
        return float(self.energies.sum())


def evaluate_potential(
    model: AtomisticModel,
    neighbors: Sequence[NeighborListOptions],
    atoms: Atoms,
    dtype: torch.dtype,
    device: torch.device,
) -> Potential:
    """Energy, forces and stress of one structure.

    Parameters
    ----------
    model, neighbors
        A model with an output ``energy``, and the neighbour lists that it asks for.
    atoms
        The structure.
    dtype, device
        Of the model.
    """
    strain = torch.eye(3, dtype=dtype, device=device, requires_grad=True)
    positions = torch.from_numpy(atoms.positions.copy()).to(dtype=dtype, device=device)
    positions.requires_grad_()
    system = differentiable_system(to_system(atoms, neighbors, dtype, device), positions, strain)
    options = ModelEvaluationOptions(
        length_unit="angstrom", outputs={ENERGY: ModelOutput(unit="eV", sample_kind="atom")}
    )
    # as for coefficients, without the profiling executor
    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        block = model([system], options, check_consistency=False)[ENERGY].block()
        gradient, virial = torch.autograd.grad(
            block.values.sum(), (positions, strain), materialize_grads=True
        )
    energies = np.zeros(len(atoms))
    energies[block.samples.column("atom").cpu().numpy()] = _array(block.values.squeeze(1))
    stress = None
    if atoms.pbc.all():
        stress = full_3x3_to_voigt_6_stress(_array(virial) / atoms.get_volume())
    return Potential(energies, -_array(gradient), stress)


def differentiable_system(plain: System, positions: torch.Tensor, strain: torch.Tensor) -> System:
    """The same system as a function of positions and of a strain, which is one here.

    The vectors between neighbours keep the values that they have, in whatever precision they
    were made; only their derivatives go through positions and cell.
    """
    system = System(plain.types, positions @ strain, plain.cell @ strain, plain.pbc)
    for options in plain.known_neighbor_lists():
        block = plain.get_neighbor_list(options)
        register_autograd_neighbors(system, block)
        system.add_neighbor_list(options, block)
    return system


def _array(values: torch.Tensor) -> np.ndarray:
    return values.detach().to(device="cpu", dtype=torch.float64).numpy()
