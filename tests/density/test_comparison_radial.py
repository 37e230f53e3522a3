"""Spherical averages about atoms and points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from scipy.integrate import cumulative_simpson, lebedev_rule

from ase_rholearn import Basis, Density
from ase_rholearn.density.comparison import radial_profile


def averaged(rho: Density, centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    directions, weights = lebedev_rule(131)
    points = centre + radii[:, None, None] * directions.T
    values = rho.evaluate(points.reshape(-1, 3)).reshape(len(radii), -1)
    return values @ weights / (4 * np.pi)


@pytest.mark.parametrize("centre", [1, [0.2, -0.3, 0.4]])
@pytest.mark.parametrize("pbc", [False, True, (True, False, True)])
def test_average_is_lebedevs(
    small_basis: Basis, random_density: Callable[..., Density], centre: object, pbc: object
) -> None:
    """With functions up to l = 3 on each atom and images that overlap."""
    cell = [[3.1, 0, 0], [0.5, 3.4, 0], [0.3, -0.4, 3.6]]
    atoms = Atoms("OHC", [[0, 0, 0], [0.9, 0.2, 0.1], [1.0, 1.5, 1.2]], cell=cell, pbc=pbc)
    rho = random_density(atoms, small_basis.with_atomic_densities({}))
    radii = np.array([0.0, 1e-7, 0.4, 1.0, 2.1])
    profile = radial_profile(rho, centre, radii)
    point = atoms.positions[centre] if isinstance(centre, int) else np.array(centre)
    np.testing.assert_allclose(profile.density, averaged(rho, point, radii), atol=1e-10)


@pytest.mark.parametrize("centre", [0, [0.2, -0.3, 0.4]])
def test_electrons_are_the_integral(
    small_basis: Basis, random_density: Callable[..., Density], centre: object
) -> None:
    rho = random_density(molecule("CH3OH"), small_basis.with_atomic_densities({}))
    profile = radial_profile(rho, centre, np.linspace(0, 9, 1801))
    expected = cumulative_simpson(profile.distribution, x=profile.radii, initial=0)
    np.testing.assert_allclose(profile.electrons, expected, atol=1e-6)
    assert profile.electrons[-1] == pytest.approx(18, abs=1e-6)


def test_recipe_basis(water_density: Density) -> None:
    """Narrow functions and g functions, from outside."""
    rho = water_density - water_density.free_atoms()
    centre = rho.atoms.positions[0] - [0, 0, 2.0]
    radii = np.array([1.9, 2.03, 2.4])
    # the oxygen is at a pole
    z, weights = np.polynomial.legendre.leggauss(300)
    angle = 2 * np.pi * np.arange(300) / 300
    ring = np.sqrt(1 - z * z)[:, None]
    directions = np.stack(
        np.broadcast_arrays(ring * np.cos(angle), ring * np.sin(angle), z[:, None]), axis=-1
    ).reshape(-1, 3)
    shares = np.repeat(weights, 300) / 600
    expected = [shares @ rho.evaluate(centre + r * directions) for r in radii]
    profile = radial_profile(rho, centre, radii)
    np.testing.assert_allclose(profile.density, expected, atol=1e-7)


def test_all_electrons_are_found_from_far_away(water_density: Density) -> None:
    profile = radial_profile(water_density, [3.0, -4.0, 5.0], [20.0, 30.0])
    np.testing.assert_allclose(profile.electrons, 10, atol=1e-7)


def test_free_atom_is_its_atomic_density(basis: Basis) -> None:
    rho = Density(Atoms("O", [[1, 2, 3]]), basis, np.zeros(basis.size([8])), normalize=False)
    profile = radial_profile(rho, 0)
    free = basis.atomic_densities[8]
    r = profile.radii / units.Bohr
    np.testing.assert_allclose(profile.density, free.value(r) / units.Bohr**3, rtol=1e-12)
    outside = [free.electrons_beyond(x) for x in r]
    np.testing.assert_allclose(profile.electrons, 8 - np.array(outside), atol=1e-12)
    assert profile.radii[[0, -1]].tolist() == [0, 3]


def test_crystal_fills_space(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    """Of a large sphere, the mean density is that of the cell."""
    rho = random_density(Atoms("O", cell=[2.5, 2.5, 2.5], pbc=True), small_basis)
    profile = radial_profile(rho, [0.3, 0.2, 0.1], [0.0, 9.0])
    volume = 4 / 3 * np.pi * 9.0**3
    assert profile.electrons[-1] == pytest.approx(8 / 2.5**3 * volume, rel=0.01)


def test_difference(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    first, second = (random_density(molecule("H2O"), small_basis, seed=s) for s in (1, 2))
    profile = radial_profile(first - second, 1, [0.3, 15.0])
    own = [radial_profile(rho, 1, [0.3, 15.0]) for rho in (first, second)]
    np.testing.assert_allclose(profile.density, own[0].density - own[1].density, atol=1e-12)
    assert profile.electrons[-1] == pytest.approx(0, abs=1e-8)


def test_errors(water_density: Density) -> None:
    with pytest.raises(ValueError, match="centre is 3 but there are 3 atoms: give an index"):
        radial_profile(water_density, 3)
    with pytest.raises(ValueError, match=r"centre is \[0, 1\]: give the index of an atom"):
        radial_profile(water_density, [0, 1])
    for radii in ([-1.0], [[1.0]], [np.nan]):
        with pytest.raises(ValueError, match="give finite lengths in Angstrom, 0 or larger"):
            radial_profile(water_density, 0, radii)
