"""Averages over voxels of grids with skew axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, graphene
from reference_density import voxel_means

from ase_rholearn import Basis, Density
from ase_rholearn.basis import from_pyscf
from ase_rholearn.density.evaluation.separable import OrthogonalGrid, SeparableSum
from ase_rholearn.density.evaluation.terms import TermClass
from ase_rholearn.density.evaluation.voxels import VoxelGrid, split_tight


def hexagonal_slab() -> Atoms:
    atoms = graphene(vacuum=5.0)
    atoms.pbc = (True, True, False)
    return atoms


@pytest.mark.parametrize("atoms", [bulk("Si"), hexagonal_slab()], ids=["silicon", "slab"])
def test_electrons_of_all_electron_cores(atoms: Atoms) -> None:
    """At 0.2 Angstrom, where point values miss parts of the cores."""
    basis = from_pyscf("def2-universal-jkfit", sorted(set(atoms.get_chemical_symbols())))
    rng = np.random.default_rng(1)
    density = Density(atoms, basis, rng.normal(0, 0.1, basis.size(atoms.numbers)))
    electrons = atoms.numbers.sum()
    options = {"spacing": 0.2, "margin": 5.0, "tolerance": 1e-8}
    assert abs(density.on_grid(**options).integral - electrons) > 2e-3
    averaged = density.on_grid(**options, core="voxel-average")
    assert averaged.integral == pytest.approx(electrons, abs=1e-3)
    slabs = list(density.iterate_grid(**options, core="voxel-average", memory=20_000))
    assert len(slabs) > 3
    values = np.concatenate([part for _, part in slabs])
    np.testing.assert_allclose(values, averaged.values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("exponent", [1.0, 3.0, 50.0, 3e4])
def test_voxels_equal_error_functions(exponent: float) -> None:
    """On a grid along x, y and z, where averages are products of error functions."""
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 9)))
    terms = TermClass(9.0, torch.tensor([exponent], dtype=torch.float64), weights)
    cell, shape, centre = np.diag([4.0, 4.8, 5.0]), (8, 10, 9), np.array([0.1, 4.7, 2.1])
    folded, cpu = np.ones(3, dtype=bool), torch.device("cpu")
    grid = OrthogonalGrid.of(np.zeros(3), cell, shape, folded)
    assert grid is not None
    exact = SeparableSum(grid, range(8), torch.float64, cpu, average=True)
    exact.add_class(centre[None], terms)
    steps = cell / np.array(shape)[:, None]
    voxels = VoxelGrid(np.zeros(3), steps, shape, folded, range(8), 1e-12, cpu)
    values = np.zeros(shape)
    voxels.add_averages(values, centre, terms)
    expected = exact.values()
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-3 * np.abs(expected).max())
    assert values.sum() == pytest.approx(expected.sum(), rel=1e-8)


def test_smooth_and_tight_terms_part() -> None:
    exponents = torch.tensor([0.1, 0.5, 10.0], dtype=torch.float64)
    terms = TermClass(5.0, exponents, torch.ones((3, 1), dtype=torch.float64))
    smooth, tight = split_tight(terms, 0.5)
    assert smooth is not None
    assert tight is not None
    assert smooth.exponents.tolist() == [0.1, 0.5]
    assert tight.exponents.tolist() == [10.0]
    assert split_tight(smooth, 0.5)[1] is None


def test_averages_over_a_finer_grid(random_density: Callable[..., Density]) -> None:
    """Tight s, p and d functions in a triclinic cell."""
    basis = Basis.from_shells({"O": [(0, [30.0]), (1, [9.0]), (2, [8.0])]})
    cell = [[2.0, 0.3, 0.0], [0.5, 2.2, 0.1], [0.2, -0.4, 2.4]]
    atoms = Atoms("O", [[0.31, 0.12, 0.43]], cell=cell, pbc=True)
    density = random_density(atoms, basis, scale=1.0)
    coarse = density.on_grid(shape=(4, 5, 6), core="voxel-average").values
    expected = voxel_means(density, (4, 5, 6), 12)
    np.testing.assert_allclose(coarse, expected, atol=1e-2 * np.abs(expected).max())
