"""PySCF's order of functions, against PySCF itself."""

from __future__ import annotations

import numpy as np
import torch

from ase_rholearn.basis import (
    Basis,
    from_pyscf_order,
    pyscf_permutation,
    solid_harmonics,
    to_pyscf_order,
)

NUMBERS = [8, 1, 6, 1]
POSITIONS = np.array([[0.1, 0.2, 0.3], [1.5, 0.0, 0.4], [-1.0, 2.0, 0.0], [0.0, -1.0, 3.0]])


def our_functions(basis: Basis, points: np.ndarray) -> np.ndarray:
    """Every function at every point (bohr), in our order."""
    columns = []
    for z, centre in zip(NUMBERS, POSITIONS, strict=True):
        vectors = points - centre
        r = np.linalg.norm(vectors, axis=1)
        solid = solid_harmonics(torch.from_numpy(vectors), basis.l_max).numpy()
        for shell in basis.shells[z]:
            block = solid[:, shell.l**2 : (shell.l + 1) ** 2]
            columns.append(block * (shell.radial(r) / r**shell.l)[:, None])
    return np.concatenate(columns, axis=1)


def test_functions_equal_pyscf(published_basis: Basis) -> None:
    from pyscf import gto

    symbols = {8: "O", 1: "H", 6: "C"}
    molecule = gto.M(
        atom=[(symbols[z], r) for z, r in zip(NUMBERS, POSITIONS.tolist(), strict=True)],
        basis=published_basis.name,
        unit="B",
        verbose=0,
    )
    points = np.random.default_rng(1).uniform(-3, 3, size=(50, 3))
    values = molecule.eval_gto("GTOval_sph", points)
    ours = our_functions(published_basis, points)
    np.testing.assert_allclose(
        from_pyscf_order(published_basis, NUMBERS, values.T).T, ours, atol=1e-10
    )
    np.testing.assert_allclose(
        to_pyscf_order(published_basis, NUMBERS, ours.T).T, values, atol=1e-10
    )


def test_the_two_are_inverse(mixed_basis: Basis) -> None:
    numbers = [1, 8, 8, 1]
    vector = np.random.default_rng(0).normal(size=mixed_basis.size(numbers))
    there = to_pyscf_order(mixed_basis, numbers, vector)
    assert not np.array_equal(there, vector)  # hydrogen has a p shell
    np.testing.assert_array_equal(from_pyscf_order(mixed_basis, numbers, there), vector)
    permutation = pyscf_permutation(mixed_basis, numbers)
    np.testing.assert_array_equal(np.sort(permutation), np.arange(len(vector)))
