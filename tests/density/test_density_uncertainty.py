"""Propagated uncertainties against ensembles of densities, dense algebra and symmetry."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from scipy.spatial.transform import Rotation

from ase_rholearn.basis import AtomicDensity, Basis, radial_transform
from ase_rholearn.density import Density
from ase_rholearn.density.uncertainty import DensityUncertainty


@pytest.fixture(scope="module")
def basis() -> Basis:
    plain = Basis.from_shells(
        {
            "H": [(0, [2.0, 0.5]), (1, [0.8])],
            "O": [(0, [3.0, 1.1, 0.4]), (1, [0.9, 0.3]), (2, [1.3, 0.5])],
        }
    )
    free = {z: AtomicDensity((0.6,), (z * (0.6 / np.pi) ** 1.5,)) for z in (1, 8)}
    return plain.with_atomic_densities(free)


def variances_of(basis: Basis, numbers: np.ndarray, seed: int = 0) -> np.ndarray:
    """One number for each function, the same for all m."""
    layout = basis.layout(numbers)
    first = layout.m == -layout.l
    drawn = np.random.default_rng(seed).uniform(1e-6, 1e-4, first.sum())
    return np.repeat(drawn, 2 * layout.l[first] + 1)


@pytest.fixture(scope="module", params=[True, False], ids=["normalized", "raw"])
def uncertain(basis, request) -> DensityUncertainty:
    atoms = molecule("H2O")
    coefficients = np.random.default_rng(1).normal(0, 0.05, basis.size(atoms.numbers))
    rho = Density(atoms, basis, coefficients, normalize=request.param)
    return DensityUncertainty(rho, variances_of(basis, atoms.numbers))


POINTS = np.random.default_rng(2).uniform(-1.5, 1.5, (12, 3))


def responses(uncertain: DensityUncertainty, function) -> np.ndarray:
    """Change of a linear function for each orthonormal coefficient's standard deviation."""
    rho, basis = uncertain.rho, uncertain.rho.basis
    layout = basis.layout(rho.atoms.numbers)
    rows = []
    for k, variance in enumerate(uncertain.variances):
        atom, l, n, m = (column[k] for column in layout)
        transform = radial_transform(basis, int(rho.atoms.numbers[atom]), int(l), "overlap")
        step = np.zeros(len(layout.l))
        same = (layout.atom == atom) & (layout.l == l) & (layout.m == m)
        step[same] = np.sqrt(variance) * transform[:, n]
        changed = Density(
            rho.atoms, basis, rho.raw_coefficients + step, normalize=rho.is_normalized
        )
        rows.append(function(changed) - function(rho))
    return np.array(rows)


def test_variances_add_up_over_functions(uncertain):
    """Every coefficient is moved by its standard deviation, one at a time."""
    moved = responses(uncertain, lambda rho: rho.evaluate(POINTS))
    expected = np.sqrt((moved**2).sum(axis=0))
    np.testing.assert_allclose(uncertain.evaluate(POINTS), expected, rtol=2e-5)
    moved = responses(uncertain, lambda rho: rho.dipole())
    np.testing.assert_allclose(uncertain.dipole_covariance(), moved.T @ moved, rtol=1e-9)
    np.testing.assert_allclose(uncertain.dipole(), np.sqrt((moved**2).sum(axis=0)), rtol=1e-9)
    moved = responses(uncertain, lambda rho: rho.coefficients)
    np.testing.assert_allclose(
        uncertain.coefficients(), np.sqrt((moved**2).sum(axis=0)), rtol=1e-9, atol=1e-12
    )


def test_draws_have_the_predicted_spread(uncertain):
    drawn = uncertain.draw(400, seed=3)
    assert len({rho.coefficients[0] for rho in drawn}) == 400
    spread = np.std([rho.evaluate(POINTS) for rho in drawn], axis=0)
    np.testing.assert_allclose(spread, uncertain.evaluate(POINTS), rtol=0.15)
    spread = np.std([rho.dipole() for rho in drawn], axis=0)
    np.testing.assert_allclose(spread, uncertain.dipole(), rtol=0.15)
    electrons = np.std([rho.number_of_electrons for rho in drawn])
    assert (electrons < 1e-12) == uncertain.rho.is_normalized
    mean = np.mean([rho.dipole() for rho in drawn], axis=0)
    assert np.abs(mean - uncertain.rho.dipole()).max() < 5 * uncertain.dipole().max() / 20
    assert np.array_equal(uncertain.draw(1, seed=3)[0].coefficients, drawn[0].coefficients)


def test_charges_vary_as_a_linear_response(uncertain):
    """Hirshfeld charges are linear in the coefficients."""
    if not uncertain.rho.is_normalized:
        pytest.skip("charges add up for corrected densities only")
    moved = responses(uncertain, lambda rho: rho.charges(level=0))
    expected = np.sqrt((moved**2).sum(axis=0))
    found = uncertain.charges(draws=64, level=0)
    np.testing.assert_allclose(found, expected, rtol=0.35)


def test_grid_is_that_of_the_density(uncertain):
    grid = uncertain.on_grid(0.7, 1.0)
    assert grid.shape == uncertain.rho.frame(0.7, 1.0).shape
    expected = uncertain.evaluate(grid.points().reshape(-1, 3)).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, expected, rtol=1e-6, atol=1e-12)


def test_rotation_and_translation(basis):
    atoms = molecule("H2O")
    variances = variances_of(basis, atoms.numbers)
    turn = Rotation.random(rng=4).as_matrix()
    turned = Atoms(atoms.numbers, atoms.positions @ turn.T + 3.0)
    zero = np.zeros(len(variances))
    first = DensityUncertainty(Density(atoms, basis, zero), variances)
    second = DensityUncertainty(Density(turned, basis, zero), variances)
    np.testing.assert_allclose(
        first.evaluate(POINTS), second.evaluate(POINTS @ turn.T + 3.0), rtol=1e-6
    )
    np.testing.assert_allclose(
        turn @ first.dipole_covariance() @ turn.T, second.dipole_covariance(), atol=1e-12
    )


def test_periodic_structures_have_their_images(basis):
    """In a large cell the molecule alone; the values repeat with the cell."""
    atoms = molecule("H2O", vacuum=8.0)
    variances = variances_of(basis, atoms.numbers)
    crystal = atoms.copy()
    crystal.pbc = True
    zero = np.zeros(len(variances))
    alone = DensityUncertainty(Density(atoms, basis, zero), variances)
    periodic = DensityUncertainty(Density(crystal, basis, zero), variances)
    points = atoms.positions.mean(axis=0) + POINTS
    np.testing.assert_allclose(alone.evaluate(points), periodic.evaluate(points), rtol=1e-8)
    moved = points + atoms.cell.array[0] - atoms.cell.array[2]
    np.testing.assert_allclose(periodic.evaluate(moved), periodic.evaluate(points), rtol=1e-8)
    with pytest.raises(ValueError, match="periodic"):
        periodic.dipole()


def test_bad_variances_are_refused(basis):
    atoms = molecule("H2O")
    rho = Density(atoms, basis, np.zeros(basis.size(atoms.numbers)))
    good = variances_of(basis, atoms.numbers)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        DensityUncertainty(rho, good[:3])
    with pytest.raises(ValueError, match="negative"):
        DensityUncertainty(rho, -good)
    uneven = good.copy()
    uneven[-1] *= 2
    with pytest.raises(ValueError, match="components m"):
        DensityUncertainty(rho, uneven)
    uncertain = DensityUncertainty(rho, good)
    with pytest.raises(ValueError, match="draws is 1"):
        uncertain.charges(draws=1)
    with pytest.raises(ValueError, match="count is 0"):
        uncertain.draw(0)


def test_one_function_in_closed_form():
    """The standard deviation of a single Gaussian is its own shape."""
    basis = Basis.from_shells({"H": [(0, [1.0])]})
    rho = Density(Atoms("H"), basis, [0.0], normalize=False)
    r = np.array([0.0, 0.4, 1.1])
    points = np.column_stack([r, 0 * r, 0 * r])
    expected = 0.2 * (2 / np.pi) ** 0.75 * np.exp(-((r / units.Bohr) ** 2)) / units.Bohr**3
    found = DensityUncertainty(rho, [0.04]).evaluate(points)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
