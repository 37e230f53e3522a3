"""Densities of Gaussians on product bases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from radial import product_basis

from ase_rholearn import Basis, Density
from ase_rholearn.aims import write_restart
from ase_rholearn.aims.projection import project_density
from ase_rholearn.basis import AtomicDensity, NumericalShell, UnknownShell

WATER = Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
GAUSSIANS = Basis.from_shells(
    {"O": [(0, [8.0, 1.5, 0.4]), (1, [1.0, 0.5])], "H": [(0, [1.2, 0.4]), (1, [0.8])]}
)


def tabulated(basis: Basis, factor: float) -> Basis:
    """The same functions as tables, of another norm."""
    r = np.geomspace(1e-4, 12.0, 500)
    shells = {
        z: tuple(
            NumericalShell(s.l, tuple(r), tuple(factor * s.radial(r) * (r < 11.9))) for s in own
        )
        for z, own in basis.shells.items()
    }
    return Basis(shells, name="tables")


@pytest.fixture(scope="module")
def rho() -> Density:
    random = np.random.default_rng(0)
    layout = GAUSSIANS.layout(WATER.numbers)
    values = random.uniform(0.2, 0.4, len(layout.l)) * np.where(layout.l == 0, 1.0, 0.1)
    return Density(WATER, GAUSSIANS, values)


def test_functions_of_another_norm_give_the_same_density(rho: Density, tmp_path: Path) -> None:
    found = project_density(rho, tabulated(GAUSSIANS, 2.5), level=1)
    np.testing.assert_allclose(2.5 * found.coefficients, rho.coefficients, atol=1e-5)
    assert found.nmae < 1e-3
    assert abs(found.charge_shift) < 1e-5
    write_restart(tmp_path, WATER, found.coefficients, version=240925)
    np.testing.assert_array_equal(
        np.loadtxt(tmp_path / "ri_restart_coeffs.out"), found.coefficients
    )


def test_another_basis_holds_the_electrons_and_says_what_it_misses(rho: Density) -> None:
    basis = product_basis()
    found = project_density(rho, basis, level=1)
    other = Density(WATER, basis, found.coefficients, normalize=False)
    assert other.number_of_electrons == pytest.approx(10, abs=1e-9)
    assert 0.1 < found.nmae < 20
    # the best there is: any change makes the squared error larger
    fitted = project_density(other, basis, level=1)
    np.testing.assert_allclose(fitted.coefficients, found.coefficients, atol=1e-6)


def test_in_a_crystal_functions_are_those_of_all_cells() -> None:
    free = {z: AtomicDensity((0.8,), (float(z) * (0.8 / np.pi) ** 1.5,)) for z in GAUSSIANS.species}
    basis = GAUSSIANS.with_atomic_densities(free)
    crystal = WATER.copy()
    crystal.set_cell([3.2, 3.4, 3.6])
    crystal.pbc = True
    random = np.random.default_rng(1)
    values = 0.02 * random.normal(size=basis.size(WATER.numbers))
    rho = Density(crystal, basis, values)
    shells = dict(GAUSSIANS.shells)
    extra = Basis.from_shells({"O": [(0, [0.8])], "H": [(0, [0.8])]})
    both = {z: tuple(sorted((*shells[z], *extra.shells[z]), key=lambda s: s.l)) for z in shells}
    found = project_density(rho, tabulated(Basis(both), 0.5), level=1)
    assert found.nmae < 0.05
    assert abs(found.charge_shift) < 1e-2


def test_what_is_refused(rho: Density) -> None:
    unknown = Basis({z: (UnknownShell(0),) for z in (1, 8)}, name="unknown")
    with pytest.raises(ValueError, match="'unknown' are not known, and project_density needs"):
        project_density(rho, unknown)
    with pytest.raises(ValueError, match="does not know the species O"):
        project_density(rho, Basis({1: product_basis().shells[1]}))
    valence = Basis(product_basis().shells, kind="valence", core_charges={1: 1, 8: 6})
    with pytest.raises(ValueError, match="the density is all-electron, the basis valence"):
        project_density(rho, valence)
