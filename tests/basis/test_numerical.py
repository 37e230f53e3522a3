"""Tables as radial functions: interpolation, integrals, round trips, refusals."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from ase_rholearn.basis import (
    AtomicDensity,
    Basis,
    NumericalAtomicDensity,
    NumericalShell,
    Shell,
    harmonic_rows,
    solid_harmonics,
)
from ase_rholearn.basis.coulomb import coulomb_matrix

#: The ratio of neighbouring radii in FHI-aims' meshes.
MESH = 1e-4 * 1.0123 ** np.arange(980)
UNIFORM = np.linspace(0.0, 12.0, 1201)
SQUARES = 14.0 * np.linspace(0.02, 1.0, 400) ** 2


def sampled(shell: Shell, r: np.ndarray = MESH) -> NumericalShell:
    return NumericalShell(shell.l, r, shell.radial(r))


def slater(l: int, zeta: float, r: np.ndarray = MESH) -> NumericalShell:
    """A function with a cusp, which ends at 8 bohr."""
    return NumericalShell(l, r, r**l * np.exp(-zeta * r) * np.maximum(0.0, 1 - (r / 8) ** 2) ** 4)


@pytest.mark.parametrize("r", [MESH, UNIFORM, SQUARES], ids=["logarithmic", "uniform", "squares"])
@pytest.mark.parametrize(("l", "a"), [(0, 0.5), (0, 4.0), (1, 0.7), (3, 2.0), (6, 1.0)])
def test_a_sampled_gaussian_is_itself_again(r: np.ndarray, l: int, a: float) -> None:
    shell = Shell.normalized(l, [a])
    table = sampled(shell, r)
    d = shell.coefficients[0]
    x = np.linspace(0.0, 9.0, 3001)
    decay = d * np.exp(-a * x * x)
    first = -2 * a * x ** (l + 1) + (l * x ** (l - 1) if l > 0 else 0.0)
    second = 4 * a * a * x ** (l + 2) - 2 * a * (2 * l + 1) * x**l
    second += l * (l - 1) * x ** max(l - 2, 0)
    for order, expected in enumerate((x**l * decay, first * decay, second * decay)):
        tolerance = (2e-9, 2e-7, 2e-5)[order] * np.abs(expected).max()
        np.testing.assert_allclose(table.radial(x, order), expected, rtol=0, atol=tolerance)


def test_the_values_of_the_file_are_kept() -> None:
    table = slater(1, 2.0)
    np.testing.assert_allclose(table.radial(MESH), table.values, rtol=0, atol=1e-13)
    assert table.r == tuple(MESH.tolist())


@given(st.floats(0, 3), st.integers(0, 4), st.floats(0.8, 6.0))
@settings(deadline=None, max_examples=10)
def test_zero_beyond_the_cutoff(beyond: float, l: int, zeta: float) -> None:
    table = slater(l, zeta)
    # the mesh goes on behind 8 bohr, with zeros
    assert 8.0 <= table.cutoff < 8.11
    assert table.radial(np.array(table.cutoff + 1e-9 + beyond)) == 0.0


@pytest.mark.parametrize("l", [0, 2])
def test_moments_equal_quadrature(l: int) -> None:
    table = slater(l, 3.0)
    for power in (2, 3, 4):
        expected, _ = quad(
            lambda r, p=power: r ** (l + p) * np.exp(-3 * r) * (1 - r * r / 64) ** 4, 0, 8
        )
        assert table.moment(power) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", ["overlap", "coulomb"])
@pytest.mark.parametrize("l", [0, 1, 4])
def test_metrics_of_tables_mixtures_and_gaussians_agree(l: int, metric: str) -> None:
    shells = [Shell.normalized(l, [a]) for a in (20.0, 3.0, 0.4)]
    tables = [sampled(shell) for shell in shells]
    expected = Basis({1: shells}).radial_metric(1, l, metric)
    for mixture in (tables, [shells[0], *tables[1:]], [tables[0], *shells[1:]]):
        matrix = Basis({1: mixture}).radial_metric(1, l, metric)
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_coulomb_metric_of_a_known_charge() -> None:
    """Slater's 1s density: self-interaction 5 zeta / 8 for zeta = 1 of exp(-2 zeta r)."""
    r = 1e-5 * 1.0123 ** np.arange(1190)
    density = NumericalShell(0, r, np.sqrt(4 * np.pi) * np.exp(-2 * r) / np.pi)
    basis = Basis({1: (density,)})
    assert basis.electrons([1])[0] == pytest.approx(1.0, abs=1e-8)
    assert basis.radial_metric(1, 0, "coulomb")[0, 0] == pytest.approx(0.625, abs=1e-8)


def test_electrons_and_dipoles_are_those_of_the_gaussians() -> None:
    shells = (Shell.normalized(0, [2.0, 0.3], [0.5, 0.5]), Shell.normalized(1, [0.6]))
    gaussian, table = Basis({6: shells}), Basis({6: tuple(map(sampled, shells))})
    np.testing.assert_allclose(table.electrons([6]), gaussian.electrons([6]), atol=1e-9)
    np.testing.assert_allclose(table.dipoles([6]), gaussian.dipoles([6]), atol=1e-9)


def test_layout_does_not_care() -> None:
    shells = tuple(Shell.normalized(l, [1.0 + k]) for l in (0, 1, 2) for k in range(2))
    mixed = tuple(sampled(s) if k % 2 else s for k, s in enumerate(shells))
    for own, other in zip(
        Basis({1: shells}).layout([1, 1]), Basis({1: mixed}).layout([1, 1]), strict=True
    ):
        np.testing.assert_array_equal(own, other)


def test_atomic_density() -> None:
    gaussian = AtomicDensity((90.0, 0.9), (100.0, 0.8))
    table = NumericalAtomicDensity(MESH, gaussian.value(MESH))
    assert table.number_of_electrons == pytest.approx(gaussian.number_of_electrons, abs=1e-9)
    assert table.moment(3) == pytest.approx(gaussian.moment(3), abs=1e-8)
    r = np.linspace(0, 5, 101).reshape(-1, 1)
    np.testing.assert_allclose(table.value(r), gaussian.value(r), atol=1e-8)
    assert table.value(np.array([50.0]))[0] == 0.0


def test_rows_of_harmonics() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 3))
    expected = solid_harmonics(torch.from_numpy(vectors), 8).numpy().T
    np.testing.assert_allclose(harmonic_rows(vectors, 8), expected, rtol=1e-12, atol=1e-12)


# representation --------------------------------------------------------------------

finite = st.floats(-1e3, 1e3, allow_subnormal=False)


@st.composite
def bases(draw: st.DrawFn) -> Basis:
    """Tables of any numbers, alone or between Gaussians, with and without free atoms."""
    shells, densities = {}, {}
    for z in draw(st.lists(st.integers(1, 92), min_size=1, max_size=2, unique=True)):
        steps = draw(st.lists(st.floats(1e-3, 2.0), min_size=12, max_size=14))
        r = np.cumsum(steps)
        functions: list[Any] = []
        for l in sorted(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))):
            values = draw(st.lists(finite, min_size=len(r) - 1, max_size=len(r) - 1))
            values[0] = 1.0
            table = NumericalShell(l, r, [*values, 0.0])
            functions.append(table if draw(st.booleans()) else Shell.normalized(l, [1.0]))
        shells[z] = tuple(functions)
        densities[z] = NumericalAtomicDensity(r, [*np.abs(values), 0.0])
    return Basis(shells, densities if draw(st.booleans()) else {})


@given(bases())
@settings(deadline=None, max_examples=30)
def test_json_and_pickle_round_trips_are_bitwise(basis: Basis) -> None:
    assert Basis.from_json(basis.to_json()) == basis
    assert pickle.loads(pickle.dumps(basis)) == basis
    assert hash(basis.shells[basis.species[0]]) == hash(
        Basis.from_dict(basis.to_dict()).shells[basis.species[0]]
    )


def test_gaussian_bases_keep_the_schema_that_earlier_versions_read() -> None:
    shell = Shell.normalized(0, [1.0])
    assert Basis({1: (shell,)}).to_dict()["schema"] == 1
    assert Basis({1: (sampled(shell),)}).to_dict()["schema"] == 2


# refusals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("l", "r", "values", "message"),
    [
        (-1, MESH, np.exp(-MESH * 3), "l is -1"),
        (0, MESH[::-1], np.exp(-MESH), "not ascending"),
        (0, MESH - 1.0, np.exp(-MESH), "not ascending from zero"),
        (0, MESH, np.exp(-MESH[1:]), "one value for each radius"),
        (0, MESH[:9], np.exp(-MESH[:9]), "9 radii: give at least 10"),
        (0, MESH, np.full(980, np.nan), "NaN"),
        (0, MESH, np.zeros(980), "all zero"),
        (0, MESH, np.exp(-0.5 * MESH), "ends at r = 15.7"),
    ],
)
def test_wrong_tables_are_refused(l: int, r: Any, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NumericalShell(l, r, values)


def test_an_atomic_density_that_is_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="give the whole atom"):
        NumericalAtomicDensity(MESH, np.exp(-0.2 * MESH))


def test_what_needs_gaussians_says_so() -> None:
    basis = Basis({1: (sampled(Shell.normalized(0, [1.0])),)})
    with pytest.raises(ValueError, match="coulomb_matrix needs Gaussians; use a basis"):
        coulomb_matrix(basis, np.array([1]), np.zeros((1, 3)))
