"""Spherical densities of free atoms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from ase_rholearn.basis import AtomicDensity


def electrons_between(density: AtomicDensity, low: float, high: float) -> float:
    value, _ = quad(lambda r: 4 * np.pi * r * r * float(density.value(r)), low, high, limit=400)
    return value


@pytest.fixture
def neon_like() -> AtomicDensity:
    return AtomicDensity((90.0, 4.0, 0.6), (300.0, 8.0, 0.5))


def test_electron_count_equals_quadrature(neon_like: AtomicDensity) -> None:
    expected = electrons_between(neon_like, 0, 15)
    assert neon_like.number_of_electrons == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("radius", [0.0, 0.3, 2.0])
def test_tail_equals_quadrature(neon_like: AtomicDensity, radius: float) -> None:
    expected = electrons_between(neon_like, radius, 15)
    assert neon_like.electrons_beyond(radius) == pytest.approx(expected, rel=1e-9)


def test_fit_recovers_a_density_and_its_count() -> None:
    truth = AtomicDensity((8.0, 2.0, 0.5), (3.0, 1.0, 0.2))
    r = np.geomspace(1e-5, 15, 3000)
    fitted = AtomicDensity.fit(r, truth.value(r), truth.number_of_electrons, truth.exponents)
    np.testing.assert_allclose(fitted.amplitudes, truth.amplitudes, rtol=1e-8)
    # the count is imposed, also where the mesh or the exponents cannot give it
    forced = AtomicDensity.fit(r, truth.value(r), 7.25, [1.0, 3.0])
    assert forced.number_of_electrons == pytest.approx(7.25, abs=1e-12)


def test_fit_of_a_slater_density_is_good() -> None:
    # the cusp of exp(-2 r) (hydrogen) by an even-tempered ladder
    r = np.geomspace(1e-6, 30, 4000)
    exact = np.exp(-2 * r) / np.pi
    fitted = AtomicDensity.fit(r, exact, 1.0, np.geomspace(0.1, 2000, 18))
    lost, _ = quad(
        lambda x: 4 * np.pi * x**2 * abs(float(fitted.value(x)) - np.exp(-2 * x) / np.pi),
        0,
        20,
        limit=400,
    )
    assert lost < 1e-4


def test_dictionary_round_trip_is_bitwise(neon_like: AtomicDensity) -> None:
    assert AtomicDensity.from_dict(neon_like.to_dict()) == neon_like


@pytest.mark.parametrize(
    ("a", "amplitudes", "message"),
    [
        ((1.0,), (), "got 1 exponents and 0 amplitudes"),
        ((0.0,), (1.0,), r"exponents are \(0.0,\): give positive numbers"),
        ((1.0,), (float("inf"),), r"amplitudes are \(inf,\): give finite numbers"),
    ],
)
def test_bad_densities(a: tuple[float, ...], amplitudes: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AtomicDensity(a, amplitudes)
