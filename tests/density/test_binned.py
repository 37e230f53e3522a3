"""Densities by polynomials in bins of distance, against their sums of Gaussians."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase import Atoms, units

from ase_rholearn import Basis, Density
from ase_rholearn.basis import AtomicDensity
from ase_rholearn.density.evaluation.binned import BinnedDensity

ATOMS = Atoms("OHH", [[0.3, -0.2, 0.1], [1.2, -0.1, 0.3], [0.0, 0.5, 0.75]])


@pytest.fixture(scope="module", params=[0, 1, 4])
def density(request: pytest.FixtureRequest) -> BinnedDensity:
    """Tight and wide functions up to some l, and cores."""
    shells = [(l, [a]) for l in range(request.param + 1) for a in (0.2, 1.5, 30.0)]
    core = AtomicDensity((900.0, 2.0, 0.3), (200.0, 0.5, 0.1))
    basis = Basis.from_shells({"O": shells, "H": shells[:4]}).with_atomic_densities(
        {8: core, 1: AtomicDensity((2.0,), (0.3,))}
    )
    c = np.random.default_rng(0).normal(size=basis.size(ATOMS.numbers))
    return BinnedDensity(basis, ATOMS.numbers, ATOMS.positions / units.Bohr, c)


def points() -> np.ndarray:
    """Near nuclei, among them and far away."""
    random = np.random.default_rng(1)
    centres = (ATOMS.positions / units.Bohr)[random.integers(3, size=3000)]
    directions = random.normal(size=(3000, 3))
    return np.concatenate([centres + directions * 10 ** random.uniform(-4, 1.2, size=(3000, 1))])


def test_values_and_gradients(density: BinnedDensity) -> None:
    rho = Density(ATOMS, density.basis, density.coefficients, normalize=False)
    places = points()
    rows = density.values(places, gradient=True)
    value = rho.evaluate(places * units.Bohr, tolerance=1e-16) * units.Bohr**3
    gradient = rho.gradient(places * units.Bohr, tolerance=1e-16) * units.Bohr**4
    np.testing.assert_allclose(rows[0], value, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rows[1:].T, gradient, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(density.values(places, gradient=False)[0], rows[0], atol=1e-12)


@pytest.mark.parametrize("rows", [1, 4])
def test_derivatives_of_a_sum_over_points(density: BinnedDensity, rows: int) -> None:
    """By points, atoms and coefficients, each along a random direction."""
    random = np.random.default_rng(2)
    # cores would drown everything else in differences
    places = points()
    near = np.linalg.norm(places[:, None] - density.positions, axis=2).min(axis=1) > 0.5
    places = places[near]
    fields = random.normal(size=(rows, len(places)))
    found = density.derivatives(places, fields)

    def total(moved: BinnedDensity, at: np.ndarray) -> float:
        return float((fields * moved.values(at, gradient=rows > 1)).sum())

    step = 1e-5
    cases = []
    shift = random.normal(size=places.shape)
    sums = [total(density, places + s * shift) for s in (step, -step)]
    cases.append((sums, (found.points * shift).sum()))
    for name, gradient in (("positions", found.atoms), ("coefficients", found.coefficients)):
        value = getattr(density, name)
        shift = random.normal(size=value.shape)
        changed = [dataclasses.replace(density, **{name: value + s * shift}) for s in (step, -step)]
        cases.append(([total(one, places) for one in changed], (gradient * shift).sum()))
    for sums, derivative in cases:
        assert derivative == pytest.approx((sums[0] - sums[1]) / (2 * step), rel=1e-5, abs=1e-5)
