"""From ASE's Atoms to the systems of metatomic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from metatensor.torch import Labels, TensorBlock
from metatomic.torch import NeighborListOptions, System
from vesin import NeighborList


def to_system(
    atoms: Atoms,
    lists: Sequence[NeighborListOptions],
    dtype: torch.dtype,
    device: torch.device,
) -> System:
    """A metatomic System with its neighbour lists.

    The vectors between neighbours are made in double precision and converted last, so that a
    single-precision model does not lose digits far from the origin. Each call has a neighbour
    list of its own: vesin's buffers cannot be shared by threads.
    """
    cell = np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)
    system = System(
        types=torch.from_numpy(atoms.numbers.astype(np.int32)).to(device),
        positions=torch.from_numpy(atoms.positions.copy()).to(dtype=dtype, device=device),
        cell=torch.from_numpy(cell).to(dtype=dtype, device=device),
        pbc=torch.from_numpy(atoms.pbc.copy()).to(device),
    )
    for options in lists:
        block = _neighbors(atoms, cell, options).to(dtype=dtype, device=device)
        system.add_neighbor_list(options, block)
    return system


def _neighbors(atoms: Atoms, cell: np.ndarray, options: NeighborListOptions) -> TensorBlock:
    """Pairs within a cutoff, in double precision."""
    neighbors = NeighborList(cutoff=options.engine_cutoff("angstrom"), full_list=options.full_list)
    pairs, shifts, vectors = neighbors.compute(atoms.positions, cell, atoms.pbc, "PSD")
    samples = np.hstack([pairs.reshape(-1, 2), shifts.reshape(-1, 3)]).astype(np.int32)
    return TensorBlock(
        values=torch.from_numpy(vectors.reshape(-1, 3, 1)),
        samples=Labels(
            ["first_atom", "second_atom", "cell_shift_a", "cell_shift_b", "cell_shift_c"],
            torch.from_numpy(samples),
            assume_unique=True,
        ),
        components=[Labels("xyz", torch.arange(3).reshape(-1, 1))],
        properties=Labels("distance", torch.zeros((1, 1), dtype=torch.int32)),
    )
