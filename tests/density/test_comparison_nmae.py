"""The normalised mean absolute error where structures are shared, and on grids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from ase_rholearn import Basis, Density
from ase_rholearn.density.comparison import nmae


def test_short_cut_equals_the_quadrature(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """A function of points hides that only the coefficients differ."""
    first, second = (random_density(molecule("H2O"), small_basis, seed=s) for s in (1, 2))
    expected = nmae(first, second.evaluate)
    assert nmae(first, second) == pytest.approx(expected, rel=2e-4)
    assert nmae(first, first) == 0.0
    moved = second.atoms.copy()
    moved.positions[0, 0] += 1e-9
    almost = Density(moved, small_basis, second.raw_coefficients)
    assert nmae(first, almost) == pytest.approx(expected, rel=1e-5)


def test_cores_of_crystals(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    """Voxel averages are chosen where axes are at right angles, and keep electrons."""
    atoms = Atoms("OH", [[0, 0, 0], [0.9, 0.3, 0]], cell=[3.0, 3.2, 3.4], pbc=True)
    first, second = (random_density(atoms, small_basis, seed=s) for s in (1, 2))
    averaged = nmae(first, second, spacing=0.2)
    assert averaged == nmae(first, second, spacing=0.2, core="voxel-average")
    assert averaged == pytest.approx(nmae(first, second, spacing=0.2, core="point"), rel=1e-2)
    # of other structures the electrons of the grid are the norm
    moved = atoms.copy()
    moved.positions[1] += 0.1
    other = random_density(moved, small_basis, seed=2)
    grids = [rho.on_grid(0.2, core="voxel-average").values for rho in (first, other)]
    expected = 100 * np.abs(grids[0] - grids[1]).sum() / grids[1].sum()
    assert nmae(first, other, spacing=0.2) == pytest.approx(expected, rel=1e-9)
    assert grids[1].sum() * 3.0 * 3.2 * 3.4 / grids[1].size == pytest.approx(9, rel=1e-3)


def test_errors(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    rho = random_density(Atoms("O", cell=[3, 3, 3], pbc=True), small_basis)
    with pytest.raises(ValueError, match=r'the reference is a function.* use core="point"'):
        nmae(rho, rho.evaluate, core="voxel-average")
    with pytest.raises(ValueError, match="core is 'x'"):
        nmae(rho, rho, core="x")
    with pytest.raises(ValueError, match="different periods"):
        nmae(rho, random_density(Atoms("O"), small_basis))
