"""How electrons fill the bands of a crystal."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ase_rholearn.scf.crystals.kpoints import sampled
from ase_rholearn.scf.crystals.occupations import band_gap, occupy

ENERGIES = arrays(float, (4, 5), elements=st.floats(-10, 10))
WEIGHTS = np.array([0.5, 0.25, 0.125, 0.125])


@settings(deadline=None)
@given(ENERGIES, st.integers(1, 9), st.sampled_from([0.0, 0.05, 1.0]))
def test_electrons_are_counted(energies: np.ndarray, electrons: int, width: float) -> None:
    """The right number, from 0 to 2 in each band, and never more in a higher one."""
    energies = np.sort(energies, axis=1)
    found = occupy(energies, WEIGHTS, electrons, width)
    assert WEIGHTS @ found.values.sum(axis=1) == pytest.approx(electrons, abs=1e-8)
    assert found.values.min() >= 0
    assert found.values.max() <= 2 + 1e-12
    order = np.argsort(energies, axis=None)
    assert np.diff(found.values.ravel()[order]).max() < 1e-8
    assert found.entropy >= 0


def test_little_smearing_is_none() -> None:
    energies = np.sort(np.random.default_rng(0).normal(size=(4, 5)), axis=1)
    for electrons in range(1, 10):
        sharp = occupy(energies, WEIGHTS, electrons, 0.0)
        smooth = occupy(energies, WEIGHTS, electrons, 1e-5)
        np.testing.assert_allclose(sharp.values, smooth.values, atol=1e-3)


def test_fermi_level_of_insulators_and_metals() -> None:
    bands = np.array([[0.0, 1.0], [0.2, 1.5]])
    half = np.array([0.5, 0.5])
    insulator = occupy(bands, half, 2, 0.0)
    assert insulator.fermi_level == pytest.approx(0.6)
    assert band_gap(bands, 2) == pytest.approx(0.8)
    # an odd electron: at one point a full band, at the other none
    odd = occupy(bands, half, 1, 0.0)
    np.testing.assert_allclose(odd.values, [[2, 0], [0, 0]])
    assert band_gap(bands, 1) == 0
    crossing = np.array([[0.0, 0.1], [0.2, 1.5]])
    assert band_gap(crossing, 2) == 0
    # degenerate states share
    same = np.array([[0.0, 1.0], [0.0, 1.0]])
    shared = occupy(same, half, 1, 0.0)
    np.testing.assert_allclose(shared.values, [[1, 0], [1, 0]])
    assert shared.fermi_level == 0
    full = occupy(bands, half, 4, 0.0)
    assert full.fermi_level == 1.5
    assert np.isnan(band_gap(bands, 4))
    with pytest.raises(ValueError, match="5 electrons do not fit into 2 bands"):
        occupy(bands, half, 5, 0.0)


def test_sampled_points() -> None:
    silicon = bulk("Si")
    for size in ((1, 1, 1), (2, 2, 2), (3, 2, 1), (4, 4, 4)):
        points, weights = sampled(size, silicon)
        assert weights.sum() == pytest.approx(1)
        assert np.abs(points).sum(axis=1).min() == 0  # Gamma
        # with their opposites all of the mesh, as often as each stands for two
        whole = {tuple(np.round(p % 1, 6) % 1) for p in [*points, *-points]}
        assert len(whole) == np.prod(size)
    given_points = np.array([[0.1, 0, 0], [-0.1, 0, 0], [0, 0.2, 0]])
    points, weights = sampled(given_points, silicon)
    np.testing.assert_allclose(weights, [2 / 3, 1 / 3])
    assert len(sampled({"density": 2.0, "gamma": True}, silicon)[0]) > 1
    with pytest.raises(ValueError, match=r"kpts is \(2, 2, 0\): give three positive"):
        sampled((2, 2, 0), silicon)
    with pytest.raises(ValueError, match=r"kpts has the shape \(1, 2\)"):
        sampled(np.zeros((1, 2)), silicon)
