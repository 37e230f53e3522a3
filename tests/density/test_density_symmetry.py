"""Rotation, inversion, permutation, translation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

from ase_rholearn import Basis, Density
from ase_rholearn.basis import solid_harmonics


def harmonic_rotation(matrix: np.ndarray, l: int) -> np.ndarray:
    """D with S_l(R v) = D S_l(v), fitted at random points."""
    v = np.random.default_rng(0).normal(size=(60, 3))

    def harmonics(points: np.ndarray) -> np.ndarray:
        return solid_harmonics(torch.from_numpy(points), l).numpy()[:, l * l :]

    return np.linalg.lstsq(harmonics(v), harmonics(v @ matrix.T), rcond=None)[0].T


def rotated(density: Density, matrix: np.ndarray) -> Density:
    """The same density turned as a whole: atoms and coefficients."""
    atoms = density.atoms.copy()
    atoms.positions = atoms.positions @ matrix.T
    atoms.set_cell(atoms.cell.array @ matrix.T)
    turned = []
    start = 0
    for z in atoms.numbers:
        for shell in density.basis.shells[int(z)]:
            stop = start + 2 * shell.l + 1
            # D is orthogonal: the coefficients turn as the functions do
            turned.append(harmonic_rotation(matrix, shell.l) @ density.coefficients[start:stop])
            start = stop
    return Density(atoms, density.basis, np.concatenate(turned))


@pytest.fixture(params=["rotation", "rotation and inversion"])
def matrix(request: pytest.FixtureRequest) -> np.ndarray:
    sign = 1.0 if request.param == "rotation" else -1.0
    return sign * Rotation.random(rng=np.random.default_rng(5)).as_matrix()


@pytest.mark.parametrize("periodic", [False, True])
def test_rotated_density_at_rotated_points(
    periodic: bool,
    matrix: np.ndarray,
    small_basis: Basis,
    random_density: Callable[..., Density],
) -> None:
    atoms = molecule("CH3OH")
    if periodic:
        atoms.set_cell([[4.0, 0, 0], [0.5, 4.2, 0], [0.3, -0.4, 3.9]])
        atoms.pbc = (True, True, False)
    density = random_density(atoms, small_basis)
    other = rotated(density, matrix)
    points = np.random.default_rng(1).normal(0, 2, (200, 3))
    first, second = density.evaluate(points), other.evaluate(points @ matrix.T)
    np.testing.assert_allclose(second, first, atol=1e-10)
    slopes = density.gradient(points) @ matrix.T
    np.testing.assert_allclose(other.gradient(points @ matrix.T), slopes, atol=1e-9)
    if not periodic:
        np.testing.assert_allclose(other.dipole(), matrix @ density.dipole(), atol=1e-10)


def test_recipe_basis_turns_too(water_density: Density, matrix: np.ndarray) -> None:
    """Up to l = 4 and with tight functions."""
    points = water_density.atoms.positions[[0, 1, 2] * 20]
    points = points + np.random.default_rng(2).normal(0, 0.8, points.shape)
    turned = rotated(water_density, matrix).evaluate(points @ matrix.T)
    np.testing.assert_allclose(turned, water_density.evaluate(points), rtol=1e-10, atol=1e-10)


def test_permutation_of_atoms(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    density = random_density(molecule("CH3OH"), small_basis)
    order = np.random.default_rng(0).permutation(len(density.atoms))
    offsets = small_basis.offsets(density.atoms.numbers)
    parts = [density.coefficients[offsets[a] : offsets[a + 1]] for a in order]
    other = Density(density.atoms[order], small_basis, np.concatenate(parts))
    points = np.random.default_rng(1).normal(0, 2, (100, 3))
    np.testing.assert_allclose(other.evaluate(points), density.evaluate(points), atol=1e-12)
    np.testing.assert_allclose(other.dipole(), density.dipole(), atol=1e-12)
    np.testing.assert_allclose(other.charges(), density.charges()[order], atol=1e-10)


def test_translation_moves_the_density(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    atoms = molecule("CH3OH")
    density = random_density(atoms, small_basis)
    shift = np.array([3.0, -4.0, 11.0])
    atoms.positions += shift
    moved = random_density(atoms, small_basis)
    points = np.random.default_rng(1).normal(0, 2, (100, 3))
    np.testing.assert_allclose(moved.evaluate(points + shift), density.evaluate(points), atol=1e-11)
    first, second = density.on_grid(0.4), moved.on_grid(0.4)
    np.testing.assert_allclose(second.origin - first.origin, shift, atol=1e-12)
    np.testing.assert_allclose(second.values, first.values, atol=1e-9)


def test_lattice_vectors_change_nothing(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    cell = np.array([[4.0, 0, 0], [0.5, 4.2, 0], [0.3, -0.4, 3.9]])
    atoms = Atoms("OHC", [[0, 0, 0], [1.0, 0.2, 0], [1.9, 2.0, 2.2]], cell=cell, pbc=True)
    density = random_density(atoms, small_basis)
    atoms.positions += np.array([[1, 0, -2], [0, 3, 0], [-1, 1, 1]]) @ cell
    moved = random_density(atoms, small_basis)
    points = np.random.default_rng(1).uniform(-5, 5, (100, 3))
    np.testing.assert_allclose(moved.evaluate(points), density.evaluate(points), atol=1e-10)
    beyond = points + np.array([2, -3, 1]) @ cell
    np.testing.assert_allclose(density.evaluate(beyond), density.evaluate(points), atol=1e-10)
    np.testing.assert_allclose(moved.charges(), density.charges(), atol=1e-8)


def test_supercell_repeats_the_density(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    atoms = Atoms("OH", [[0, 0, 0], [1.0, 0.2, 0]], cell=[3.0, 3.5, 4.0], pbc=True)
    density = random_density(atoms, small_basis)
    twice = Density(atoms.repeat((2, 1, 2)), small_basis, np.tile(density.coefficients, 4))
    small, large = density.on_grid(shape=(6, 7, 8)), twice.on_grid(shape=(12, 7, 16))
    np.testing.assert_allclose(large.values, np.tile(small.values, (2, 1, 2)), atol=1e-10)
    assert twice.number_of_electrons == pytest.approx(4 * density.number_of_electrons)
