"""Training as rholearn does it: featomic's descriptors, metatensor-learn's layers.

What rholearn (github.com/lab-cosmo/rholearn) does by default, with the same libraries:
lambda-SOAP descriptors of each structure are computed once and kept in memory as TensorMaps,
a batch joins them along the samples, an ``EquivariantLinear`` layer with biases for invariants
maps them to coefficients, and the loss is dc.S.dc, with S in blocks of pairs of atoms, each
pair once. Where rholearn looks up samples one by one in Python, this uses index arrays that are
made with the data, so that it is rather faster than the original.

Needs ``pip install metatensor-learn``, which nothing in the package does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import metatensor.torch as mts
import numpy as np
import torch
from ase import Atoms
from metatensor.torch import Labels, TensorMap
from metatomic.torch import systems_to_torch

from ase_rholearn.basis import Basis, block_keys
from ase_rholearn.model import NeighborDensity
from ase_rholearn.torchscript import quiet_torchscript

with quiet_torchscript():  # they compile functions when they are imported
    from featomic.torch import SphericalExpansion
    from featomic.torch.clebsch_gordan import EquivariantPowerSpectrum
    from metatensor.torch.learn.nn import EquivariantLinear

#: Blocks of the overlap matrix: (z1, z2) -> rows of atoms in the species' order, and values.
Pairs = dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Structure:
    """One structure of the training set.

    Attributes
    ----------
    descriptor
        lambda-SOAP, keys (o3_lambda, o3_sigma, center_type).
    coefficients
        By species: (n_atoms, functions of the atom), lambda by lambda, mu before n.
    overlap
        In the same order, by pairs of species; off-diagonal pairs once and twice as large.
    """

    descriptor: TensorMap
    coefficients: dict[int, torch.Tensor]
    overlap: Pairs


def labels(basis: Basis) -> Labels:
    """Keys of descriptors and predictions."""
    keys = torch.tensor([[l, 1, z] for l, z in block_keys(basis)])
    return Labels(["o3_lambda", "o3_sigma", "center_type"], keys)


def descriptors(
    structures: Sequence[Atoms], basis: Basis, density: NeighborDensity
) -> list[TensorMap]:
    """The descriptor of each structure, computed together and then split."""
    calculator = EquivariantPowerSpectrum(
        SphericalExpansion(**density.featomic_hypers()),
        neighbor_types=list(basis.species),
        dtype=torch.float64,
    )
    systems = [system.to(torch.float64) for system in systems_to_torch(list(structures))]
    together = calculator.compute(
        systems, selected_keys=labels(basis), neighbors_to_properties=True
    )
    return [
        mts.slice(together, "samples", Labels(["system"], torch.tensor([[index]])))
        for index in range(len(structures))
    ]


def structure(
    atoms: Atoms,
    basis: Basis,
    descriptor: TensorMap,
    coefficients: np.ndarray,
    overlap: np.ndarray,
) -> Structure:
    """From flat coefficients and the full matrix to blocks."""
    orders = _atom_orders(atoms, basis)
    by_species: dict[int, list[int]] = {}
    for atom, z in enumerate(atoms.numbers.tolist()):
        by_species.setdefault(z, []).append(atom)
    flat = torch.from_numpy(coefficients)
    vectors = {
        z: torch.stack([flat[orders[atom]] for atom in members])
        for z, members in by_species.items()
    }
    return Structure(descriptor, vectors, _pairs(orders, by_species, torch.from_numpy(overlap)))


def _atom_orders(atoms: Atoms, basis: Basis) -> list[torch.Tensor]:
    """Of each atom: positions in the flat vector, sorted by l, m, n."""
    layout = basis.layout(atoms.numbers)
    order = np.lexsort((layout.n, layout.m, layout.l, layout.atom))
    return [torch.from_numpy(order[layout.atom[order] == a]) for a in range(len(atoms))]


def _pairs(
    orders: list[torch.Tensor], by_species: dict[int, list[int]], overlap: torch.Tensor
) -> Pairs:
    pairs: Pairs = {}
    for z1, first in by_species.items():
        for z2, second in by_species.items():
            chosen = [
                (i, j, a, b)
                for i, a in enumerate(first)
                for j, b in enumerate(second)
                if z1 < z2 or (z1 == z2 and a <= b)
            ]
            if chosen:
                values = [
                    overlap[orders[a]][:, orders[b]] * (1.0 if a == b else 2.0)
                    for _, _, a, b in chosen
                ]
                rows = torch.tensor([(i, j) for i, j, _, _ in chosen])
                pairs[z1, z2] = rows, torch.stack(values)
    return pairs


def layer(basis: Basis, example: TensorMap) -> Any:
    """The linear map, float64; the example must have all keys of the basis."""
    keys = labels(basis)
    return EquivariantLinear(
        in_keys=keys,
        in_features=[len(example.block(keys.entry(i)).properties) for i in range(len(keys))],
        out_properties=[
            Labels(["n"], torch.arange(len(basis.radial_functions(z, l))).reshape(-1, 1))
            for l, z in block_keys(basis)
        ],
        invariant_keys=Labels(
            keys.names, torch.tensor([[0, 1, z] for l, z in block_keys(basis) if l == 0])
        ),
        bias=True,
        dtype=torch.float64,
    )


def join(batch: Sequence[Structure]) -> Structure:
    """What the data loader does."""
    descriptor = mts.join(
        [one.descriptor for one in batch],
        axis="samples",
        different_keys="union",
        add_dimension="batch" if False else "tensor",
    )
    coefficients: dict[int, list[torch.Tensor]] = {}
    offsets: dict[int, int] = {}
    pairs: dict[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for one in batch:
        for (z1, z2), (rows, values) in one.overlap.items():
            moved = rows + torch.tensor([offsets.get(z1, 0), offsets.get(z2, 0)])
            pairs.setdefault((z1, z2), []).append((moved, values))
        for z, vectors in one.coefficients.items():
            coefficients.setdefault(z, []).append(vectors)
            offsets[z] = offsets.get(z, 0) + len(vectors)
    return Structure(
        descriptor,
        {z: torch.cat(parts) for z, parts in coefficients.items()},
        {
            key: (torch.cat([r for r, _ in parts]), torch.cat([v for _, v in parts]))
            for key, parts in pairs.items()
        },
    )


def loss(prediction: TensorMap, batch: Structure) -> torch.Tensor:
    """Sum of dc.S.dc over the structures of a batch."""
    differences = {}
    for z, target in batch.coefficients.items():
        blocks = [b for k, b in prediction.items() if int(k["center_type"]) == z]
        predicted = torch.cat([block.values.flatten(1) for block in blocks], dim=1)
        differences[z] = predicted - target
    total = torch.zeros((), dtype=torch.float64)
    for (z1, z2), (rows, values) in batch.overlap.items():
        first, second = differences[z1][rows[:, 0]], differences[z2][rows[:, 1]]
        projected = torch.bmm(first.unsqueeze(1), values).squeeze(1)
        total = total + (projected * second).sum()
    return total
