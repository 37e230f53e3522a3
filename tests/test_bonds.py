"""Molecules are found by their bonds and made whole."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, molecule

from ase_rholearn.bonds import molecules


@pytest.fixture
def liquid():
    """Three different molecules in a skew cell, far from each other."""
    together = molecule("CH3CH2OH")
    for k, name in enumerate(("H2O", "NH3"), start=1):
        other = molecule(name)
        other.translate([0.4 * k, 4.0 * k, 0.3])
        together += other
    together.set_cell([[9, 0, 0], [2, 12, 0], [0, 1, 8]])
    together.pbc = True
    return together


def test_molecules_are_counted_by_their_first_atoms(liquid):
    found = molecules(liquid)
    assert found.labels.tolist() == [0] * 9 + [1] * 3 + [2] * 4
    assert len(found) == 3


@pytest.mark.parametrize("seed", range(3))
def test_molecules_are_whole_wherever_the_border_is(liquid, seed):
    """Distances inside molecules are those of the unwrapped structure."""
    expected = molecules(liquid)
    moved = liquid.copy()
    moved.translate(np.random.default_rng(seed).uniform(-20, 20, 3))
    moved.wrap()
    found = molecules(moved)
    np.testing.assert_array_equal(found.labels, expected.labels)
    for label in range(3):
        mine = found.labels == label
        np.testing.assert_allclose(
            found.positions[mine] - found.positions[mine][0],
            liquid.positions[mine] - liquid.positions[mine][0],
            atol=1e-9,
        )


def test_atoms_alone_are_molecules():
    assert len(molecules(molecule("H2O")[[1, 2]])) == 2


@pytest.mark.parametrize("crystal", [bulk("Cu"), bulk("NaCl", "rocksalt", 5.6).repeat(2)])
def test_bonds_without_end_are_refused(crystal):
    with pytest.raises(ValueError, match="go on through its periods without end"):
        molecules(crystal)
