"""Flat coefficient vectors <-> metatensor TensorMap.

A TensorMap has the keys (o3_lambda, o3_sigma = 1, center_type), samples (system, atom),
the component o3_mu = -l..l and the property n. All keys of the basis are there, with no
samples where a species is absent. Files that name the species key ``atom_type`` are read
too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase.data import chemical_symbols
from metatensor.torch import Labels, TensorBlock, TensorMap

from .basis import Basis

_SPECIES_NAMES = ("center_type", "atom_type")


def block_keys(basis: Basis) -> list[tuple[int, int]]:
    """(l, atomic number) of every block of the basis, in the order of the TensorMap keys.

    >>> block_keys(Basis.from_shells({"H": [(0, [1.0])], "O": [(0, [1.0]), (1, [2.0])]}))
    [(0, 1), (0, 8), (1, 8)]
    """
    return [
        (l, z)
        for l in range(basis.l_max + 1)
        for z in basis.species
        if basis.radial_functions(z, l)
    ]


def to_tensormap(
    basis: Basis,
    numbers: Sequence[np.ndarray],
    coefficients: Sequence[np.ndarray],
    *,
    dtype: torch.dtype = torch.float64,
) -> TensorMap:
    """TensorMap of one or more systems.

    Parameters
    ----------
    basis
        The basis of the coefficients.
    numbers
        Atomic numbers of each system.
    coefficients
        Flat vector of each system, in e/bohr^1.5.
    dtype
        Type of the values.
    """
    if len(numbers) != len(coefficients):
        raise ValueError(
            f"got {len(numbers)} systems but {len(coefficients)} coefficient vectors: "
            "give one vector a system"
        )
    vectors = [
        basis.check_coefficients(z, c, argument=f"coefficients[{i}]")
        for i, (z, c) in enumerate(zip(numbers, coefficients, strict=True))
    ]
    samples = _samples_by_species(basis, numbers)
    starts = np.concatenate([[0], np.cumsum([len(v) for v in vectors])]).astype(int)
    flat = np.concatenate(vectors) if vectors else np.zeros(0)
    atom_starts = [basis.offsets(z)[:-1] + start for z, start in zip(numbers, starts, strict=False)]

    keys, blocks = block_keys(basis), []
    for l, z in keys:
        rows = np.array([atom_starts[s][a] for s, a in samples[z]], dtype=int)
        index = rows[:, None, None] + _block_pattern(basis, z, l)[None]
        blocks.append(
            TensorBlock(
                values=torch.from_numpy(flat[index]).to(dtype),
                samples=Labels(["system", "atom"], _label_values(samples[z])),
                components=[Labels("o3_mu", torch.arange(-l, l + 1).reshape(-1, 1))],
                properties=Labels("n", torch.arange(index.shape[2]).reshape(-1, 1)),
            )
        )
    key_values = torch.tensor([[l, 1, z] for l, z in keys])
    return TensorMap(Labels(["o3_lambda", "o3_sigma", "center_type"], key_values), blocks)


def from_tensormap(
    basis: Basis, numbers: Sequence[np.ndarray], tensor: TensorMap
) -> list[np.ndarray]:
    """Flat float64 vectors of the systems of a TensorMap.

    Parameters
    ----------
    basis
        The basis that the TensorMap follows.
    numbers
        Atomic numbers of each system, in the order of the ``system`` label.
    tensor
        Blocks may be missing only for species that no system contains.

    Raises
    ------
    ValueError
        Keys, property counts or samples do not fit the basis and the systems.
    """
    species_name = _species_name(tensor)
    found = {
        (int(key["o3_lambda"]), int(key[species_name])): block for key, block in tensor.items()
    }
    unknown = sorted(set(found) - set(block_keys(basis)))
    unknown = [key for key in unknown if len(found[key].samples) > 0]
    if unknown:
        raise ValueError(
            f"the TensorMap has blocks (l, species) = {unknown} that the basis has not: "
            "is it the basis that the coefficients belong to?"
        )
    vectors = [np.full(basis.size(z), np.nan) for z in numbers]
    offsets = [basis.offsets(z) for z in numbers]
    for (l, z), block in found.items():
        pattern = _block_pattern(basis, z, l) if (l, z) in block_keys(basis) else None
        if pattern is None:
            continue
        values = block.values.detach().cpu().numpy()
        if values.shape[1:] != pattern.shape:
            raise ValueError(
                f"the block of l = {l}, species {z} has {values.shape[1:]} components and "
                f"properties, the basis has {pattern.shape}: is it the right basis?"
            )
        samples = block.samples.values.cpu().numpy()[:, _columns(block.samples)]
        _check_samples(samples, numbers, z)
        for (system, atom), value in zip(samples, values, strict=True):
            vectors[system][offsets[system][atom] + pattern] = value
    for system, vector in enumerate(vectors):
        if np.isnan(vector).any():
            raise ValueError(
                f"the TensorMap leaves {int(np.isnan(vector).sum())} of {len(vector)} coefficients "
                f"of system {system} undefined (or NaN): is it the right basis?"
            )
    return vectors


def _check_samples(samples: np.ndarray, numbers: Sequence[np.ndarray], z: int) -> None:
    """Raise a ValueError if a sample of a block of species z is another species, or no atom."""
    for system, atom in samples.tolist():
        inside = 0 <= system < len(numbers) and 0 <= atom < len(numbers[system])
        found = int(numbers[system][atom]) if inside else None
        if found != z:
            there = chemical_symbols[found] if found is not None else "no such atom"
            raise ValueError(
                f"the TensorMap has atom {atom} of system {system} as {chemical_symbols[z]} but "
                f"numbers have {there} there: give the structures that it was made for, in order"
            )


def _species_name(tensor: TensorMap) -> str:
    names = tensor.keys.names
    for name in _SPECIES_NAMES:
        if {"o3_lambda", "o3_sigma", name} == set(names):
            return name
    raise ValueError(
        f"the TensorMap has the keys {names}: coefficients have o3_lambda, o3_sigma and "
        "center_type (or atom_type)"
    )


def _samples_by_species(
    basis: Basis, numbers: Sequence[np.ndarray]
) -> dict[int, list[tuple[int, int]]]:
    samples: dict[int, list[tuple[int, int]]] = {z: [] for z in basis.species}
    for system, system_numbers in enumerate(numbers):
        for atom, z in enumerate(system_numbers):
            samples[int(z)].append((system, atom))
    return samples


def _label_values(samples: list[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor(samples, dtype=torch.int32).reshape(-1, 2)


def _block_pattern(basis: Basis, z: int, l: int) -> np.ndarray:
    """Positions of (m, n) of one block within the coefficients of its atom: shape (2l+1, n)."""
    start = sum(2 * s.l + 1 for s in basis.shells[z] if s.l < l)
    count = len(basis.radial_functions(z, l))
    return start + np.arange(2 * l + 1)[:, None] + (2 * l + 1) * np.arange(count)[None, :]


def _columns(samples: Labels) -> list[int]:
    names = list(samples.names)
    missing = {"system", "atom"} - set(names)
    if missing:
        raise ValueError(f"the TensorMap has the samples {names}: coefficients need system, atom")
    return [names.index("system"), names.index("atom")]
