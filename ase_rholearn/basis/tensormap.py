"""Flat coefficient vectors <-> metatensor TensorMap.

A TensorMap has the keys (o3_lambda, o3_sigma = 1, center_type), samples (system, atom),
the component o3_mu = -l..l and the property n. All keys of the basis are there, with no
samples where a species is absent. Files that name the species key ``atom_type`` are read
too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    return list(basis.block_patterns)


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

    blocks = []
    for (l, z), pattern in basis.block_patterns.items():
        rows = np.array([atom_starts[s][a] for s, a in samples[z]], dtype=int)
        index = rows[:, None, None] + pattern
        blocks.append(
            TensorBlock(
                values=torch.from_numpy(flat[index]).to(dtype),
                samples=Labels(["system", "atom"], _label_values(samples[z])),
                components=[Labels("o3_mu", torch.arange(-l, l + 1).reshape(-1, 1))],
                properties=Labels("n", torch.arange(index.shape[2]).reshape(-1, 1)),
            )
        )
    key_values = torch.tensor([[l, 1, z] for l, z in block_keys(basis)])
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
    patterns = basis.block_patterns
    unknown = sorted(key for key in set(found) - set(patterns) if len(found[key].samples) > 0)
    if unknown:
        raise ValueError(
            f"the TensorMap has blocks (l, species) = {unknown} that the basis has not: "
            "is it the basis that the coefficients belong to?"
        )
    systems = _Systems.of(basis, numbers)
    flat = np.full(systems.ends[-1], np.nan)
    for (l, z), block in found.items():
        if (l, z) not in patterns:
            continue
        pattern = patterns[l, z]
        values = block.values.detach().cpu().numpy()
        if values.shape[1:] != pattern.shape:
            raise ValueError(
                f"the block of l = {l}, species {z} has {values.shape[1:]} components and "
                f"properties, the basis has {pattern.shape}: is it the right basis?"
            )
        if len(values) == 0:
            continue
        samples = block.samples.values.cpu().numpy()[:, _columns(block.samples)]
        starts = systems.starts_of(samples, z)
        flat[starts[:, None, None] + pattern] = values
    vectors = np.split(flat, systems.ends[1:-1])[: len(numbers)]
    for system, vector in enumerate(vectors):
        if np.isnan(vector).any():
            raise ValueError(
                f"the TensorMap leaves {int(np.isnan(vector).sum())} of {len(vector)} coefficients "
                f"of system {system} undefined (or NaN): is it the right basis?"
            )
    return vectors


@dataclass(frozen=True)
class _Systems:
    """Where the atoms of several systems are, whose vectors follow each other.

    Attributes
    ----------
    counts
        Atoms of each system, and of one more that has none: (n_systems + 1,).
    first_atoms
        Index of the first atom of each: (n_systems + 1,).
    numbers
        Of all atoms, and -1 for what is no atom: (n_atoms + 1,).
    starts
        Where the coefficients of each atom start, and where all end: (n_atoms + 1,).
    ends
        The same for systems: (n_systems + 1,).
    """

    counts: np.ndarray
    first_atoms: np.ndarray
    numbers: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, basis: Basis, numbers: Sequence[np.ndarray]) -> _Systems:
        counts = np.array([*map(len, numbers), 0], dtype=int)
        joined = np.concatenate([*numbers, np.zeros(0, int)])
        starts = basis.offsets(joined)
        first_atoms = np.cumsum(counts) - counts
        return cls(counts, first_atoms, np.append(joined, -1), starts, starts[first_atoms])

    def starts_of(self, samples: np.ndarray, z: int) -> np.ndarray:
        """Starts of samples (system, atom) of species z: (n_samples,).

        Raises
        ------
        ValueError
            One of them is another species, or no atom.
        """
        system, atom = samples.T.astype(int)
        known = np.clip(system, 0, len(self.counts) - 1)
        inside = (system == known) & (atom >= 0) & (atom < self.counts[known])
        places = np.where(inside, self.first_atoms[known] + atom, -1)
        found = self.numbers[places]
        for wrong in np.flatnonzero(found != z)[:1]:
            there = chemical_symbols[found[wrong]] if inside[wrong] else "no such atom"
            raise ValueError(
                f"the TensorMap has atom {atom[wrong]} of system {system[wrong]} as "
                f"{chemical_symbols[z]} but numbers have {there} there: give the structures that "
                "it was made for, in order"
            )
        return self.starts[places]


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


def _columns(samples: Labels) -> list[int]:
    names = list(samples.names)
    missing = {"system", "atom"} - set(names)
    if missing:
        raise ValueError(f"the TensorMap has the samples {names}: coefficients need system, atom")
    return [names.index("system"), names.index("atom")]
