"""What the gradient is made of: weights of the grid, functionals that fade out, PySCF's grid."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units

from ase_rholearn.references.pyscf.molecule import build_molecule
from ase_rholearn.scf.molecular_grid import MolecularGrid
from ase_rholearn.scf.semilocal import BELOW, Semilocal

#: Atoms of several sizes, and one that is far from all others.
ATOMS = Atoms("OHHCl", [[0.3, -0.2, 0.1], [1.2, -0.1, 0.3], [0.0, 0.5, 0.75], [0.2, 9.0, 0.4]])


def grid(atoms: Atoms) -> MolecularGrid:
    return MolecularGrid.of(build_molecule(atoms, "sto-3g", spin=1), 0)


def test_it_is_the_grid_of_pyscf() -> None:
    from pyscf.dft.gen_grid import Grids

    usual = Grids(build_molecule(ATOMS, "sto-3g", spin=1))
    usual.level = 0
    usual.build(sort_grids=False)
    own = grid(ATOMS)
    np.testing.assert_array_equal(own.points, usual.coords[: len(own.points)])
    np.testing.assert_array_equal(own.weights, usual.weights[: len(own.points)])
    found = np.concatenate([chosen for _, chosen in own.blocks()])
    np.testing.assert_array_equal(np.sort(found), np.arange(len(own.points)))


def test_weights_change_with_nuclei() -> None:
    """Against differences; when all nuclei move together nothing changes."""
    random = np.random.default_rng(0)
    values = random.normal(size=len(grid(ATOMS).points))
    gradient = grid(ATOMS).weight_gradient(values)
    np.testing.assert_allclose(gradient.sum(axis=0), 0.0, atol=1e-8)
    direction, step = random.normal(size=(4, 3)), 1e-5
    sums = []
    for sign in (1, -1):
        moved = ATOMS.copy()
        moved.positions += sign * step * direction * units.Bohr
        sums.append(grid(moved).weights @ values)
    expected = (sums[0] - sums[1]) / (2 * step)
    assert (gradient * direction).sum() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("xc", ["LDA,VWN", "PBE", "BLYP"])
def test_kernel_is_the_slope_of_the_potential(xc: str) -> None:
    """Also where the functional fades out, and where there is less than no density."""
    random = np.random.default_rng(0)
    functional = Semilocal(xc)
    rho = np.array([0.3, 1e-2, 1e-5, 1.5 * BELOW, 0.9 * BELOW, 0.5 * BELOW, 0.1 * BELOW, -BELOW])
    rows = rho * random.uniform(0.3, 1.0, size=(4 if functional.is_gga else 1, len(rho)))
    rows[0] = rho
    change = np.abs(rho) * random.normal(size=rows.shape)
    potentials = [functional.potential(rows + h * change)[1] for h in (1e-4, -1e-4)]
    expected = (potentials[0] - potentials[1]) / 2e-4
    found = functional.kernel(rows, change)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-10)
    energies = [functional.potential(rows + h * change)[0] for h in (1e-4, -1e-4)]
    slope = (functional.potential(rows)[1] * change).sum(axis=0)
    np.testing.assert_allclose(slope, (energies[0] - energies[1]) / 2e-4, rtol=1e-6, atol=1e-16)
    assert (functional.potential(rows)[1][:, -1] == 0).all()
