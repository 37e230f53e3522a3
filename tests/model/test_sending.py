"""What neighbours send, against the sum that defines it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from ase_rholearn.model import NetworkOptions, build_network
from ase_rholearn.model.network import blocks_of_atoms, send, species_of

DOUBLE = torch.float64


def made(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("counts", [[3, 1, 4], [0, 2, 0], [5], [0, 0], []])
def test_sums_over_the_neighbours_of_each_atom(counts: list[int]) -> None:
    """Atoms without neighbours, as many as others or not, have what the definition says."""
    n_pairs = sum(counts)
    weights, products = made(n_pairs, 2), made(n_pairs, 4, 3)
    centers = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts, dtype=int))
    outer = torch.einsum("pw,pln->plwn", weights, products).flatten(2)
    expected = torch.zeros((len(counts), 4, 6), dtype=DOUBLE).index_add(0, centers, outer)
    found = send(weights, products, torch.tensor(counts, dtype=torch.long))
    torch.testing.assert_close(found, expected)


def test_derivatives() -> None:
    """Of weights and of products, also those of atoms with fewer neighbours."""
    counts = torch.tensor([2, 0, 3])
    inputs = [made(5, 2).requires_grad_(), made(5, 4, 3).requires_grad_()]
    assert torch.autograd.gradcheck(lambda w, p: send(w, p, counts), inputs)


@pytest.mark.parametrize("counts", [[3, 3, 0, 5], [0, 0, 9, 0], [1] * 7, [0]])
def test_blocks_cover_all_atoms_and_pairs(counts: list[int]) -> None:
    blocks = blocks_of_atoms(torch.tensor(counts), 4)
    assert blocks[0] == [0, 0]
    assert blocks[-1] == [len(counts), sum(counts)]
    for (atom, pair), (next_atom, next_pair) in pairwise(blocks):
        assert next_atom > atom
        assert next_pair - pair == sum(counts[atom:next_atom])


@pytest.fixture
def talking(basis, density, randomize):
    """A network with messages."""
    options = NetworkOptions(density=density, channels=4, messages=3, tensors=4, gates=5)
    return randomize(build_network(options, basis))


def chain(n_species: int) -> tuple[torch.Tensor, ...]:
    """Species, centres, neighbours and vectors of atoms in a crooked row."""
    positions = made(7, 3) * 0.3 + torch.arange(7, dtype=DOUBLE)[:, None] * torch.tensor(
        [1.0, 0, 0]
    )
    vectors = positions[None] - positions[:, None]
    near = torch.linalg.vector_norm(vectors, dim=2) < 2.5
    near &= ~torch.eye(7, dtype=torch.bool)
    neighbors, centers = torch.nonzero(near.T, as_tuple=True)  # not in the order of centres
    return torch.arange(7) % n_species, centers, neighbors, vectors[centers, neighbors]


def test_order_and_blocks_of_pairs_do_not_matter(talking) -> None:
    found = chain(len(talking.species))
    expected = talking.surroundings(*found)
    talking.expansion.pairs_per_block = 3
    torch.testing.assert_close(talking.surroundings(*found), expected)
    species, centers, neighbors, vectors = found
    order = torch.randperm(len(centers), generator=torch.Generator().manual_seed(0))
    mixed = (species, centers[order], neighbors[order], vectors[order])
    torch.testing.assert_close(talking.surroundings(*mixed), expected)


def test_species_without_atoms_have_outputs_of_no_atoms(talking) -> None:
    """They are not evaluated; what would come out has the same shapes."""
    nothing = talking.surroundings(*chain(len(talking.species)))[:0]
    for network in species_of(talking):
        evaluated = network.orthonormal(nothing)
        assert [part.shape for part in network(nothing)] == [part.shape for part in evaluated]
