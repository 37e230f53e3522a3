"""Functionals at points against libxc, and what holds exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ase_rholearn.scf.functionals import (
    FUNCTIONALS,
    Functional,
    SpinDependent,
    Sum,
    Tapered,
    functional,
    kernel,
    potential,
)

#: All but sums of those that are tested anyway.
NAMES = sorted(FUNCTIONALS)

EXCHANGE = ["LDA,", "PBE,"]
KINETIC = ["LDA_K_TF", "GGA_K_VW"]

logarithms = st.floats(-6, 3)
# no numbers so small that they lose digits when squared
gradients = st.just(0.0) | st.floats(1e-8, 30)


def sigma_of(rho: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Square of the gradient, from the reduced gradient s."""
    return (2 * (3 * np.pi**2) ** (1 / 3) * rho ** (4 / 3) * s) ** 2


def libxc(name: str, rho: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, list[Any], list[Any]]:
    """Energy per volume, first and second derivatives of a closed shell."""
    from pyscf.dft import libxc

    zero = np.zeros_like(rho)
    rows = np.array([rho, np.sqrt(sigma), zero, zero])
    gradient = functional(name).needs_gradient
    e, v, f, _ = libxc.eval_xc(name, rows if gradient else rho, spin=0, deriv=2)
    return rho * e, v[: 1 + gradient], f[: 1 + 2 * gradient]


def libxc_spin(name: str, rho: np.ndarray, slopes: np.ndarray) -> tuple[Any, list[Any], list[Any]]:
    """The same of spin densities (2, n) with slopes (2, 3, n), points last."""
    from pyscf.dft import libxc

    gradient = functional(name).needs_gradient
    rows = np.concatenate([rho[:, None], slopes], axis=1) if gradient else rho
    e, v, f, _ = libxc.eval_xc(name, tuple(rows), spin=1, deriv=2)
    firsts, seconds = v[: 1 + gradient], f[: 1 + 2 * gradient]
    return rho.sum(axis=0) * e, [x.T for x in firsts], [x.T for x in seconds]


def assert_close(
    found: torch.Tensor, expected: np.ndarray, tolerance: float, size: float | np.ndarray = 1.0
) -> None:
    """To a fraction of the largest of 1, ``size`` and the numbers of a point."""
    expected = expected.reshape(-1, expected.shape[-1])
    scale = np.maximum(np.maximum(1.0, size), np.abs(expected).max(axis=0))
    difference = found.numpy().reshape(expected.shape) - expected
    assert np.abs(difference / scale).max() < tolerance


def derivatives(one: Functional, *points: torch.Tensor) -> list[torch.Tensor]:
    """First and second ones, in libxc's order."""
    first, second = potential(one, *points), kernel(one, *points)
    return [first.rho, first.sigma, second.rho_rho, second.rho_sigma, second.sigma_sigma]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(arrays(float, 50, elements=logarithms), arrays(float, 50, elements=gradients))
def test_closed_shell_is_libxc(name: str, logarithm: np.ndarray, s: np.ndarray) -> None:
    rho = 10**logarithm
    sigma = sigma_of(rho, s)
    energy, first, second = libxc(name, rho, sigma)
    points, one = (torch.tensor(rho), torch.tensor(sigma)), functional(name)
    assert_close(potential(one, *points).energy_density, energy, 1e-13)
    # exchange and correlation may cancel: errors are fractions of what is added
    parts = one.parts if isinstance(one, Sum) else (one,)
    sizes = torch.stack([torch.stack(derivatives(part, *points)) for part in parts])
    sizes = sizes.abs().amax(dim=0).numpy()
    ours = derivatives(one, *points)
    chosen = [0, 1, 2, 3, 4] if one.needs_gradient else [0, 2]
    for k, expected in zip(chosen, [*first, *second], strict=True):
        assert_close(ours[k], expected, 1e-9, sizes[k])


@pytest.mark.parametrize("name", NAMES)
def test_spin_densities_are_libxc(name: str) -> None:
    rng = np.random.default_rng(0)
    n = 300
    total, zeta, s = 10 ** rng.uniform(-5, 2, n), rng.uniform(-0.99, 0.99, n), rng.uniform(0, 5, n)
    rho = 0.5 * total * np.array([1 + zeta, 1 - zeta])
    slopes = rng.normal(size=(2, 3, n)) * np.sqrt(sigma_of(total, s)) / 3
    up, down = slopes
    sigma = np.array([(up * up).sum(0), (up * down).sum(0), (down * down).sum(0)])
    energy, first, second = libxc_spin(name, rho, slopes)
    points = torch.tensor(rho), torch.tensor(sigma)
    found = potential(functional(name), *points, polarised=True)
    curvature = kernel(functional(name), *points, polarised=True)
    assert_close(found.energy_density, energy, 1e-13)
    for one, other in zip([found.rho, found.sigma], first, strict=False):
        assert_close(one, other, 1e-9)
    pairs, triples = np.triu_indices(2), np.triu_indices(3)
    ours = [
        curvature.rho_rho[pairs],
        curvature.rho_sigma.reshape(6, n),
        curvature.sigma_sigma[triples],
    ]
    for one, other in zip(ours, second, strict=False):
        # libxc's own zeros are noise of up to 1e-7 of the largest
        assert_close(one, other, 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_equal_spins_are_a_closed_shell(name: str) -> None:
    rho = torch.logspace(-5, 2, 30, dtype=torch.float64)
    sigma = torch.tensor(sigma_of(rho.numpy(), np.linspace(0, 5, 30)))
    one = functional(name)
    spins = one.spin_energy_density(torch.stack([rho, rho]) / 2, torch.stack([sigma] * 3) / 4)
    torch.testing.assert_close(spins, one.energy_density(rho, sigma), rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_differences(name: str) -> None:
    rho = torch.tensor([0.05, 0.2, 3.0], dtype=torch.float64, requires_grad=True)
    sigma = torch.tensor([0.01, 0.05, 0.0], dtype=torch.float64, requires_grad=True)
    one = functional(name)
    assert torch.autograd.gradcheck(one.energy_density, (rho, sigma), atol=1e-7)
    spins = torch.tensor([[1e-2, 0.2], [0.5, 0.1]], dtype=torch.float64, requires_grad=True)
    products = torch.tensor([[0.02, 0.1], [0.01, -0.1], [0.3, 0.2]], dtype=torch.float64)
    products.requires_grad_()
    assert torch.autograd.gradcheck(one.spin_energy_density, (spins, products), atol=1e-7)
    # a potential can be differentiated in turn: through it, the kernel
    total = potential(one, rho, sigma).rho.sum()
    slope = torch.autograd.grad(total, rho)[0]
    torch.testing.assert_close(slope, kernel(one, rho, sigma).rho_rho.detach())


@pytest.mark.parametrize("taper", [None, 1e-5])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_infinite_in_the_vacuum(name: str, taper: float | None) -> None:
    values = [-0.1, -1e-13, 0.0, 1e-300, 1e-13, 1.0001e-12, 1e-9, 1.0]
    rho = torch.tensor(values, dtype=torch.float64).repeat(3)
    sigma = torch.tensor([0.0, 1e-20, 10.0], dtype=torch.float64).repeat_interleave(len(values))
    one: Functional = functional(name)
    if taper:
        one = Tapered(one, taper)
    first, second = potential(one, rho, sigma), kernel(one, rho, sigma)
    # one spin alone too: fully polarised points, and spin densities below zero
    spins, products = torch.stack([rho, rho.flip(0)]), torch.stack([sigma, -sigma, sigma])
    more = potential(one, spins, products, polarised=True)
    last = kernel(one, spins, products, polarised=True)
    for found in (first, second, more, last):
        for array in vars(found).values():
            assert torch.isfinite(array).all()
    vacuum = rho <= 1e-12
    for array in (*vars(first).values(), *vars(second).values()):
        assert not array[vacuum].any()


@pytest.mark.parametrize("name", ["LDA,PW", "PBE"])
def test_taper_is_smooth_and_local(name: str) -> None:
    """No derivative up to the second jumps at the ends of the switch, and none changes above."""
    below = 1e-5
    one, tapered = functional(name), Tapered(functional(name), below)
    edges = torch.tensor([1e-9 * below, below * (1 - 1e-9), below * (1 + 1e-9)]).double()
    sigma = edges**2
    before, after = kernel(tapered, edges, sigma), kernel(one, edges, sigma)
    scale = after.rho_rho.abs()[1]
    assert before.rho_rho.abs()[0] < 1e-5 * scale
    torch.testing.assert_close(before.rho_rho[1:], after.rho_rho[1:], rtol=1e-5, atol=0)
    above = torch.tensor([1.0001e-5, 0.1, 10.0], dtype=torch.float64)
    assert torch.equal(tapered.energy_density(above, above), one.energy_density(above, above))


@given(logarithms, gradients, st.floats(0.2, 5))
def test_uniform_scaling(logarithm: float, s: float, gamma: float) -> None:
    """rho(r) -> gamma^3 rho(gamma r): exchange grows with gamma, kinetic energies with gamma^2.

    Per volume, where the volume shrinks by gamma^3.
    """
    rho = np.array([10**logarithm])
    sigma = torch.tensor(sigma_of(rho, np.array([s])))
    value = torch.tensor(rho)
    for names, power in ((EXCHANGE, 1), (KINETIC, 2)):
        for one in map(functional, names):
            scaled = one.energy_density(gamma**3 * value, gamma**8 * sigma)
            expected = gamma ** (3 + power) * one.energy_density(value, sigma)
            torch.testing.assert_close(scaled, expected, rtol=1e-12, atol=0)


@given(logarithms, gradients)
def test_bounds(logarithm: float, s: float) -> None:
    """Correlation is never positive; exchange obeys the local Lieb-Oxford bound of PBE."""
    rho = np.array([10**logarithm])
    sigma, value = torch.tensor(sigma_of(rho, np.array([s]))), torch.tensor(rho)
    assert functional(",PBE").energy_density(value, sigma) <= 0
    ratio = functional("PBE,").energy_density(value, sigma) / functional("LDA,").energy_density(
        value
    )
    assert 1 <= ratio <= 1.804


def test_one_orbital() -> None:
    """The kinetic energy of exp(-zeta r) orbitals is that of von Weizsaecker: N zeta^2 / 2."""
    zeta, electrons = 1.3, 2
    x, w = np.polynomial.laguerre.laggauss(60)
    r, w = x / (2 * zeta), w * np.exp(x) / (2 * zeta)
    rho = electrons * zeta**3 / np.pi * np.exp(-2 * zeta * r)
    density = functional("GGA_K_VW").energy_density(
        torch.tensor(rho), torch.tensor((2 * zeta * rho) ** 2)
    )
    # beyond the vacuum's density 1e-10 is missing
    kinetic = 4 * np.pi * (w * r**2) @ density.numpy()
    assert kinetic == pytest.approx(electrons * zeta**2 / 2, rel=1e-8)


def test_own_functional() -> None:
    """A form of one's own has derivatives at once: Wigner's correlation of 1934."""
    wigner = SpinDependent(
        "Wigner", False, lambda rho, zeta, sigma: -0.44 * rho / (7.8 + (4.18879 * rho) ** (-1 / 3))
    )
    both = Sum("Slater and Wigner", (functional("LDA,"), wigner))
    rho = torch.tensor([0.01, 1.0], dtype=torch.float64)
    step = 1e-5 * rho
    slope = (both.energy_density(rho + step) - both.energy_density(rho - step)) / (2 * step)
    torch.testing.assert_close(potential(both, rho).rho, slope, rtol=1e-8, atol=0)
    assert not both.needs_gradient


def test_bad_input() -> None:
    rho = torch.ones(3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"name is 'B3LYP': give one of LDA,; ,PW; .*PBE; "):
        functional("B3LYP")
    with pytest.raises(ValueError, match=r"sigma is None, but PBE, needs it: give the square"):
        functional("PBE").energy_density(rho)
    with pytest.raises(ValueError, match=r"sigma has shape None: PBE needs \(3,\)"):
        potential(functional("PBE"), rho)
    with pytest.raises(ValueError, match=r"rho has shape \(2, 3\): give \(n,\), or polarised=True"):
        kernel(functional("LDA,"), torch.stack([rho, rho]))
    with pytest.raises(ValueError, match=r"rho has shape \(3,\): give \(2, n\), spin up and down"):
        potential(functional("LDA,"), rho, polarised=True)
    with pytest.raises(ValueError, match=r"below is 0: give a positive density"):
        Tapered(functional("PBE"), 0)
