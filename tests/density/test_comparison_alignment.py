"""Superposition of molecules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from scipy.spatial.transform import Rotation

from ase_rholearn import Basis, Density
from ase_rholearn.basis import Shell
from ase_rholearn.density.comparison import align, similarity, transformed

MATRIX = Rotation.random(rng=np.random.default_rng(3)).as_matrix()


@pytest.fixture(scope="module")
def lean(small_basis: Basis) -> Basis:
    """Few functions on cores and valence shells, so that tests are quick."""
    shells = {
        z: (Shell.normalized(0, [0.6]), Shell.normalized(1, [0.8]), Shell.normalized(2, [0.9]))
        for z in (1, 6, 8)
    }
    return Basis(shells, small_basis.atomic_densities)


def hydrogen_peroxide(lean: Basis) -> Density:
    """A chiral molecule; some of each function, the same on atoms that are the same."""
    atoms = molecule("H2O2")
    layout = lean.layout(atoms.numbers)
    return Density(atoms, lean, np.where(layout.l == 0, 0.1, 0.0))


def permuted(rho: Density, order: list[int]) -> Density:
    offsets = rho.basis.offsets(rho.atoms.numbers)
    parts = [rho.raw_coefficients[offsets[k] : offsets[k + 1]] for k in order]
    return Density(rho.atoms[order], rho.basis, np.concatenate(parts))


@pytest.mark.parametrize("sign", [1, -1])
def test_transformed_density(
    lean: Basis, random_density: Callable[..., Density], sign: int
) -> None:
    atoms = Atoms("OH", [[0, 0, 0], [0.9, 0.2, 0]], cell=[3, 3.2, 3.4], pbc=[True, True, False])
    rho = random_density(atoms, lean)
    shift = np.array([0.3, -0.2, 1.0])
    moved = transformed(rho, sign * MATRIX, shift)
    points = np.random.default_rng(1).normal(0, 2, (50, 3))
    expected = rho.evaluate(points)
    found = moved.evaluate(sign * points @ MATRIX.T + shift)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    back = transformed(moved, sign * MATRIX.T, -sign * shift @ MATRIX)
    np.testing.assert_allclose(back.raw_coefficients, rho.raw_coefficients, atol=1e-12)
    assert moved.normalization == pytest.approx(rho.normalization, abs=1e-10)
    bare = Density(atoms, lean, rho.raw_coefficients, normalize=False)
    assert transformed(bare, MATRIX).normalization == 0


@pytest.mark.parametrize(("name", "operator"), [("H2CO", "overlap"), ("CO2", "coulomb")])
def test_turned_moved_permuted_copy(
    lean: Basis, random_density: Callable[..., Density], name: str, operator: str
) -> None:
    """Of molecules without any symmetry in their coefficients, a line among them."""
    rho = random_density(molecule(name), lean, scale=0.1)
    order = np.random.default_rng(0).permutation(len(rho.atoms)).tolist()
    other = permuted(transformed(rho, MATRIX, [3.0, -2.0, 1.0]), order)
    found = align(other, rho, operator=operator)
    assert found.similarity == pytest.approx(1, abs=1e-6)
    places = other.atoms.positions @ found.rotation.T + found.translation
    np.testing.assert_allclose(places, rho.atoms.positions[order], atol=1e-3)
    np.testing.assert_allclose(found.density.atoms.positions, places, atol=1e-12)
    again = similarity(found.density, rho, operator=operator)
    assert found.similarity == pytest.approx(again, abs=1e-10)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(3), atol=1e-10)


def test_enantiomers(lean: Basis) -> None:
    rho = hydrogen_peroxide(lean)
    mirrored = transformed(rho, -MATRIX, [1.0, 0.0, 0.0])
    proper = align(mirrored, rho)
    assert proper.similarity < 1 - 1e-5
    assert np.linalg.det(proper.rotation) == pytest.approx(1)
    inverted = align(mirrored, rho, inversion=True, index="hodgkin")
    assert inverted.similarity == pytest.approx(1, abs=1e-6)
    assert np.linalg.det(inverted.rotation) == pytest.approx(-1)


def test_different_molecules(lean: Basis, random_density: Callable[..., Density]) -> None:
    """Better than where they were, and a maximum."""
    monoxide, water = (random_density(molecule(name), lean, scale=0.05) for name in ("CO", "H2O"))
    found = align(water, monoxide, operator="coulomb")
    assert similarity(water, monoxide, operator="coulomb") < found.similarity < 1
    rng = np.random.default_rng(0)
    for _ in range(4):
        turn = Rotation.from_rotvec(rng.normal(0, 0.03, 3)).as_matrix()
        nearby = transformed(found.density, turn, rng.normal(0, 0.03, 3))
        assert similarity(nearby, monoxide, operator="coulomb") < found.similarity


def test_single_atoms(lean: Basis) -> None:
    one, other = (Density(Atoms("O", [p]), lean, [0.1] + [0.0] * 8) for p in ([0, 0, 0], [1, 2, 3]))
    found = align(one, other)
    assert found.similarity == pytest.approx(1, abs=1e-10)
    np.testing.assert_allclose(found.density.atoms.positions, [[1, 2, 3]], atol=1e-6)


def test_errors(lean: Basis) -> None:
    rho = hydrogen_peroxide(lean)
    with pytest.raises(ValueError, match=r"(?s)rotation is .* give an orthogonal matrix"):
        transformed(rho, 2 * MATRIX)
    with pytest.raises(ValueError, match=r"translation is .* give three finite numbers"):
        transformed(rho, MATRIX, [0.0, np.nan, 0.0])
    atoms = rho.atoms.copy()
    atoms.set_cell([9, 9, 9])
    atoms.pbc = True
    crystal = Density(atoms, lean, rho.raw_coefficients)
    with pytest.raises(ValueError, match=r"target.* only molecules can be superposed"):
        align(rho, crystal)
    with pytest.raises(ValueError, match="operator is 'x'"):
        align(rho, rho, operator="x")
