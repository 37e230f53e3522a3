"""Coulomb energies of molecules and crystals."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule

from ase_rholearn import Basis, Density

#: Energy of rock salt for unit charges at unit distance of neighbours.
MADELUNG = 1.747564594633182


def gaussian_charge(atoms: Atoms, exponents: dict[str, float], electrons: list[float]) -> Density:
    """Electrons in one s Gaussian an atom."""
    basis = Basis.from_shells({symbol: [(0, [a])] for symbol, a in exponents.items()})
    coefficients = np.array(electrons) / basis.electrons(atoms.numbers)
    return Density(atoms, basis, coefficients, normalize=False)


def test_hartree_energy_in_a_background() -> None:
    """The sum over frequencies, which converges for a wide Gaussian."""
    cell = np.array([[5.0, 0, 0], [1.0, 4.5, 0], [0.3, -0.4, 5.5]])
    a, atoms = 0.6, Atoms("He", cell=cell, pbc=True)
    rho = gaussian_charge(atoms, {"He": a}, [2.0])
    reciprocal = 2 * np.pi * np.linalg.inv(cell / units.Bohr).T
    integers = np.array([n for n in product(range(-16, 17), repeat=3) if any(n)])
    g2 = np.sum((integers @ reciprocal) ** 2, axis=1)
    volume = atoms.cell.volume / units.Bohr**3
    expected = 0.5 * np.sum(4 * np.pi / volume / g2 * (2 * np.exp(-g2 / (4 * a))) ** 2)
    assert rho.hartree_energy() == pytest.approx(expected * units.Hartree, rel=1e-9)


def test_neutral_atoms_do_not_feel_their_images() -> None:
    alone = Atoms("He", [[0.1, 0.2, 0.3]])
    crystal = Atoms("He", alone.positions, cell=[12, 12, 12], pbc=True)
    energies = [
        gaussian_charge(atoms, {"He": 1.3}, [2.0]).electrostatic_energy()
        for atoms in (alone, crystal)
    ]
    n = 2.0 * 2.0 * np.sqrt(1.3 / np.pi)
    expected = (0.5 * 4 * np.sqrt(2 * 1.3 / np.pi) - 2 * n) * units.Hartree
    np.testing.assert_allclose(energies, expected, atol=1e-6)


def test_ions_of_rock_salt() -> None:
    """Ions that do not overlap interact like points, whatever is inside them."""
    salt = bulk("NaCl", "rocksalt", a=5.64)
    rho = gaussian_charge(salt, {"Na": 30.0, "Cl": 20.0}, [10.0, 18.0])
    inside = 0.0
    for z, n, a in ((11, 10.0, 30.0), (17, 18.0, 20.0)):
        inside += 0.5 * n * n * np.sqrt(2 * a / np.pi) - 2 * z * n * np.sqrt(a / np.pi)
    between = -MADELUNG / (5.64 / 2 / units.Bohr)
    expected = (inside + between) * units.Hartree
    assert rho.electrostatic_energy() == pytest.approx(expected, abs=2e-5)
    twice = gaussian_charge(salt * (2, 1, 1), {"Na": 30.0, "Cl": 20.0}, [10.0, 18.0] * 2)
    assert twice.electrostatic_energy() == pytest.approx(2 * expected, abs=5e-5)


def test_energies_of_a_molecule_belong_together(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """Two molecules as one: their own energies and their interaction."""
    first, second = molecule("H2O"), molecule("H2O")
    second.translate([0.5, 3.0, 1.0])
    left, right = random_density(first, small_basis, seed=1), random_density(second, small_basis)
    coefficients = np.concatenate([left.coefficients, right.coefficients])
    both = Density(first + second, small_basis, coefficients, normalize=False)
    expected = left.electrostatic_energy() + right.electrostatic_energy()
    expected += left.coulomb_interaction(right)
    assert both.electrostatic_energy() == pytest.approx(expected, abs=1e-7)


def test_what_has_no_energy_is_refused(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    slab = random_density(Atoms("O", cell=[3, 3, 3], pbc=(True, True, False)), small_basis)
    for energy in (slab.hartree_energy, slab.electrostatic_energy):
        with pytest.raises(ValueError, match=r"energies of slabs and wires are not implemented"):
            energy()
    charged = gaussian_charge(Atoms("He", cell=[4, 4, 4], pbc=True), {"He": 1.0}, [1.0])
    with pytest.raises(ValueError, match=r"holds a charge of 1 e: .* give a neutral structure"):
        charged.electrostatic_energy()
