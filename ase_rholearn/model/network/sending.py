"""What the neighbours of every atom send to it, without a tensor of all pairs and messages.

Pairs are in the order of their centres, so that those of an atom are the rows of one matrix.
"""

# no "from __future__ import annotations": TorchScript reads the annotations of this module

import torch


def send(weights: torch.Tensor, products: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Sum over the neighbours of each atom: their weights times their part of the expansion.

    Parameters
    ----------
    weights
        Of every pair: (n_pairs, n_weights).
    products
        Radial functions times harmonics of every pair: (n_pairs, lm, n_radial).
    counts
        Pairs of each atom, which follow each other: (n_atoms,).

    Returns
    -------
    torch.Tensor
        (n_atoms, lm, n_weights * n_radial).
    """
    n_atoms, n_weights = counts.shape[0], weights.shape[1]
    lm, n_radial = products.shape[1], products.shape[2]
    if weights.shape[0] == 0:
        return products.new_zeros((n_atoms, lm, n_weights * n_radial))
    # atoms with fewer neighbours than others have rows of zeros
    width = int(counts.max())
    present = torch.arange(width, device=counts.device) < counts.unsqueeze(1)
    places = torch.nonzero(present.flatten()).squeeze(1)
    rows = n_atoms * width
    first = weights.new_zeros((rows, n_weights)).index_copy(0, places, weights)
    second = products.new_zeros((rows, lm * n_radial)).index_copy(0, places, products.flatten(1))
    # [atom, weight, neighbour] [atom, neighbour, (lm, n)]
    total = torch.bmm(
        first.reshape(n_atoms, width, n_weights).transpose(1, 2),
        second.reshape(n_atoms, width, lm * n_radial),
    )
    total = total.reshape(n_atoms, n_weights, lm, n_radial)
    return total.permute(0, 2, 1, 3).reshape(n_atoms, lm, n_weights * n_radial)


def blocks_of_atoms(counts: torch.Tensor, pairs_per_block: int) -> list[list[int]]:
    """Blocks of atoms with about so many pairs: first atom and pair of each, and the ends.

    >>> blocks_of_atoms(torch.tensor([3, 3, 0, 5]), 5)
    [[0, 0], [2, 6], [4, 11]]
    """
    ends = torch.cumsum(counts, 0)
    _, sizes = torch.unique_consecutive((ends - counts) // pairs_per_block, return_counts=True)
    atoms: list[int] = torch.cumsum(sizes, 0).tolist()
    pairs: list[int] = ends.tolist()
    return [[0, 0]] + [[atom, pairs[atom - 1]] for atom in atoms]
