"""Differences of densities, and the normalised mean absolute error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn import Basis, Density
from ase_rholearn.density import DensityDifference, nmae, read_cube


@pytest.fixture
def pair(basis: Basis, random_density: Callable[..., Density]) -> tuple[Density, Density]:
    atoms = molecule("H2O")
    return random_density(atoms, basis, seed=1), random_density(atoms, basis, seed=2)


def test_difference_is_first_minus_second(pair: tuple[Density, Density]) -> None:
    first, second = pair
    difference = first - second
    points = np.random.default_rng(0).normal(size=(50, 3))
    for name in ("evaluate", "gradient", "laplacian"):
        expected = getattr(first, name)(points) - getattr(second, name)(points)
        np.testing.assert_allclose(getattr(difference, name)(points), expected, atol=1e-9)
    for name in ("dipole", "quadrupole", "octupole"):
        expected = getattr(first, name)() - getattr(second, name)()
        np.testing.assert_allclose(getattr(difference, name)(), expected, atol=1e-12)
    assert difference.number_of_electrons == pytest.approx(0, abs=1e-8)


def test_difference_of_two_structures_is_on_one_grid(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    whole = Atoms("OHH", [[0, 0, 0], [0.9, 0, 0], [0, 4.0, 0]])
    part = whole[:2]
    difference = random_density(whole, small_basis) - random_density(part, small_basis)
    assert difference.number_of_electrons == pytest.approx(1, abs=1e-8)
    grid = difference.on_grid(0.4, margin=1.0)
    assert grid.points()[0, -1, 0, 1] > 4.5  # it holds the larger structure
    expected = difference.evaluate(grid.points().reshape(-1, 3)).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, expected, atol=1e-9)


def test_what_meeting_does_to_fragments(
    small_basis: Basis, random_density: Callable[..., Density], tmp_path: Path
) -> None:
    whole = Atoms("OHOH", [[0, 0, 0], [0.9, 0, 0], [0, 2.0, 0], [0, 2.9, 0]])
    complex_, left, right = (
        random_density(part, small_basis) for part in (whole, whole[:2], whole[2:])
    )
    difference = complex_ - left - right
    points = np.random.default_rng(0).normal(size=(20, 3))
    expected = complex_.evaluate(points) - left.evaluate(points) - right.evaluate(points)
    np.testing.assert_allclose(difference.evaluate(points), expected, atol=1e-9)
    assert difference.number_of_electrons == pytest.approx(0, abs=1e-8)
    difference.write(tmp_path / "meeting.cube", spacing=0.5)
    atoms, grid = read_cube(tmp_path / "meeting.cube")
    assert "difference" in (tmp_path / "meeting.cube").read_text().splitlines()[0]
    assert (atoms.numbers == whole.numbers).all()
    np.testing.assert_allclose(grid.values, difference.on_grid(0.5).values, rtol=1e-5, atol=1e-8)


def test_a_difference_needs_two(water_density: Density) -> None:
    with pytest.raises(TypeError, match="give one density or more to subtract"):
        DensityDifference(water_density)


def test_periods_must_agree(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    molecular = random_density(Atoms("O"), small_basis)
    small = random_density(Atoms("O", cell=[3, 3, 3], pbc=True), small_basis)
    large = random_density(Atoms("O", cell=[3, 3, 4], pbc=True), small_basis)
    for other in (molecular, large):
        message = r"different periods: pbc \[True, True, True\] .* give both the same pbc and cell"
        with pytest.raises(ValueError, match=message):
            small - other
        with pytest.raises(ValueError, match=message):
            nmae(small, other)


def test_only_densities_can_be_subtracted(water_density: Density) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        water_density - 1.0  # type: ignore[operator]


def test_deformation_density_is_what_the_coefficients_say(
    water_density: Density, basis: Basis
) -> None:
    deformation = water_density - water_density.free_atoms()
    points = np.random.default_rng(0).normal(size=(30, 3))
    bare = Density(
        water_density.atoms,
        basis.with_atomic_densities({}),
        water_density.coefficients,
        normalize=False,
    )
    np.testing.assert_allclose(deformation.evaluate(points), bare.evaluate(points), atol=1e-10)
    with pytest.raises(ValueError, match="has no atomic densities: use a basis that has them"):
        bare.free_atoms()


# NMAE --------------------------------------------------------------------------------------


def test_nmae_of_itself_is_zero(water_density: Density) -> None:
    assert nmae(water_density, water_density) == 0.0


@settings(deadline=None, max_examples=5)
@given(factor=st.floats(-0.5, 0.5))
def test_nmae_of_a_scaled_density(basis: Basis, factor: float) -> None:
    """A density f times too large is wrong by 100 |f - 1| percent wherever one looks."""
    total = basis.with_atomic_densities({})
    atoms = Atoms("O")
    coefficients = np.where(total.layout([8]).l == 0, 0.3, 0.0)
    reference = Density(atoms, total, coefficients, normalize=False)
    scaled = Density(atoms, total, (1 + factor) * coefficients, normalize=False)
    assert nmae(scaled, reference) == pytest.approx(100 * abs(factor), abs=1e-6)


def test_nmae_equals_a_sum_on_a_fine_grid(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """Smooth densities, so that a uniform grid is exact enough to judge the quadrature."""
    smooth = small_basis.with_atomic_densities({})
    atoms = molecule("H2O")
    reference = Density(atoms, smooth, np.where(smooth.layout(atoms.numbers).l == 0, 1.0, 0.05))
    density = random_density(atoms, smooth, scale=0.5)
    density = Density(atoms, smooth, reference.coefficients + 0.01 * density.coefficients)
    grid = (density - reference).on_grid(0.15, margin=4.0)
    norm = reference.on_frame(grid).integral
    expected = 100 * np.abs(grid.values).sum() * grid.voxel_volume / norm
    assert nmae(density, reference, level=4) == pytest.approx(expected, rel=0.01)
    # only the norm is another if the reference is a function of points
    by_function = nmae(density, reference.evaluate, level=4)
    assert by_function == pytest.approx(nmae(density, reference, level=4), rel=1e-4)


def test_nmae_of_periodic_densities(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    cell = [[3.0, 0, 0], [0.5, 3.2, 0], [0, 0.3, 3.4]]
    atoms = Atoms("OH", [[0, 0, 0], [0.9, 0.3, 0]], cell=cell, pbc=True)
    first, second = (random_density(atoms, small_basis, seed=seed) for seed in (1, 2))
    grid = (first - second).on_grid(0.25)
    expected = 100 * np.abs(grid.values).sum() * grid.voxel_volume / second.number_of_electrons
    assert nmae(first, second, spacing=0.25) == pytest.approx(expected, rel=1e-9)
    # a function has no closed form for the norm
    expected *= second.number_of_electrons / second.on_grid(0.25).integral
    assert nmae(first, second.evaluate, spacing=0.25) == pytest.approx(expected, rel=1e-9)


def test_nmae_takes_angstrom(basis: Basis) -> None:
    """A reference that is a plain function: one normalised Gaussian on a proton."""
    s_only = Basis.from_shells({"H": [(0, [0.8])]})
    density = Density(Atoms("H"), s_only, [0.0])

    def exact(points: np.ndarray) -> np.ndarray:
        r2 = np.sum(points**2, axis=1) / units.Bohr**2
        return (0.8 / np.pi) ** 1.5 * np.exp(-0.8 * r2) / units.Bohr**3

    assert nmae(density, exact) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("level", [-1, 6, 2.5, "fine"])
def test_bad_level(water_density: Density, level: int) -> None:
    with pytest.raises(ValueError, match=f"level is {level!r}: give 0 .coarse. to 5"):
        nmae(water_density, water_density, level=level)
    with pytest.raises(ValueError, match=f"level is {level!r}: give 0 .coarse. to 5"):
        water_density.charges(level=level)


def test_bad_spacing_of_a_crystal(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    density = random_density(Atoms("O", cell=[3, 3, 3], pbc=True), small_basis)
    with pytest.raises(ValueError, match="spacing is 0: give a positive distance"):
        nmae(density, density, spacing=0)


def test_potential_is_that_of_the_difference(pair: tuple[Density, Density]) -> None:
    first, second = pair
    difference = first - second
    points = np.random.default_rng(0).normal(size=(20, 3))
    expected = first.potential(points) - second.potential(points)
    np.testing.assert_allclose(difference.potential(points), expected, atol=1e-7)
    # nuclei that are in both cancel: it is finite at them, and everywhere on a grid
    assert np.isfinite(difference.potential(first.atoms.positions)).all()
    moved = first.atoms.copy()
    moved.rattle(0.1, seed=0)
    other = Density(moved, first.basis, first.coefficients)
    expected = first.potential(points) - other.potential(points)
    np.testing.assert_allclose((first - other).potential(points), expected, atol=1e-9)
    field = first.electric_field(points) - other.electric_field(points)
    np.testing.assert_allclose((first - other).electric_field(points), field, atol=1e-9)
