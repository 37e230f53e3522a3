"""Bases by name and by recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn.basis import even_tempered, from_pyscf


def exponents(basis: Any, z: int, l: int) -> np.ndarray:
    return np.array([shell.exponents[0] for shell in basis.radial_functions(z, l)])


@pytest.mark.parametrize("name", ["def2-universal-jkfit", "weigend", "cc-pvtz-jkfit"])
def test_from_pyscf_has_the_functions_of_pyscf(name: str) -> None:
    from pyscf import gto

    basis = from_pyscf(name, ["O", 1])
    molecule = gto.M(atom="O 0 0 0; H 0 0 1; H 0 1 0", basis=name, unit="B", verbose=0)
    assert basis.species == (1, 8)
    assert basis.name == name
    assert basis.size([8, 1, 1]) == molecule.nao


def test_general_contractions_are_split() -> None:
    from pyscf import gto

    # cc-pVTZ of oxygen: eight primitives are shared by two contracted s functions
    basis = from_pyscf("cc-pvtz", ["O"])
    assert basis.sizes[8] == gto.M(atom="O", basis="cc-pvtz", verbose=0).nao == 30


@settings(deadline=None, max_examples=15)
@given(st.floats(1.3, 3.5), st.sampled_from(["H", "C", "O", "S"]))
def test_ladders_are_geometric(beta: float, symbol: str) -> None:
    basis = even_tempered([symbol], beta=beta)
    (z,) = basis.species
    for l in range(basis.l_max + 1):
        ladder = exponents(basis, z, l)
        ratios = ladder[:-1] / ladder[1:]
        assert (ratios <= beta * (1 + 1e-9)).all()
        np.testing.assert_allclose(ratios, ratios[:1].repeat(len(ratios)), rtol=1e-9)


def test_ends_of_the_ladder_do_not_depend_on_beta() -> None:
    coarse, fine = (even_tempered(["O"], beta=beta) for beta in (2.5, 1.6))
    for l in range(5):
        ends = [exponents(basis, 8, l)[[0, -1]] for basis in (coarse, fine)]
        np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12)
    assert fine.sizes[8] > coarse.sizes[8]


def test_limits_and_angular_momenta() -> None:
    basis = even_tempered(
        ["H", "O"],
        beta=2.0,
        l_max={"O": 1},
        limits={"H": {0: (0.25, 4.0), 6: (1.0, 1.0)}},
        name="mine",
    )
    np.testing.assert_allclose(exponents(basis, 1, 0), [4.0, 2.0, 1.0, 0.5, 0.25], rtol=1e-12)
    # limits may add an l that the recipe does not know
    assert exponents(basis, 1, 6).tolist() == [1.0]
    assert max(shell.l for shell in basis.shells[8]) == 1
    assert basis.name == "mine"
    assert even_tempered(["H"], l_max=np.int64(1)).l_max == 1


@pytest.mark.parametrize("species", [[], ["X"], ["Xx"], [0], [-1], [200], ["H", "h"]])
def test_bad_species(species: list[Any]) -> None:
    for build in (even_tempered, lambda s: from_pyscf("weigend", s)):
        with pytest.raises(ValueError, match=r"species are .* give chemical symbols or atomic"):
            build(species)


@pytest.mark.parametrize(
    ("name", "symbol"), [("no-such-basis", "H"), ("def2-universal-jkfit", "Og")]
)
def test_unknown_basis(name: str, symbol: str) -> None:
    message = f"PySCF has no basis '{name}' for {symbol}: give another name"
    with pytest.raises(ValueError, match=message):
        from_pyscf(name, [symbol])
    with pytest.raises(ValueError, match=message):
        even_tempered([symbol], orbital_basis=name)


@pytest.mark.parametrize("beta", [1.0, 0.5, -2.0, float("nan")])
def test_bad_beta(beta: float) -> None:
    with pytest.raises(ValueError, match=f"beta is {beta}: the ratio of an even-tempered"):
        even_tempered(["H"], beta=beta)


@pytest.mark.parametrize("l_max", [-1, 6])
def test_bad_l_max(l_max: int) -> None:
    with pytest.raises(ValueError, match=f"l_max is {l_max}: the recipe knows 0 to 5; use limits"):
        even_tempered(["O"], l_max=l_max)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_bad_limits(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"limits are .* give 0 < smallest <= largest"):
        even_tempered(["H"], limits={"H": {0: limits}})
