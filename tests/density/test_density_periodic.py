"""Periodic structures against brute-force sums over images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from ase import Atoms, units
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_density import brute_force

from ase_rholearn import Basis, Density

ORTHORHOMBIC = np.diag([3.1, 2.6, 4.0])
TRICLINIC = np.array([[3.0, 0.0, 0.0], [0.9, 2.8, 0.0], [-0.7, 0.5, 3.3]])
TILTED = np.array([[2.0, 2.0, 0.3], [-2.0, 2.1, 0.0], [0.1, 0.4, 3.0]])
LEFT_HANDED = TRICLINIC[[1, 0, 2]]

#: Angstrom; exp(-0.35 r^2) is 1e-17 here.
REACH = 6.0


def crystal(cell: np.ndarray, pbc: Sequence[bool]) -> Atoms:
    positions = [[0.2, 0.1, 0.4], [1.3, 0.2, 0.6], [0.3, 1.2, 1.9]]
    return Atoms("OHC", positions, cell=cell, pbc=pbc)


@pytest.mark.parametrize(
    "pbc", [(True, True, True), (True, True, False), (False, True, False), (True, False, True)]
)
@pytest.mark.parametrize(
    "cell",
    [ORTHORHOMBIC, TRICLINIC, TILTED, LEFT_HANDED],
    ids=["orthorhombic", "triclinic", "tilted", "left-handed"],
)
def test_grid_equals_image_sum(
    cell: np.ndarray,
    pbc: Sequence[bool],
    small_basis: Basis,
    random_density: Callable[..., Density],
) -> None:
    density = random_density(crystal(cell, pbc), small_basis)
    grid = density.on_grid(spacing=0.6, margin=1.0)
    points = grid.points().reshape(-1, 3)
    expected = brute_force(density, points, REACH).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, expected, rtol=1e-12, atol=1e-9)
    # points lie outside the cell too
    shifted = points[:100] + np.asarray(pbc, dtype=float) * [2, -1, 3] @ cell
    np.testing.assert_allclose(
        density.evaluate(shifted), expected.ravel()[:100], rtol=1e-10, atol=1e-9
    )


@pytest.mark.parametrize("cell", [ORTHORHOMBIC, TRICLINIC], ids=["orthorhombic", "triclinic"])
def test_atoms_outside_the_cell(
    cell: np.ndarray, small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    inside = crystal(cell, (True, True, True))
    outside = inside.copy()
    outside.positions += np.array([[1, -2, 5], [0, 0, -1], [-30, 7, 0]]) @ cell
    grids = [random_density(atoms, small_basis).on_grid(0.5) for atoms in (inside, outside)]
    np.testing.assert_allclose(grids[0].values, grids[1].values, rtol=1e-10, atol=1e-9)
    np.testing.assert_array_equal(grids[1].origin, np.zeros(3))


@pytest.mark.parametrize(
    "cell",
    [
        np.diag([0.9, 1.0, 1.1]),
        np.array([[0.9, 0, 0], [0.3, 1.0, 0], [0.2, -0.1, 0.8]]),
        np.array([[0.9, 0, 0], [2.4, 0.7, 0], [0.2, -0.1, 0.8]]),  # very skew
    ],
    ids=["orthorhombic", "triclinic", "skew"],
)
def test_tiny_cell_has_many_images(
    cell: np.ndarray, small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """Thousands of images overlap; what is neglected of each must not add up."""
    density = random_density(Atoms("H", [[0.1, 0.2, 0.3]], cell=cell, pbc=True), small_basis)
    grid = density.on_grid(spacing=0.3)
    expected = brute_force(density, grid.points().reshape(-1, 3), REACH).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, expected, rtol=1e-12, atol=1e-9)


def test_diffuse_functions_in_a_tiny_cell(
    basis: Basis, random_density: Callable[..., Density]
) -> None:
    """The recipe's basis reaches over 8 Angstrom: hundreds of images of each function."""
    density = random_density(Atoms("H", cell=np.diag([1.1, 1.2, 1.3]), pbc=True), basis)
    grid = density.on_grid(spacing=0.6)
    expected = brute_force(density, grid.points().reshape(-1, 3), 11.0).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, expected, rtol=1e-12, atol=1e-9)
    by_points = density.evaluate(grid.points().reshape(-1, 3))
    np.testing.assert_allclose(by_points, expected.ravel(), rtol=1e-12, atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_any_cell(data: st.DataObject, seed: int, small_basis: Basis) -> None:
    rng = np.random.default_rng(seed)
    pbc = data.draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    cell = np.diag(rng.uniform(1.5, 4, 3)) + rng.uniform(-0.6, 0.6, (3, 3))
    atoms = Atoms("H", rng.uniform(-9, 9, (1, 3)), cell=cell, pbc=pbc)
    density = Density(atoms, small_basis, rng.normal(size=small_basis.sizes[1]))
    points = atoms.positions + rng.normal(0, 2, (20, 3))
    expected = brute_force(density, points, REACH)
    np.testing.assert_allclose(density.evaluate(points), expected, rtol=1e-11, atol=1e-9)


def test_derivatives_are_periodic_too(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """Derivatives of a crystal equal those of a cluster that reaches far enough."""
    unit = Atoms("C", [[0.4, 0.1, 0.3]], cell=TRICLINIC, pbc=True)
    crystal_density = random_density(unit, small_basis)
    copies = unit.repeat((7, 7, 7))
    copies.positions -= 3 * unit.cell.array.sum(axis=0)
    copies.pbc = False
    cluster = Density(
        copies, small_basis, np.tile(crystal_density.coefficients, 343), normalize=False
    )
    points = np.random.default_rng(0).uniform(0, 2, (10, 3))
    np.testing.assert_allclose(
        crystal_density.gradient(points), cluster.gradient(points), rtol=1e-9, atol=1e-8
    )
    np.testing.assert_allclose(
        crystal_density.laplacian(points), cluster.laplacian(points), rtol=1e-9, atol=1e-8
    )


def test_one_point_out_of_reach_of_every_image(small_basis: Basis) -> None:
    """A wide cell and a single point: no image is near, and none is looked for."""
    tight = Basis.from_shells({"H": [(0, [5.0])]})
    atoms = Atoms("H", [[1.0, 1.0, 1.0]], cell=[20, 20, 20], pbc=True)
    density = Density(atoms, tight, [1.0])
    assert density.evaluate([[11.0, 11.0, 11.0]]).tolist() == [0.0]
    empty = Density(atoms, tight, [0.0], normalize=False)
    assert empty.evaluate([[11.0, 11.0, 11.0]]).tolist() == [0.0]
    assert not empty.on_grid(2.0).values.any()


def test_cell_vectors_of_open_directions_are_ignored(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    slab = crystal(TRICLINIC, (True, True, False))
    other = slab.copy()
    other.cell[2] = 0.0
    points = np.random.default_rng(0).uniform(0, 3, (20, 3))
    values = [random_density(atoms, small_basis).evaluate(points) for atoms in (slab, other)]
    np.testing.assert_array_equal(values[0], values[1])


# integration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [np.diag([3.1, 3.4, 4.0]), np.array([[3.4, 0, 0], [0.9, 3.3, 0], [-0.7, 0.5, 3.6]])],
    ids=["orthorhombic", "triclinic"],
)
def test_periodic_grid_integrates_smooth_functions(cell: np.ndarray) -> None:
    """Exponents up to a h^2 = 0.5 (h in bohr): the sum over voxels is the integral.

    g functions are aliased most (G^4 in reciprocal space): tight ones have the small
    coefficients of real densities here.
    """
    shape = (10, 11, 12)
    steps = np.linalg.norm(cell, axis=1) / shape / units.Bohr
    largest = 0.5 / steps.max() ** 2
    ladder = largest * 0.5 ** np.arange(4)
    shells = {"O": [(l, ladder) for l in range(5)], "H": [(l, ladder) for l in range(3)]}
    basis = Basis.from_shells(shells)
    atoms = Atoms("OHH", [[0, 0, 0], [0.9, 0.3, 0], [-0.3, 0.9, 0.1]], cell=cell, pbc=True)
    size = np.where(basis.layout(atoms.numbers).l == 4, 0.05, 0.4)
    coefficients = np.random.default_rng(4).normal(0, size)
    grid = Density(atoms, basis, coefficients).on_grid(shape=shape)
    assert grid.integral == pytest.approx(10.0, abs=1e-6)


def test_sixty_four_waters_integrate(
    water_box: Atoms, random_density: Callable[..., Density]
) -> None:
    """What is neglected at the default tolerance does not add up over a large cell."""
    spacing = 0.25
    n = int(np.ceil(water_box.cell[0, 0] / spacing))
    largest = 0.5 / (water_box.cell[0, 0] / n / units.Bohr) ** 2
    ladder = largest * 0.5 ** np.arange(4)
    basis = Basis.from_shells({"O": [(l, ladder) for l in range(4)], "H": [(0, ladder)]})
    density = random_density(water_box, basis, scale=0.1)
    grid = density.on_grid(spacing)
    assert grid.shape == (n, n, n)
    assert grid.integral == pytest.approx(640.0, abs=1e-6)
