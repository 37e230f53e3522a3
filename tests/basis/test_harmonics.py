"""Real solid harmonics against formulas that share nothing with the code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import lebedev_rule
from scipy.special import eval_legendre, sph_harm_y

from ase_rholearn.basis import harmonic_polynomials, solid_harmonics

L_MAX = 8


def scipy_solid_harmonics(vectors: np.ndarray, l_max: int) -> np.ndarray:
    """Real combinations of SciPy's complex harmonics, times r^l."""
    r = np.linalg.norm(vectors, axis=1)
    polar, azimuth = np.arccos(vectors[:, 2] / r), np.arctan2(vectors[:, 1], vectors[:, 0])
    columns = []
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            value = sph_harm_y(l, abs(m), polar, azimuth)
            # SciPy has the Condon-Shortley phase, real harmonics do not
            scale = 1.0 if m == 0 else np.sqrt(2) * (-1) ** m
            columns.append(r**l * scale * (value.imag if m < 0 else value.real))
    return np.stack(columns, axis=1)


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(40, 3))


def harmonics(vectors: np.ndarray, l_max: int = L_MAX) -> np.ndarray:
    return solid_harmonics(torch.from_numpy(vectors), l_max).numpy()


def test_equal_scipy(vectors: np.ndarray) -> None:
    expected = scipy_solid_harmonics(vectors, L_MAX)
    np.testing.assert_allclose(harmonics(vectors), expected, rtol=1e-11, atol=1e-11)


def test_first_degree_is_y_z_x(vectors: np.ndarray) -> None:
    expected = np.sqrt(3 / (4 * np.pi)) * vectors[:, [1, 2, 0]]
    np.testing.assert_allclose(harmonics(vectors, 1)[:, 1:], expected, rtol=1e-14)


def test_orthonormal_on_the_sphere() -> None:
    points, weights = lebedev_rule(2 * L_MAX + 1)
    values = harmonics(points.T)
    gram = values.T @ (weights[:, None] * values)
    np.testing.assert_allclose(gram, np.eye((L_MAX + 1) ** 2), atol=1e-12)


def test_parity(vectors: np.ndarray) -> None:
    signs = np.concatenate([np.full(2 * l + 1, (-1.0) ** l) for l in range(L_MAX + 1)])
    np.testing.assert_array_equal(harmonics(-vectors), signs * harmonics(vectors))


def test_addition_theorem(vectors: np.ndarray) -> None:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    first, second = harmonics(unit[:20]), harmonics(unit[20:])
    cosine = np.sum(unit[:20] * unit[20:], axis=1)
    for l in range(L_MAX + 1):
        block = slice(l * l, (l + 1) ** 2)
        expected = (2 * l + 1) / (4 * np.pi) * eval_legendre(l, cosine)
        np.testing.assert_allclose(
            np.sum(first[:, block] * second[:, block], axis=1), expected, atol=1e-12
        )


def test_polynomials_give_the_same_values(vectors: np.ndarray) -> None:
    powers = vectors[:, :, None] ** np.arange(L_MAX + 1)
    for l in range(L_MAX + 1):
        x, y, z = (powers[:, axis, : l + 1] for axis in range(3))
        values = np.einsum("mijk,pi,pj,pk->pm", harmonic_polynomials(l), x, y, z)
        expected = scipy_solid_harmonics(vectors, l)[:, l * l :]
        np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-10)


def test_derivatives_exist_at_the_origin() -> None:
    # forces and stresses go through here, for atoms that coincide with a grid point too
    origin = torch.zeros((1, 3), dtype=torch.float64, requires_grad=True)
    values = solid_harmonics(origin, 3)
    (slope,) = torch.autograd.grad(values.sum(), origin, create_graph=True)
    expected = np.full(3, np.sqrt(3 / (4 * np.pi)))  # only l = 1 is linear
    np.testing.assert_allclose(slope.detach().numpy()[0], expected, rtol=1e-14)
    (curvature,) = torch.autograd.grad(slope.sum(), origin)
    assert torch.isfinite(curvature).all()


def test_single_precision_stays_single(vectors: np.ndarray) -> None:
    single = solid_harmonics(torch.from_numpy(vectors).float(), 4)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), harmonics(vectors, 4), rtol=1e-4, atol=1e-4)
