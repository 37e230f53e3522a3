"""Bases and densities that the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from ase_rholearn import Basis, Density
from ase_rholearn.basis import AtomicDensity, Shell, even_tempered

#: Rough free atoms: a core, a valence shell and a tail, with the right number of electrons.
ATOMS = {
    1: AtomicDensity((1.5, 0.4), tuple(0.5 * (a / np.pi) ** 1.5 for a in (1.5, 0.4))),
    6: AtomicDensity(
        (40.0, 0.5), tuple(n * (a / np.pi) ** 1.5 for n, a in ((2.0, 40.0), (4.0, 0.5)))
    ),
    8: AtomicDensity(
        (90.0, 0.9), tuple(n * (a / np.pi) ** 1.5 for n, a in ((2.0, 90.0), (6.0, 0.9)))
    ),
}


@pytest.fixture(scope="session")
def basis() -> Basis:
    """The recipe's basis for H, C and O, with atomic densities."""
    return even_tempered(["H", "C", "O"], beta=2.2).with_atomic_densities(ATOMS)


@pytest.fixture(scope="session")
def small_basis() -> Basis:
    """A few functions up to l = 3, one of them contracted, for brute-force sums."""
    shells = {
        z: (
            Shell.normalized(0, [3.0, 0.6], [0.4, 0.7]),
            Shell.normalized(0, [0.35]),
            Shell.normalized(1, [0.8]),
            Shell.normalized(2, [0.9]),
            *((Shell.normalized(3, [1.1]),) if z > 1 else ()),
        )
        for z in (1, 6, 8)
    }
    return Basis(shells, ATOMS, name="small")


@pytest.fixture
def random_density() -> Callable[..., Density]:
    """A density of some atoms with coefficients of a physical size."""

    def build(
        atoms: Atoms, basis: Basis, *, seed: int = 0, scale: float = 0.2, normalize: bool = True
    ) -> Density:
        coefficients = np.random.default_rng(seed).normal(0, scale, basis.size(atoms.numbers))
        return Density(atoms, basis, coefficients, normalize=normalize)

    return build


@pytest.fixture
def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.rotate(40, (1, 2, 3))
    return atoms


@pytest.fixture
def water_density(water: Atoms, basis: Basis, random_density: Callable[..., Density]) -> Density:
    return random_density(water, basis)


@pytest.fixture
def water_box() -> Atoms:
    """64 molecules on a lattice, each turned at random: 12.4 Angstrom, as dense as water."""
    rng = np.random.default_rng(0)
    box = Atoms(cell=[12.4, 12.4, 12.4], pbc=True)
    for site in np.ndindex(4, 4, 4):
        one = molecule("H2O")
        one.rotate(rng.uniform(0, 360), rng.normal(size=3))
        one.positions += np.array(site) * 3.1 + 0.4
        box += one
    return box
