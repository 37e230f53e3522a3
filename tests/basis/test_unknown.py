"""Functions of which only overlaps are known, and mean atoms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ase_rholearn import Basis
from ase_rholearn.basis import NumericalShell, Shell, UnknownShell, orthonormal_transform
from ase_rholearn.basis import unknown_shells as shells_of


def random_gram(count: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(count, count))
    return np.asarray(root @ root.T + 0.1 * np.eye(count))


@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_overlaps_survive_and_make_functions_orthonormal(counts: list[int], seed: int) -> None:
    counts[-1] += 1
    grams = {l: random_gram(count, seed + l) for l, count in enumerate(counts) if count}
    shells = tuple(s for l, gram in grams.items() for s in shells_of(l, gram, len(gram)))
    basis = Basis({6: shells}, name="products")
    assert Basis.from_json(basis.to_json()) == basis
    assert not basis.is_known
    for l, gram in grams.items():
        np.testing.assert_array_equal(basis.radial_metric(6, l), gram)
    transform = orthonormal_transform(basis, [6]).toarray()
    blocks = [np.kron(gram, np.eye(2 * l + 1)) for l, gram in grams.items()]
    start = 0
    for block in blocks:
        own = slice(start, start + len(block))
        unit = transform[own, own].T @ block @ transform[own, own]
        np.testing.assert_allclose(unit, np.eye(len(block)), atol=1e-9)
        start = own.stop


UNKNOWN = Basis({1: (UnknownShell(0), UnknownShell(1))}, name="products")


@pytest.mark.parametrize(
    "refused",
    [
        lambda: UNKNOWN.electrons([1]),
        lambda: UNKNOWN.dipoles([1]),
        lambda: UNKNOWN.tabulated,
        lambda: UNKNOWN.radial_metric(1, 0),
        lambda: UNKNOWN.radial_metric(1, 0, "coulomb"),
        lambda: UnknownShell(0).radial(np.ones(3)),
        lambda: UnknownShell(0).moment(2),
    ],
)
def test_what_needs_values_is_refused(refused: object) -> None:
    assert callable(refused)
    with pytest.raises(ValueError, match="not known"):
        refused()


def test_wrong_input() -> None:
    with pytest.raises(ValueError, match="l is -1"):
        UnknownShell(-1)
    with pytest.raises(ValueError, match="give finite numbers"):
        UnknownShell(0, (float("nan"),))
    shell = Shell.normalized(0, [1.0])
    with pytest.raises(ValueError, match=r"mean_atoms of H are .* each of its 1 s functions"):
        Basis({1: (shell,)}, mean_atoms={1: (1.0, 2.0)})
    with pytest.raises(ValueError, match="not given for the species of the basis"):
        Basis({1: (shell,)}, mean_atoms={8: (1.0,)})
    with pytest.raises(ValueError, match="the functions of H have l = "):
        UNKNOWN.with_functions({1: (shell,)})


def test_the_density_of_a_mean_atom() -> None:
    r = np.geomspace(1e-4, 8.0, 300)
    values = [np.exp(-a * r * r) for a in (0.8, 2.0)]
    shells = tuple(NumericalShell(0, tuple(r), tuple(v)) for v in values)
    basis = Basis({1: shells}, mean_atoms={1: (0.3, -0.1)})
    assert Basis.from_json(basis.to_json()) == basis
    np.testing.assert_array_equal(basis.mean_vector([1, 1]), [0.3, -0.1, 0.3, -0.1])
    on_atoms = basis.on_mean_atoms()
    assert not on_atoms.mean_atoms
    free = on_atoms.atomic_densities[1]
    expected = (0.3 * values[0] - 0.1 * values[1]) / np.sqrt(4 * np.pi)
    np.testing.assert_allclose(free.value(r), expected, atol=1e-9)
    assert free.number_of_electrons == pytest.approx(basis.electrons([1]) @ [0.3, -0.1], rel=1e-7)
    with pytest.raises(ValueError, match="give one of them"):
        Basis(shells={1: shells}, atomic_densities={1: free}, mean_atoms={1: (0.3, -0.1)})
