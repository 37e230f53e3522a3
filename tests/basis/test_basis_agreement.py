"""Bases that are the same but for rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ase_rholearn.basis import AtomicDensity, Basis, NumericalShell, Shell, agree


def rounded_otherwise(basis: Basis, relative: float) -> Basis:
    """The same basis with the last digits of another machine."""
    change = 1 + relative
    shells = {
        z: tuple(Shell.normalized(s.l, [a * change for a in s.exponents]) for s in shells)
        for z, shells in basis.shells.items()
    }
    return replace(basis, shells=shells)


BASIS = Basis.from_shells(
    {"H": [(0, [2.0, 0.5]), (1, [0.8])], "O": [(0, [9.0, 1.0])]},
    atomic_densities={
        1: AtomicDensity((1.0,), (0.18,)),
        8: AtomicDensity((20.0, 1.0), (70.0, 0.6)),
    },
)


def test_rounding_does_not_make_another_basis() -> None:
    assert agree(BASIS, BASIS)
    other = rounded_otherwise(BASIS, 1e-14)
    assert other != BASIS
    assert agree(BASIS, other)
    assert not agree(BASIS, rounded_otherwise(BASIS, 1e-6))


def test_atomic_densities_count_as_functions() -> None:
    # two nearly equal Gaussians: their amplitudes are hardly determined, their sum is
    split = AtomicDensity((1.0, 1.0 + 1e-11), (1000.18, -1000.0))
    assert agree(BASIS, BASIS.with_atomic_densities({**BASIS.atomic_densities, 1: split}))
    more = AtomicDensity((1.0,), (0.1801,))
    assert not agree(BASIS, BASIS.with_atomic_densities({**BASIS.atomic_densities, 1: more}))
    assert not agree(BASIS, BASIS.with_atomic_densities({}))


def test_name_species_and_kind_count() -> None:
    assert not agree(BASIS, replace(BASIS, name="other"))
    hydrogen = Basis({1: BASIS.shells[1]}, {1: BASIS.atomic_densities[1]})
    assert not agree(BASIS, hydrogen)
    valence = replace(BASIS, kind="valence", core_charges={1: 1.0, 8: 6.0})
    assert not agree(BASIS, valence)


def test_tables_are_compared_point_by_point() -> None:
    radii = np.linspace(0, 4, 30)
    table = NumericalShell(0, tuple(radii), tuple(np.exp(-radii) * (4 - radii) ** 2))
    changed = NumericalShell(0, tuple(radii), tuple(np.exp(-1.001 * radii) * (4 - radii) ** 2))
    assert agree(Basis({1: (table,)}), Basis({1: (table,)}))
    assert not agree(Basis({1: (table,)}), Basis({1: (changed,)}))
