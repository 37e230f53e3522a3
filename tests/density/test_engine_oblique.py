"""Grids with skew axes: silicon, slabs, and frames of every kind, against sums over images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, graphene
from reference_density import brute_force

from ase_rholearn import Basis, Density
from ase_rholearn.basis import even_tempered
from ase_rholearn.density import Grid

FCC = np.array([[0, 2.1, 2.1], [2.1, 0, 2.1], [2.1, 2.1, 0]])


def silicon() -> Atoms:
    atoms = bulk("Si", "diamond", 5.43)
    atoms.rattle(0.1, seed=0)
    return atoms


def slab() -> Atoms:
    atoms = graphene(vacuum=3.0)
    atoms.pbc = (True, True, False)
    atoms.rattle(0.1, seed=0)
    return atoms


@pytest.mark.parametrize("atoms", [silicon(), slab()], ids=["silicon", "hexagonal slab"])
def test_grid_equals_image_sum(atoms: Atoms, random_density: Callable[..., Density]) -> None:
    """Tight and diffuse functions up to l = 4."""
    basis = even_tempered(sorted(set(atoms.get_chemical_symbols())), beta=3.0)
    density = random_density(atoms, basis)
    grid = density.on_grid(shape=(6, 7, 9))
    points = grid.points().reshape(-1, 3)
    chosen = np.random.default_rng(0).choice(len(points), 40, replace=False)
    expected = brute_force(density, points[chosen], 14.0)
    values = grid.values.ravel()[chosen]
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-9)


def test_grids_repeat_to_the_last_bit(random_density: Callable[..., Density]) -> None:
    """A start of VASP is the same file whenever it is written."""
    density = random_density(silicon(), even_tempered(["Si"], beta=3.0))
    grids = [density.on_grid(shape=(12, 12, 10)).values.tobytes() for _ in range(20)]
    assert len(set(grids)) == 1


@pytest.mark.parametrize("shape", [(13, 12, 11), (30, 40, 36), (1, 2, 50)])
@pytest.mark.parametrize("cell", ["silicon", "slab", "tilted slab"])
def test_grid_equals_points(
    cell: str, shape: tuple[int, int, int], random_density: Callable[..., Density]
) -> None:
    """Odd and even numbers of points, finer and coarser than the functions need."""
    atoms = silicon() if cell == "silicon" else slab()
    if cell == "tilted slab":
        atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    basis = even_tempered(sorted(set(atoms.get_chemical_symbols())), beta=3.0)
    density = random_density(atoms, basis)
    grid = density.on_grid(shape=shape)
    points = grid.points().reshape(-1, 3)
    chosen = np.random.default_rng(0).choice(len(points), min(len(points), 100), replace=False)
    expected = density.evaluate(points[chosen])
    values = grid.values.ravel()[chosen]
    np.testing.assert_allclose(values, expected, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("tolerance", [1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("atoms", [silicon(), slab()], ids=["silicon", "hexagonal slab"])
def test_tolerance_bounds_the_error(
    atoms: Atoms, tolerance: float, random_density: Callable[..., Density]
) -> None:
    basis = even_tempered(sorted(set(atoms.get_chemical_symbols())), beta=2.5)
    density = random_density(atoms, basis)
    exact = density.on_grid(shape=(24, 24, 24)).values
    error = density.on_grid(shape=(24, 24, 24), tolerance=tolerance).values - exact
    # many images are cut at one point
    assert np.abs(error).max() * units.Bohr**3 < 100 * tolerance


@pytest.mark.parametrize("normal", [0, 1, 2, None], ids=["x", "y", "z", "none"])
def test_slabs_and_single_precision(
    normal: int | None, small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """Whichever axis is normal to the others, and is cut into slabs."""
    cell = FCC.copy()
    if normal is not None:
        others = [k for k in range(3) if k != normal]
        cell = np.diag([3.0, 3.2, 3.4])
        cell[others[0], others[1]] = 0.9
    atoms = Atoms("OH", [[0.2, 0.1, 0.4], [1.1, 0.2, 0.6]], cell=cell, pbc=True)
    density = random_density(atoms, small_basis)
    grid = density.on_grid(0.3)
    expected = density.evaluate(grid.points().reshape(-1, 3)).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, expected, rtol=1e-11, atol=1e-9)
    values = np.concatenate([part for _, part in density.iterate_grid(0.3, memory=5000)])
    np.testing.assert_allclose(values, grid.values, rtol=1e-11, atol=1e-10)
    single = density.on_grid(0.3, dtype=np.float32).values
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_molecule_in_a_skew_frame(water_density: Density) -> None:
    """One axis normal to the others, nothing periodic."""
    cell = np.array([[2.0, 0, 0], [0.7, 2.0, 0], [0, 0, 3.0]])
    frame = Grid(np.zeros((7, 6, 8)), np.array([-1.0, -0.9, -0.8]), cell)
    expected = water_density.evaluate(frame.points().reshape(-1, 3)).reshape(frame.shape)
    values = water_density.on_frame(frame).values
    np.testing.assert_allclose(values, expected, rtol=1e-11, atol=1e-9)


def test_periodic_chain_with_a_skew_axis(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    atoms = Atoms("OH", [[0.2, 0.1, 0.4], [1.1, 0.2, 0.6]], cell=[[2.0, 1.0, 0.5]] + 2 * [[0] * 3])
    atoms.pbc = (True, False, False)
    density = random_density(atoms, small_basis)
    grid = density.on_grid(0.4, 1.0)
    expected = density.evaluate(grid.points().reshape(-1, 3)).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, expected, rtol=1e-11, atol=1e-9)
