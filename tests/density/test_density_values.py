"""Values, gradients and Laplacians of molecules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_density import brute_force

from ase_rholearn import Basis, Density
from ase_rholearn.basis import from_pyscf, pyscf_permutation


def points_around(atoms: Atoms, n: int = 300, spread: float = 1.5) -> np.ndarray:
    """Points near the nuclei and far from them, and the nuclei themselves."""
    rng = np.random.default_rng(7)
    chosen = atoms.positions[rng.integers(len(atoms), size=n)]
    return np.concatenate([chosen + rng.normal(0, spread, (n, 3)), atoms.positions])


def pyscf_functions(atoms: Atoms, basis: Basis, points: np.ndarray) -> np.ndarray:
    """Every auxiliary function at points in Angstrom, in our order, by PySCF."""
    from pyscf import gto

    entries = {
        symbol: [
            [shell.l, *([a, 1.0] for a in shell.exponents)]  # uncontracted
            for shell in basis.shells[Atoms(symbol).numbers[0]]
        ]
        for symbol in set(atoms.get_chemical_symbols())
    }
    positions = (atoms.positions / units.Bohr).tolist()
    mole = gto.M(
        atom=list(zip(atoms.get_chemical_symbols(), positions, strict=True)),
        basis=entries,
        unit="B",
        spin=None,
        verbose=0,
    )
    values = mole.eval_gto("GTOval_sph", points / units.Bohr)
    return values[:, pyscf_permutation(basis, atoms.numbers)]


def pyscf_value(density: Density, points: np.ndarray) -> np.ndarray:
    """The whole density: PySCF's functions and the atomic densities."""
    atoms, basis = density.atoms, density.basis
    total = pyscf_functions(atoms, basis, points) @ density.coefficients
    for z, position in zip(atoms.numbers, atoms.positions, strict=True):
        r = np.linalg.norm(points - position, axis=1) / units.Bohr
        total = total + basis.atomic_densities[int(z)].value(r)
    return total / units.Bohr**3


def test_points_equal_pyscf(water_density: Density) -> None:
    points = points_around(water_density.atoms)
    expected = pyscf_value(water_density, points)
    np.testing.assert_allclose(water_density.evaluate(points), expected, rtol=1e-12, atol=1e-9)


def test_grid_equals_pyscf(water_density: Density) -> None:
    grid = water_density.on_grid(spacing=0.35, margin=2.0)
    expected = pyscf_value(water_density, grid.points().reshape(-1, 3)).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("name", ["C2H2", "CH3OH", "CO"])
def test_other_molecules_equal_pyscf(
    name: str, basis: Basis, random_density: Callable[..., Density]
) -> None:
    density = random_density(molecule(name), basis, seed=3)
    points = points_around(density.atoms, 100)
    expected = pyscf_value(density, points)
    np.testing.assert_allclose(density.evaluate(points), expected, rtol=1e-12, atol=1e-9)


@pytest.fixture
def contracted(water: Atoms) -> tuple[Density, Callable[[str, np.ndarray], np.ndarray]]:
    """A density in a contracted basis, and PySCF's value or derivatives of it at points."""
    from pyscf import gto

    basis = from_pyscf("def2-universal-jkfit", ["H", "O"])
    positions = (water.positions / units.Bohr).tolist()
    mole = gto.M(
        atom=list(zip(water.get_chemical_symbols(), positions, strict=True)),
        basis="def2-universal-jkfit",
        unit="B",
        verbose=0,
    )
    coefficients = np.random.default_rng(0).normal(0, 0.3, basis.size(water.numbers))
    order = pyscf_permutation(basis, water.numbers)

    def expected(integral: str, points: np.ndarray) -> np.ndarray:
        return mole.eval_gto(integral, points / units.Bohr)[..., order] @ coefficients

    return Density(water, basis, coefficients, normalize=False), expected


def test_contracted_basis_equals_pyscf(
    water: Atoms, contracted: tuple[Density, Callable[[str, np.ndarray], np.ndarray]]
) -> None:
    density, expected = contracted
    points = points_around(water, 60)
    np.testing.assert_allclose(
        density.evaluate(points) * units.Bohr**3,
        expected("GTOval_sph", points),
        rtol=1e-12,
        atol=1e-10,
    )


def test_tolerance_bounds_the_error(water_density: Density) -> None:
    points = points_around(water_density.atoms, spread=4.0)
    exact = brute_force(water_density, points)
    coarse = np.abs(water_density.evaluate(points, tolerance=1e-4) - exact).max()
    fine = np.abs(water_density.evaluate(points, tolerance=1e-8) - exact).max()
    assert 0 < fine < 1e-6
    assert fine < coarse < 1e-2


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), spacing=st.floats(0.2, 0.7), margin=st.floats(0, 3))
def test_grid_and_points_agree(
    small_basis: Basis, seed: int, spacing: float, margin: float
) -> None:
    """The two paths share no more than the terms: matrix products here, points there."""
    rng = np.random.default_rng(seed)
    atoms = Atoms("COH", [[0, 0, 0], [1.2, 0, 0], [0, 1.1, 0.3]])
    atoms.positions += rng.normal(0, 0.1, (3, 3))
    density = Density(atoms, small_basis, rng.normal(size=small_basis.size(atoms.numbers)))
    grid = density.on_grid(spacing, margin)
    values = density.evaluate(grid.points().reshape(-1, 3)).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, values, rtol=1e-12, atol=1e-9)


# derivatives -------------------------------------------------------------------------------


def test_gradient_equals_finite_differences(water_density: Density) -> None:
    points = points_around(water_density.atoms, 60)[:60]
    step, tolerance = 1e-3, 1e-13
    slopes = []
    for axis in range(3):
        shift = step * np.eye(3)[axis]
        first, second, third, fourth = (
            water_density.evaluate(points + k * shift, tolerance=tolerance) for k in (-2, -1, 1, 2)
        )
        slopes.append((first - 8 * second + 8 * third - fourth) / (12 * step))
    expected = np.stack(slopes, axis=1)
    scale = 1 + np.abs(expected)
    error = np.abs(water_density.gradient(points) - expected) / scale
    assert error.max() < 1e-6


def test_laplacian_equals_divergence_of_the_gradient(water_density: Density) -> None:
    points = points_around(water_density.atoms, 60)[:60]
    step = 1e-3
    expected = np.zeros(len(points))
    for axis in range(3):
        shift = step * np.eye(3)[axis]
        first, second, third, fourth = (
            water_density.gradient(points + k * shift)[:, axis] for k in (-2, -1, 1, 2)
        )
        expected += (first - 8 * second + 8 * third - fourth) / (12 * step)
    error = np.abs(water_density.laplacian(points) - expected) / (1 + np.abs(expected))
    assert error.max() < 1e-6


def test_derivatives_equal_pyscf(
    water: Atoms, contracted: tuple[Density, Callable[[str, np.ndarray], np.ndarray]]
) -> None:
    density, pyscf_values = contracted
    points = points_around(water, 60)
    expected = pyscf_values("GTOval_sph_deriv2", points)
    np.testing.assert_allclose(
        density.gradient(points) * units.Bohr**4, expected[1:4].T, rtol=1e-10, atol=1e-9
    )
    laplacian = expected[4] + expected[7] + expected[9]  # xx, yy, zz
    np.testing.assert_allclose(
        density.laplacian(points) * units.Bohr**5, laplacian, rtol=1e-10, atol=1e-8
    )


def test_gradient_vanishes_at_a_lone_spherical_atom(basis: Basis) -> None:
    density = Density(Atoms("O", [[0.3, 0, 0]]), basis, np.zeros(basis.sizes[8]))
    np.testing.assert_array_equal(density.gradient([[0.3, 0, 0]]), np.zeros((1, 3)))


def test_no_points_give_no_values(water_density: Density) -> None:
    nothing = np.zeros((0, 3))
    assert water_density.evaluate(nothing).shape == (0,)
    assert water_density.gradient(nothing).shape == (0, 3)
    assert water_density.laplacian(nothing).shape == (0,)


def test_far_away_is_vacuum(water_density: Density) -> None:
    assert water_density.evaluate([[1e4, 0, 0], [0, -1e6, 0]]).tolist() == [0.0, 0.0]


def test_points_are_not_changed(water_density: Density) -> None:
    points = points_around(water_density.atoms, 10)
    before = points.copy()
    water_density.evaluate(points)
    np.testing.assert_array_equal(points, before)
