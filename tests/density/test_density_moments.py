"""Electron count, normalisation, dipole moment."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn import Basis, Density
from ase_rholearn.basis import AtomicDensity
from ase_rholearn.density.evaluation.quadrature import molecular_quadrature


def integrate(
    density: Density, function: Callable[[np.ndarray], np.ndarray], level: int = 5
) -> np.ndarray:
    """Integral of density times function(points), points in Angstrom, on a fine quadrature."""
    total = 0.0
    atoms = density.atoms
    for points, weights in molecular_quadrature(atoms.numbers, atoms.positions / units.Bohr, level):
        angstrom = points * units.Bohr
        values = weights * units.Bohr**3 * density.evaluate(angstrom)
        total = total + values @ function(angstrom)
    return total


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), charge=st.integers(-2, 2))
def test_electron_count_is_exact(basis: Basis, seed: int, charge: int) -> None:
    rng = np.random.default_rng(seed)
    atoms = molecule("CH3OH")
    atoms.info["charge"] = charge
    density = Density(atoms, basis, rng.normal(size=basis.size(atoms.numbers)))
    assert density.number_of_electrons == pytest.approx(18 - charge, abs=1e-8)
    raw = Density(atoms, basis, density.raw_coefficients, normalize=False)
    assert density.normalization == pytest.approx(18 - charge - raw.number_of_electrons)


def test_closed_form_count_and_dipole_equal_quadrature(
    water: Atoms, small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    density = random_density(water, small_basis, normalize=False)
    count = integrate(density, lambda r: np.ones(len(r)))
    assert density.number_of_electrons == pytest.approx(count, abs=1e-5)
    # an unbalanced count makes the dipole depend on the origin: the centre of charge
    origin = water.numbers @ water.positions / 10
    electrons = integrate(density, lambda r: r - origin)
    np.testing.assert_allclose(density.dipole(), -electrons, atol=1e-5)


def test_normalisation_is_the_smallest_step(water: Atoms, basis: Basis) -> None:
    """dc = lambda J^-1 n on each atom: J dc is proportional to n, with one factor for all."""
    rng = np.random.default_rng(1)
    density = Density(water, basis, rng.normal(size=basis.size(water.numbers)))
    step = density.coefficients - density.raw_coefficients
    layout = basis.layout(water.numbers)
    assert not step[layout.l > 0].any()
    factors = []
    for atom, z in enumerate(water.numbers):
        mine = (layout.atom == atom) & (layout.l == 0)
        electrons = basis.electrons(water.numbers)[mine]
        factors.append(basis.radial_metric(int(z), 0, "coulomb") @ step[mine] / electrons)
    factors = np.concatenate(factors)
    np.testing.assert_allclose(factors, factors[0], rtol=1e-6)
    raw = Density(water, basis, density.raw_coefficients, normalize=False)
    assert raw.normalization == 0.0
    assert raw.coefficients is raw.raw_coefficients


def test_normalising_twice_changes_nothing(water_density: Density) -> None:
    again = Density(water_density.atoms, water_density.basis, water_density.coefficients)
    assert again.normalization == pytest.approx(0.0, abs=1e-10)
    np.testing.assert_allclose(again.coefficients, water_density.coefficients, atol=1e-10)


def test_periodic_count_is_that_of_one_cell(
    water: Atoms, small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    water.set_cell([4, 5, 6])
    water.pbc = True
    assert random_density(water, small_basis).number_of_electrons == pytest.approx(10, abs=1e-8)


def test_valence_density_counts_core_charges(water: Atoms, small_basis: Basis) -> None:
    valence = Basis(
        {z: small_basis.shells[z] for z in (1, 8)}, kind="valence", core_charges={1: 1.0, 8: 6.0}
    )
    density = Density(water, valence, np.zeros(valence.size(water.numbers)))
    assert density.number_of_electrons == pytest.approx(8.0, abs=1e-8)
    np.testing.assert_array_equal(density.core_charges, [6.0, 1.0, 1.0])


# dipole ------------------------------------------------------------------------------------


def test_dipole_of_point_like_charges(water: Atoms) -> None:
    """Spherical atoms that carry charges: the dipole is that of the charges."""
    basis = Basis.from_shells({"H": [(0, [1.0])], "O": [(0, [1.0])]})
    holds = basis.electrons([8])[0]
    charges = np.array([-0.7, 0.35, 0.35])
    density = Density(water, basis, (water.numbers - charges) / holds)
    np.testing.assert_allclose(density.dipole(), charges @ water.positions, atol=1e-12)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6), charge=st.integers(-1, 1))
def test_dipole_does_not_depend_on_the_place(basis: Basis, seed: int, charge: int) -> None:
    rng = np.random.default_rng(seed)
    atoms = molecule("CH3OH")
    atoms.info["charge"] = charge
    coefficients = rng.normal(0, 0.3, basis.size(atoms.numbers))
    first = Density(atoms, basis, coefficients).dipole()
    atoms.positions += rng.normal(0, 20, 3)
    second = Density(atoms, basis, coefficients).dipole()
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_dipole_of_an_ion_is_about_the_centre_of_charge(basis: Basis) -> None:
    """A proton beside a hydride: one electron pair on the second atom."""
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 2.0]], info={"charge": -1})
    s_only = Basis.from_shells({"H": [(0, [0.5])]})
    holds = s_only.electrons([1])[0]
    density = Density(atoms, s_only, [0.0, 3.0 / holds], normalize=False)
    # nuclei +1, +1, electrons -3 at the second; origin in the middle
    np.testing.assert_allclose(density.dipole(), [0, 0, 1 * (-1) - 2 * 1], atol=1e-12)


def test_dipole_refuses_periods(
    water: Atoms, small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    water.set_cell([9, 9, 9])
    water.pbc = [True, False, False]
    density = random_density(water, small_basis)
    message = r"atoms.pbc is \[True, False, False\]: .* set pbc=False if this is a molecule"
    with pytest.raises(ValueError, match=message):
        density.dipole()


# quadrature --------------------------------------------------------------------------------


def test_quadrature_improves_with_the_level(basis: Basis) -> None:
    atoms = molecule("CH3OH")
    density = Density(atoms, basis, np.zeros(basis.size(atoms.numbers)))
    errors = [
        abs(integrate(density, lambda r: np.ones(len(r)), level) - density.number_of_electrons)
        for level in (0, 3, 5)
    ]
    assert errors[1] < 6e-4
    assert errors[2] < 6e-5
    assert errors[0] > errors[1] > errors[2]


def test_quadrature_integrates_one_gaussian() -> None:
    exact = AtomicDensity((1.3,), (1.0,))
    ((points, weights),) = molecular_quadrature(np.array([8]), np.zeros((1, 3)), 3)
    value = weights @ exact.value(np.linalg.norm(points, axis=1))
    assert value == pytest.approx(exact.number_of_electrons, rel=1e-10)
