"""Dipole moments of molecules from Hirshfeld's atoms."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from ase_rholearn import Density, load_model
from ase_rholearn.density.charges import molecular_dipoles


@pytest.fixture(scope="module")
def density_of():
    model = load_model("water-pbe", "cpu")

    def predict(atoms: Atoms) -> Density:
        return Density(atoms, model.basis, model.coefficients([atoms])[0])

    return predict


@pytest.fixture(scope="module")
def dimer() -> Atoms:
    second = molecule("H2O")
    second.rotate(70, "x")
    second.translate([0.3, 2.9, 0.4])
    return molecule("H2O") + second


def test_alone_it_is_the_dipole_moment(density_of):
    rho = density_of(molecule("H2O"))
    found = molecular_dipoles(rho, level=2)
    np.testing.assert_allclose(found.dipoles, [rho.dipole()], atol=1e-4)
    np.testing.assert_allclose(found.charges, 0.0, atol=1e-10)


def test_with_their_charges_they_add_up(density_of, dimer):
    """Charges times centres and dipoles of the molecules are the dipole of the cluster."""
    rho = density_of(dimer)
    found = molecular_dipoles(rho, level=1)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert abs(found.charges[0]) > 1e-3  # a hydrogen bond
    cores = rho.core_charges
    centres = [
        np.average(dimer.positions[found.labels == k], axis=0, weights=cores[found.labels == k])
        for k in range(2)
    ]
    total = found.dipoles.sum(axis=0) + found.charges @ np.array(centres)
    np.testing.assert_allclose(total, rho.dipole(), atol=2e-3)


def test_the_border_of_the_cell_does_not_matter(density_of):
    """A water molecule in a large box, once whole and once on both sides of the border."""
    whole = molecule("H2O", cell=[9, 9, 9], pbc=True)
    whole.translate([4, 4, 4])
    split = whole.copy()
    split.translate([5.0, 0, 0.4])
    split.wrap()
    expected, found = (molecular_dipoles(density_of(a), level=0).dipoles for a in (whole, split))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    alone = density_of(molecule("H2O")).dipole()
    np.testing.assert_allclose(found, [alone], atol=5e-3)
