"""Radial functions of one centre."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from ase_rholearn.basis import Shell
from ase_rholearn.basis.shells import radial_coulomb, radial_overlap

exponents = st.floats(0.05, 500.0)


def radial_integral(shell: Shell, power: int) -> float:
    """Integral of R r^power by quadrature in log r, where tight and diffuse look alike."""
    value, _ = quad(
        lambda t: float(shell.radial(np.exp(t))) * np.exp((power + 1) * t), -14, 5, limit=400
    )
    return value


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 6), st.lists(exponents, min_size=1, max_size=4, unique=True), st.data())
def test_norm_is_one(l: int, a: list[float], data: st.DataObject) -> None:
    # positive weights cannot cancel to a function without norm
    weights = data.draw(st.lists(st.floats(0.1, 3.0), min_size=len(a), max_size=len(a)))
    shell = Shell.normalized(l, a, weights)
    norm, _ = quad(lambda t: float(shell.radial(np.exp(t))) ** 2 * np.exp(3 * t), -14, 5, limit=400)
    assert norm == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("l", [0, 1, 3])
@pytest.mark.parametrize("power", [2, 3])
def test_moments_equal_quadrature(l: int, power: int) -> None:
    shell = Shell.normalized(l, [20.0, 3.0, 0.4], [0.2, -0.5, 1.0])
    assert shell.moment(power) == pytest.approx(radial_integral(shell, power), rel=1e-9)


def test_normalized_takes_weights_of_normalised_primitives() -> None:
    # the contraction of two primitives of unit norm in the ratio 1 : 2
    shell = Shell.normalized(1, [2.0, 0.5], [1.0, 2.0])
    one, two = (Shell.normalized(1, [a]).coefficients[0] for a in (2.0, 0.5))
    ratio = shell.coefficients[1] / shell.coefficients[0]
    assert ratio == pytest.approx(2.0 * two / one, rel=1e-14)


@pytest.mark.parametrize(("integral", "name"), [("overlap", "int1e_ovlp"), ("coulomb", "int2c2e")])
@pytest.mark.parametrize("l", [0, 1, 2, 4])
def test_metrics_equal_pyscf(integral: str, name: str, l: int) -> None:
    from pyscf import gto

    ladder = [40.0, 6.0, 1.0, 0.2]
    shells = [Shell.normalized(l, [a]) for a in ladder]
    molecule = gto.M(atom="Ne", basis={"Ne": [[l, [a, 1.0]] for a in ladder]}, verbose=0)
    first_m = np.arange(len(ladder)) * (2 * l + 1)
    expected = molecule.intor(name)[np.ix_(first_m, first_m)]
    ours = {"overlap": radial_overlap, "coulomb": radial_coulomb}[integral](shells)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


def test_metrics_refuse_mixed_angular_momenta() -> None:
    with pytest.raises(ValueError, match="need shells of one angular momentum"):
        radial_overlap([Shell.normalized(0, [1.0]), Shell.normalized(1, [1.0])])


def test_dictionary_round_trip_is_bitwise() -> None:
    shell = Shell.normalized(2, [1.0 / 3, 0.1], [0.1, np.pi])
    assert Shell.from_dict(shell.to_dict()) == shell


@pytest.mark.parametrize(
    ("l", "a", "d", "message"),
    [
        (-1, (1.0,), (1.0,), "l is -1: an angular momentum is 0 or larger"),
        (0, (), (), "at least one: got 0 exponents and 0 coefficients"),
        (0, (1.0, 2.0), (1.0,), "got 2 exponents and 1 coefficients"),
        (0, (-1.0,), (1.0,), r"exponents are \(-1.0,\): give positive numbers"),
        (0, (float("nan"),), (1.0,), r"exponents are \(nan,\): give positive numbers"),
        (0, (1.0,), (1.0,), "instead of 1: build it with Shell.normalized"),
        (0, (1.0,), (float("nan"),), "has norm nan instead of 1"),
    ],
)
def test_bad_shells(l: int, a: tuple[float, ...], d: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shell(l, a, d)


@pytest.mark.parametrize(
    ("a", "weights", "message"),
    [
        ([1.0, 2.0], [1.0], "give two lists of one length"),
        ([], None, "give two lists of one length"),
        ([0.0], None, r"exponents are \[0.0\]: give positive numbers"),
        ([1.0], [0.0], r"the contraction with weights \[0.0\] has no norm"),
    ],
)
def test_bad_contractions(a: list[float], weights: list[float] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shell.normalized(0, a, weights)
