"""Rattling: what holds for any structure, and the distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn.bonds import close_pairs
from ase_rholearn.training.sampling import Rattle, SamplingError, rattle
from ase_rholearn.training.sampling.bonds import BondGraph

STRUCTURES = {
    "molecule": molecule("CH3CH2OH"),
    "crystal": bulk("Si", cubic=True),
    "primitive cell": bulk("NaCl", "rocksalt", a=5.64),
    "slab": fcc111("Al", (1, 1, 3), vacuum=6.0),
    "wire": Atoms("C2H2", [[0, 0, 0], [1.2, 0.5, 0], [0, -1, 0], [1.2, 1.5, 0]], pbc=[1, 0, 0]),
}
STRUCTURES["slab"].pbc = [True, True, False]
STRUCTURES["wire"].cell = np.diag([2.5, 0, 0])


def nearest(atoms: Atoms) -> float:
    """Least distance over the sum of covalent radii, by ASE."""
    radii = 3 * covalent_radii[atoms.numbers]
    i, j, d = neighbor_list("ijd", atoms, radii)
    return float((d / (covalent_radii[atoms.numbers[i]] + covalent_radii[atoms.numbers[j]])).min())


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(STRUCTURES)),
    stdev=st.floats(0.001, 0.15),
    strain=st.just(0.0) | st.floats(1e-4, 0.05),
    closest=st.floats(0, 0.8),
    seed=st.integers(0, 2**40),
)
def test_contract(name: str, stdev: float, strain: float, closest: float, seed: int) -> None:
    atoms = STRUCTURES[name].copy()
    atoms.info = {"charge": 2, "smiles": "CCO"}
    before = atoms.copy()
    plan = Rattle(copies=3, stdev=stdev, strain=strain, closest=closest)
    copies = rattle(atoms, plan, seed)

    assert atoms == before
    assert atoms.info == before.info
    assert len(copies) == 3
    for copy in copies:
        assert copy.numbers.tolist() == atoms.numbers.tolist()
        assert copy.pbc.tolist() == atoms.pbc.tolist()
        assert copy.info == {"charge": 2, "smiles": "CCO", "source": "rattling"}
        assert np.isfinite(copy.positions).all()
        assert nearest(copy) >= closest
        changed = not np.array_equal(copy.cell.array, atoms.cell.array)
        assert changed == (bool(strain) and bool(atoms.pbc.any()))
    assert not np.array_equal(copies[0].positions, copies[1].positions)
    # the same again; also where fewer are asked for
    fewer = rattle(atoms, Rattle(2, stdev, closest, strain, original=True), seed)
    assert fewer[0] == atoms
    assert fewer[1:] == copies[:2]


def test_displacements_are_gaussian() -> None:
    argon = Atoms("Ar", [[1.0, 2.0, 3.0]])
    copies = rattle(argon, Rattle(copies=4000, stdev=0.07), seed=3)
    displacements = np.array([copy.positions[0] - argon.positions[0] for copy in copies])
    covariance = np.cov(displacements.T) / 0.07**2
    # standard error of a variance of 4000 draws is 2.2 %
    np.testing.assert_allclose(covariance, np.eye(3), atol=0.08)
    np.testing.assert_allclose(displacements.mean(axis=0), 0, atol=4 * 0.07 / 4000**0.5)


def test_strain_is_symmetric_and_moves_atoms_along() -> None:
    atoms = bulk("Si", cubic=True)
    copies = rattle(atoms, Rattle(copies=2000, stdev=0, strain=0.02), seed=1)
    strains = np.array([np.linalg.solve(atoms.cell.array, c.cell.array) for c in copies])
    strains -= np.eye(3)
    np.testing.assert_allclose(strains, strains.transpose(0, 2, 1), atol=1e-12)
    np.testing.assert_allclose(strains.std(axis=0), 0.02, rtol=0.08)
    np.testing.assert_allclose(
        copies[0].cell.scaled_positions(copies[0].positions),
        atoms.cell.scaled_positions(atoms.positions),
        atol=1e-12,
    )


def test_strain_leaves_the_direction_of_the_vacuum() -> None:
    slab = STRUCTURES["slab"]
    copy = rattle(slab, Rattle(stdev=0, strain=0.05, closest=0.5), seed=2)[0]
    np.testing.assert_allclose(copy.positions[:, 2], slab.positions[:, 2], atol=1e-12)
    np.testing.assert_allclose(copy.cell.array[:2, 2], 0, atol=1e-12)
    np.testing.assert_allclose(copy.cell.array[2], slab.cell.array[2], atol=1e-12)
    assert abs(copy.cell.array[0, 0] / slab.cell.array[0, 0] - 1) > 1e-4


def test_strain_does_nothing_to_molecules() -> None:
    water = molecule("H2O")
    plain, strained = (rattle(water, Rattle(strain=s), seed=2)[0] for s in (0.0, 0.1))
    assert plain == strained


def test_constraints_hold() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.set_constraint(FixAtoms([0, 3]))
    copy = rattle(atoms, Rattle(stdev=0.1), seed=0)[0]
    moved = np.linalg.norm(copy.positions - atoms.positions, axis=1) > 0
    assert np.flatnonzero(~moved).tolist() == [0, 3]


def test_atoms_that_are_too_close() -> None:
    hydrogen = Atoms("H2", [[0, 0, 0], [0, 0, 0.45]])
    with pytest.raises(SamplingError, match=r"nearer than closest = 0\.75"):
        rattle(hydrogen)
    with pytest.raises(SamplingError, match=r"200 draws .* lower stdev \(1\)"):
        rattle(molecule("C60"), Rattle(stdev=1.0, closest=0.9))


def test_images_count_for_closeness() -> None:
    chain = Atoms("He", cell=[0.5, 8, 8], pbc=[True, False, False])
    with pytest.raises(SamplingError, match="atoms 0 and 0"):
        rattle(chain, Rattle(closest=1))


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"copies": 0}, ValueError, "copies is 0: give 1 or more"),
        ({"copies": 1.5}, TypeError, r"copies is 1.5: give an integer"),
        ({"copies": True}, TypeError, "copies is True"),
        ({"stdev": -0.1}, ValueError, r"stdev is -0.1: .* of at least 0 and of at most 1"),
        ({"stdev": float("nan")}, ValueError, "stdev is nan"),
        ({"stdev": "much"}, TypeError, r"stdev is 'much': give a number \(Angstrom\)"),
        ({"closest": 2}, ValueError, "closest is 2"),
        ({"strain": 0.5}, ValueError, "strain is 0.5"),
        ({"stdev": 0}, ValueError, "stdev and strain are 0"),
    ],
)
def test_bad_parameters(parameters: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Rattle(**parameters)


def test_bonds_across_the_boundary_and_outside_the_cell() -> None:
    water = molecule("H2O")
    water.cell = np.diag([5.0, 6.0, 7.0])
    water.pbc = True
    water.wrap()
    graph = BondGraph(water)
    assert len(close_pairs(water, 1.3).i) == 4  # two bonds, both directions
    for shift in ([0.4, 0.3, 0.2], [7.0, -8.0, 13.0]):  # as drift in a simulation, never wrapped
        moved = water.copy()
        moved.positions += shift
        assert graph.change(moved) is None
    moved.positions[1] += [0, 1.5, 0]
    assert "broke" in str(graph.change(moved))


def test_a_new_bond_is_seen() -> None:
    pair = Atoms("HeH2", [[0, 0, 3], [0, 0, 0], [0, 0, 0.74]])
    graph = BondGraph(pair)
    assert graph.change(pair) is None
    pair.positions[0, 2] = 1.3
    assert graph.change(pair) == "the bond He0-H2 formed"
