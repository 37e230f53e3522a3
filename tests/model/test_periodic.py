"""Periodic structures of any kind, and structures at the edges of what there is."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

CELLS = {
    "cubic": np.diag([4.0, 4.5, 5.0]),
    "triclinic": np.array([[4.0, 0.3, 0.1], [1.5, 4.2, -0.4], [-0.8, 1.1, 4.6]]),
    "smaller than the cutoff": np.diag([2.4, 2.6, 2.5]),
    "left-handed": np.array([[0.0, 4.0, 0.3], [4.2, 0.0, 0.0], [0.5, 0.2, 4.4]]),
}
PERIODS = [(True, True, True), (True, True, False), (False, True, False), (True, False, True)]


def in_cell(cell: np.ndarray, pbc: tuple[bool, ...]) -> Atoms:
    """A molecule that sticks out of its cell."""
    atoms = molecule("H2CO", cell=cell, pbc=pbc)
    atoms.translate([0.3, 0.2, 0.1])
    return atoms


@pytest.mark.parametrize("pbc", PERIODS)
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_equals_a_cluster_of_images(model, cell, pbc):
    """Atoms of the cell have the coefficients of the same atoms in a large cluster."""
    atoms = in_cell(cell, pbc)
    counts = [4 if periodic else 0 for periodic in pbc]
    shifts = np.array(np.meshgrid(*[np.arange(-n, n + 1) for n in counts])).reshape(3, -1).T
    shifts = shifts[np.argsort((shifts != 0).any(axis=1), kind="stable")]  # the cell comes first
    positions = np.concatenate([atoms.positions + shift @ cell for shift in shifts])
    cluster = Atoms(np.tile(atoms.numbers, len(shifts)), positions=positions)
    expected = model.coefficients([cluster])[0][: model.basis.size(atoms.numbers)]
    np.testing.assert_allclose(model.coefficients([atoms])[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pbc", PERIODS)
def test_moving_single_atoms_by_lattice_vectors_changes_nothing(model, pbc):
    atoms = in_cell(CELLS["triclinic"], pbc)
    moved = atoms.copy()
    shifts = np.random.default_rng(0).integers(-3, 4, (len(atoms), 3)) * np.array(pbc)
    moved.positions += shifts @ atoms.cell.array
    np.testing.assert_allclose(
        model.coefficients([moved])[0], model.coefficients([atoms])[0], rtol=0, atol=1e-10
    )


def test_supercell_repeats_the_coefficients(model):
    atoms = bulk("C", a=3.6)
    atoms.numbers[1] = 8
    one = model.coefficients([atoms])[0]
    many = model.coefficients([atoms.repeat((2, 1, 3))])[0]
    np.testing.assert_allclose(many, np.tile(one, 6), rtol=0, atol=1e-10)


@pytest.mark.parametrize("symbol", ["H", "C", "O"])
def test_single_atom_has_only_spherical_coefficients(model, symbol):
    """No neighbour list, other species absent; symmetry leaves l = 0 alone."""
    tensor = model.predict([Atoms(symbol)])
    assert {(int(k["o3_lambda"]), int(k["center_type"])) for k in tensor.keys} == {
        (l, z) for z in model.basis.species for l in range(4) if model.basis.radial_functions(z, l)
    }
    for key, block in tensor.items():
        if len(block.samples) and key["o3_lambda"] > 0:
            assert np.abs(block.values.numpy()).max() == 0.0


def test_atoms_without_neighbours_equal_single_atoms(model):
    far = Atoms("COH", positions=[[0, 0, 0], [9, 0, 0], [0, 9, 0]])
    alone = [model.coefficients([Atoms(symbol)])[0] for symbol in "COH"]
    np.testing.assert_allclose(model.coefficients([far])[0], np.concatenate(alone), atol=1e-12)


def test_a_cell_without_periods_is_ignored(model):
    atoms = molecule("H2CO")
    boxed = molecule("H2CO", cell=[3.0, 3.0, 3.0])
    np.testing.assert_array_equal(model.coefficients([boxed])[0], model.coefficients([atoms])[0])
