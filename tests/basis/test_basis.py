"""The auxiliary basis: layout, closed-form integrals, serialisation, refusals."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import lebedev_rule, quad

from ase_rholearn.basis import AtomicDensity, Basis, Shell, solid_harmonics

positive = st.floats(1e-3, 1e4)


@st.composite
def bases(draw: st.DrawFn) -> Basis:
    """One to three species, with any shells and densities."""
    species = draw(st.lists(st.integers(1, 92), min_size=1, max_size=3, unique=True))
    shells, densities = {}, {}
    for z in species:
        angular = sorted(draw(st.lists(st.integers(0, 4), min_size=1, max_size=5)))
        shells[z] = tuple(Shell.normalized(l, [draw(positive)]) for l in angular)
        densities[z] = AtomicDensity((draw(positive),), (draw(st.floats(-5, 5)),))
    if draw(st.booleans()):
        return Basis(shells, densities, name=draw(st.text(max_size=5)))
    return Basis(shells, kind="valence", core_charges={z: draw(positive) for z in species})


@settings(deadline=None, max_examples=40)
@given(bases())
def test_json_round_trip_is_bitwise(basis: Basis) -> None:
    # equality of frozen dataclasses compares every float exactly
    assert Basis.from_json(basis.to_json()) == basis
    assert pickle.loads(pickle.dumps(basis)) == basis


@settings(deadline=None, max_examples=40)
@given(bases(), st.data())
def test_layout_runs_over_atom_l_n_m(basis: Basis, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.sampled_from(basis.species), min_size=1, max_size=5))
    expected = [
        (atom, l, n, m)
        for atom, z in enumerate(numbers)
        for l in range(basis.l_max + 1)
        for n in range(sum(shell.l == l for shell in basis.shells[z]))
        for m in range(-l, l + 1)
    ]
    assert (
        list(zip(*(column.tolist() for column in basis.layout(numbers)), strict=True)) == expected
    )
    assert basis.size(numbers) == len(expected)
    offsets = basis.offsets(numbers)
    assert offsets[-1] == len(expected)
    assert [expected[start][0] for start in offsets[:-1]] == list(range(len(numbers)))


def test_electrons_and_dipoles_equal_quadrature(mixed_basis: Basis) -> None:
    directions, weights = lebedev_rule(9)
    angular = solid_harmonics(torch.from_numpy(directions.T.copy()), mixed_basis.l_max).numpy()
    for z in mixed_basis.species:
        electrons, dipoles = [], []
        for shell in mixed_basis.shells[z]:
            radial = [
                quad(lambda r, p=p, s=shell: float(s.radial(r)) * r**p, 0, 20, limit=200)[0]
                for p in (2, 3)
            ]
            block = angular[:, shell.l**2 : (shell.l + 1) ** 2]
            electrons.append(radial[0] * (weights @ block))
            dipoles.append(radial[1] * (block.T * weights) @ directions.T)
        np.testing.assert_allclose(mixed_basis.electrons([z]), np.concatenate(electrons), atol=1e-9)
        np.testing.assert_allclose(mixed_basis.dipoles([z]), np.concatenate(dipoles), atol=1e-9)


@pytest.mark.parametrize(("metric", "name"), [("overlap", "int1e_ovlp"), ("coulomb", "int2c2e")])
def test_radial_metric_equals_pyscf(published_basis: Basis, metric: str, name: str) -> None:
    from pyscf import gto

    molecule = gto.M(atom="C", basis=published_basis.name, verbose=0)
    full = molecule.intor(name)
    start = 0
    for l in range(published_basis.l_max + 1):
        count = len(published_basis.radial_functions(6, l))
        first_m = start + np.arange(count) * (2 * l + 1)
        np.testing.assert_allclose(
            published_basis.radial_metric(6, l, metric), full[np.ix_(first_m, first_m)], rtol=1e-8
        )
        start += count * (2 * l + 1)
    assert start == published_basis.sizes[6]


def test_from_shells_sorts_by_l_then_from_tight_to_diffuse() -> None:
    basis = Basis.from_shells({"O": [(1, [0.5]), (0, [0.1, 3.0])], 1: [(0, [1.0])]})
    assert basis.species == (1, 8)
    assert [(s.l, s.exponents) for s in basis.shells[8]] == [(0, (3.0,)), (0, (0.1,)), (1, (0.5,))]


def test_core_charges(mixed_basis: Basis) -> None:
    assert mixed_basis.core_charge(8) == 8.0
    valence = Basis(mixed_basis.shells, kind="valence", core_charges={1: 1.0, 8: 6.0})
    assert valence.core_charge(8) == 6.0


def test_baseline_electrons(mixed_basis: Basis) -> None:
    oxygen = mixed_basis.atomic_densities[8].number_of_electrons
    hydrogen = mixed_basis.atomic_densities[1].number_of_electrons
    np.testing.assert_array_equal(
        mixed_basis.baseline_electrons([1, 8, 1]), [hydrogen, oxygen, hydrogen]
    )
    without = mixed_basis.with_atomic_densities({})
    np.testing.assert_array_equal(without.baseline_electrons([1, 8]), [0.0, 0.0])


def test_text_names_functions_and_kind(mixed_basis: Basis) -> None:
    expected = "mixed, all-electron deformation density: H 1s1p (4), O 2s2d (12)"
    assert str(mixed_basis) == expected
    # the alphabet of angular momenta is longer than g, and ends all the same
    assert "H 1n1(l=21) (64)" in str(Basis.from_shells({"H": [(10, [1.0]), (21, [1.0])]}))


# refusals ----------------------------------------------------------------------------------


S = Shell.normalized(0, [1.0])
P = Shell.normalized(1, [1.0])
GAUSSIAN = AtomicDensity((1.0,), (1.0,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shells": {}}, "a basis needs shells of at least one species"),
        ({"shells": {1: ()}}, "the basis has no functions for H"),
        ({"shells": {0: (S,)}}, "0 is not an atomic number"),
        ({"shells": {500: (S,)}}, "500 is not an atomic number"),
        ({"shells": {8: (P, S)}}, r"the shells of O must be sorted by l, got l = \[1, 0\]"),
        ({"shells": {1: (S,)}, "kind": "core"}, "kind is 'core': give \"all-electron\" or"),
        ({"shells": {1: (S,)}, "kind": "valence"}, "needs core_charges for each of its species"),
        (
            {"shells": {1: (S,)}, "core_charges": {1: 1.0}},
            'core_charges are given for H but kind is "all-electron": leave them out',
        ),
        (
            {"shells": {1: (S,)}, "kind": "valence", "core_charges": {1: float("nan")}},
            r"core_charges are \{1: nan\}: give finite numbers",
        ),
        (
            {"shells": {1: (S,), 8: (S,)}, "atomic_densities": {1: GAUSSIAN}},
            "atomic_densities are given for H but the basis has H, O: give one for each",
        ),
    ],
)
def test_bad_bases(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Basis(**arguments)


@pytest.mark.parametrize("species", ["Xx", "X", "h", 0, -1, 119])
def test_from_shells_refuses_unknown_species(species: str | int) -> None:
    with pytest.raises(ValueError, match=r"is not (a chemical symbol|an atomic number)"):
        Basis.from_shells({species: [(0, [1.0])]})


def test_unknown_species_are_named(mixed_basis: Basis) -> None:
    message = "the basis does not know the species C, N: it has H, O"
    for method in ("size", "offsets", "layout", "electrons", "dipoles"):
        with pytest.raises(ValueError, match=message):
            getattr(mixed_basis, method)([1, 7, 6])


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        (np.zeros(5), r"coefficients has shape \(5,\) but this basis has 4 functions on 1 atoms"),
        (np.zeros((2, 2)), r"coefficients has shape \(2, 2\)"),
        ([0.0, np.nan, np.inf, 0.0], "coefficients contains 2 NaN or infinity"),
    ],
)
def test_bad_coefficients(mixed_basis: Basis, coefficients: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixed_basis.check_coefficients([1], coefficients)


def test_unknown_metric(mixed_basis: Basis) -> None:
    with pytest.raises(ValueError, match='metric is \'l2\': give "overlap" or "coulomb"'):
        mixed_basis.radial_metric(1, 0, "l2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "the basis is not JSON .* give what to_json wrote"),
        ("[1, 2]", "the basis is a JSON list: give what to_json wrote"),
        (
            '{"schema": 99}',
            "the basis has schema 99, this version reads 1 to 3: update ase_rholearn",
        ),
        ("{}", "the basis has schema None"),
        ('{"schema": 1, "shells": {}}', r"the basis lacks the entries \['atomic_densities'"),
    ],
)
def test_damaged_json(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Basis.from_json(text)


def test_damaged_shell_in_json(mixed_basis: Basis) -> None:
    data = json.loads(mixed_basis.to_json())
    data["shells"]["H"][0]["coefficients"][0] *= 1.01
    with pytest.raises(ValueError, match=r"instead of 1: build it with Shell.normalized"):
        Basis.from_dict(data)
