"""Hirshfeld's charges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn import Basis, Density
from ase_rholearn.basis import AtomicDensity

#: Atoms without cores, which a uniform grid can integrate.
SOFT_ATOMS = {
    z: AtomicDensity((a,), (z * (a / np.pi) ** 1.5,)) for z, a in ((1, 0.6), (6, 0.5), (8, 0.8))
}


@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 1000), charge=st.integers(-2, 2))
def test_charges_add_up_to_the_total_charge(small_basis: Basis, seed: int, charge: int) -> None:
    rng = np.random.default_rng(seed)
    atoms = molecule("H2CO")
    atoms.info["charge"] = charge
    density = Density(atoms, small_basis, rng.normal(0, 0.2, small_basis.size(atoms.numbers)))
    assert density.charges().sum() == pytest.approx(charge, abs=1e-8)


def test_free_atoms_are_neutral(basis: Basis) -> None:
    atoms = molecule("H2O")
    density = Density(atoms, basis, np.zeros(basis.size(atoms.numbers)))
    np.testing.assert_allclose(density.charges(), np.zeros(3), atol=1e-9)


def test_definition(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    """Shares of the whole density on a uniform grid, as Hirshfeld wrote it."""
    smooth = small_basis.with_atomic_densities(SOFT_ATOMS)
    atoms = molecule("H2O")
    density = random_density(atoms, smooth, scale=0.1)
    grid = density.on_grid(0.12, margin=5.0)
    points = grid.points().reshape(-1, 3)
    free = np.array(
        [
            smooth.atomic_densities[int(z)].value(
                np.linalg.norm(points - position, axis=1) / units.Bohr
            )
            for z, position in zip(atoms.numbers, atoms.positions, strict=True)
        ]
    )
    shares = free / free.sum(axis=0)
    populations = shares @ grid.values.ravel() * grid.voxel_volume
    np.testing.assert_allclose(density.charges(level=4), atoms.numbers - populations, atol=2e-4)


@pytest.mark.parametrize(("name", "equal"), [("H2O", [1, 2]), ("C2H2", [0, 1]), ("CO2", [1, 2])])
def test_equivalent_atoms_have_equal_charges(name: str, equal: list[int], basis: Basis) -> None:
    """Only s functions, alike on alike atoms: the density has the molecule's symmetry."""
    atoms = molecule(name)
    layout = basis.layout(atoms.numbers)
    values = 0.02 * atoms.numbers[layout.atom] * np.cos(layout.n) * (layout.l == 0)
    charges = Density(atoms, basis, values).charges(level=4)
    assert charges[equal[0]] == pytest.approx(charges[equal[1]], abs=2e-4)
    assert np.abs(charges).max() > 1e-3


def test_electrons_move_towards_where_they_are_added(basis: Basis) -> None:
    atoms = molecule("H2O")
    layout = basis.layout(atoms.numbers)
    on_oxygen = np.where((layout.atom == 0) & (layout.l == 0) & (layout.n > 5), 0.05, 0.0)
    charges = Density(atoms, basis, on_oxygen).charges()
    assert charges[0] < 0 < charges[1]


def test_periodic_charges_are_those_of_the_molecule(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """In a wide cell, and for molecules that reach across its border."""
    atoms = molecule("H2O")
    alone = random_density(atoms, small_basis).charges()
    atoms.set_cell([[16, 0, 0], [1, 16, 0], [0, 2, 16]])
    atoms.pbc = True
    atoms.positions[1] += atoms.cell.array[0]
    np.testing.assert_allclose(random_density(atoms, small_basis).charges(), alone, atol=1e-7)


def test_valence_charges(small_basis: Basis) -> None:
    """Charge is counted against the cores."""
    valence = Basis(
        {z: small_basis.shells[z] for z in (1, 8)},
        {z: d for z, d in SOFT_ATOMS.items() if z != 6},
        kind="valence",
        core_charges={1: 1.0, 8: 6.0},
    )
    atoms = molecule("H2O")
    density = Density(atoms, valence, np.zeros(valence.size(atoms.numbers)))
    assert density.charges().sum() == pytest.approx(0.0, abs=1e-8)


def test_unknown_scheme(water_density: Density) -> None:
    with pytest.raises(ValueError, match="scheme is 'mulliken': give one of hirshfeld"):
        water_density.charges("mulliken")


def test_basis_without_atoms(small_basis: Basis) -> None:
    bare = small_basis.with_atomic_densities({})
    density = Density(Atoms("H"), bare, np.ones(bare.sizes[1]))
    message = "the basis 'small' has no atomic densities, .*: use a basis that has them"
    with pytest.raises(ValueError, match=message):
        density.charges()
