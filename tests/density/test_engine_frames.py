"""Frames that are not one period of the structure: sub-boxes, supercells, rotated boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import graphene
from reference_density import brute_force
from scipy.spatial.transform import Rotation

from ase_rholearn import Basis, Density
from ase_rholearn.density import Grid
from ase_rholearn.density.evaluation.images import folded_axes, placed_classes
from ase_rholearn.density.evaluation.terms import density_terms

FCC = np.array([[0, 2.1, 2.1], [2.1, 0, 2.1], [2.1, 2.1, 0]])
TURN = Rotation.from_rotvec([0.3, 0.5, -0.2]).as_matrix()
SKEW = np.array([[2.0, 0, 0], [0.7, 2.0, 0], [0.5, 0.4, 3.0]])


def crystal(cell: np.ndarray = FCC) -> Atoms:
    return Atoms("OH", [[0.2, 0.1, 0.4], [1.1, 0.2, 0.6]], cell=cell, pbc=True)


def slab() -> Atoms:
    atoms = graphene(vacuum=2.0)
    atoms.pbc = (True, True, False)
    atoms.rattle(0.1, seed=0)
    return atoms


def chain() -> Atoms:
    return Atoms(
        "OH",
        [[0.2, 0.1, 0.4], [1.1, 0.2, 0.6]],
        cell=[[2.0, 1.0, 0.5], [0, 0, 0], [0, 0, 0]],
        pbc=(True, False, False),
    )


def molecule() -> Atoms:
    atoms = crystal()
    atoms.pbc = False
    return atoms


FRAMES = {
    "part of a skew cell": (crystal(), FCC * np.array([[0.7], [0.6], [0.8]])),
    "supercell": (crystal(), FCC * np.array([[2], [1], [3]])),
    "conventional cell": (crystal(), 4.2 * np.eye(3)),
    "turned cell": (crystal(), FCC @ TURN),
    "turned box": (crystal(), 2.0 * TURN),
    "one period, two of none": (crystal(), np.array([FCC[0], [0, 2.0, 0], [1.0, 0.5, 2.5]])),
    "part of a box": (crystal(np.diag([2.0, 2.2, 2.4])), np.diag([2.0, 1.2, 4.8])),
    "axes exchanged": (crystal(np.diag([2.0, 2.2, 2.4])), -np.diag([2.0, 2.2, 2.4])[[1, 0, 2]]),
    "left-handed": (crystal(), FCC[[1, 0, 2]]),
    "part of a slab": (slab(), slab().cell.array * np.array([[0.5], [1.0], [0.8]])),
    "slab, tilted axis": (slab(), slab().cell.array + np.array([[0, 0, 0], [0, 0, 0], [1, 1, 0]])),
    "chain, straight box": (chain(), 3.0 * np.eye(3)),
    "chain, skew box": (chain(), np.array([[2.0, 1.0, 0.5], [0, 2.0, 0], [0, 1.0, 3.0]])),
    "molecule, skew box": (molecule(), SKEW),
    "molecule, first axis longest": (molecule(), SKEW[[2, 0, 1]]),
    "molecule, turned box": (molecule(), 2.0 * TURN),
    "plane": (crystal(), np.array([[2.0, 0, 0], [0.7, 2.0, 0], [0, 0, 0]])),
}


@pytest.fixture
def build(small_basis: Basis, random_density: Callable[..., Density]) -> Callable[..., Density]:
    def density(atoms: Atoms) -> Density:
        return random_density(atoms, small_basis)

    return density


@pytest.mark.parametrize("name", FRAMES)
def test_frames_equal_points(name: str, build: Callable[..., Density]) -> None:
    """Whole, and in slabs."""
    atoms, cell = FRAMES[name]
    density = build(atoms)
    frame = Grid(np.zeros((6, 5, 7)), np.array([0.3, -0.4, 0.2]), cell)
    expected = density.evaluate(frame.points().reshape(-1, 3)).reshape(frame.shape)
    values = density.on_frame(frame).values
    np.testing.assert_allclose(values, expected, rtol=1e-11, atol=1e-9)
    slabs = [part for _, part in density.iterate_frame(frame, memory=600)]
    assert len(slabs) == 3
    np.testing.assert_allclose(np.concatenate(slabs), expected, rtol=1e-11, atol=1e-9)


def test_frame_equals_image_sum(build: Callable[..., Density]) -> None:
    """By independent code."""
    density = build(crystal())
    frame = Grid(np.zeros((3, 4, 3)), np.array([0.3, -0.4, 0.2]), SKEW)
    expected = brute_force(density, frame.points().reshape(-1, 3), 12.0).reshape(frame.shape)
    np.testing.assert_allclose(density.on_frame(frame).values, expected, rtol=1e-11, atol=1e-9)


def test_nothing_in_reach(build: Callable[..., Density]) -> None:
    frame = Grid(np.zeros((3, 4, 3)), np.array([100.0, 0, 0]), SKEW)
    np.testing.assert_array_equal(build(molecule()).on_frame(frame).values, 0.0)


def test_voxel_averages_of_frames_keep_the_electrons(small_basis: Basis) -> None:
    """A turned box around a molecule, and a skew one."""
    density = Density(molecule(), small_basis, np.zeros(small_basis.size([8, 1])))
    for cell in (9.0 * TURN, 4.5 * SKEW @ TURN):
        origin = density.atoms.positions.mean(axis=0) - cell.sum(axis=0) / 2
        shape = tuple(np.ceil(np.linalg.norm(cell, axis=1) / 0.25).astype(int))
        frame = Grid(np.broadcast_to(np.zeros(1), shape), origin, cell)
        electrons = density.on_frame(frame, core="voxel-average", tolerance=1e-8).integral
        assert electrons == pytest.approx(9, abs=1e-3)


def test_folded_axes_are_lattice_vectors() -> None:
    every = np.ones(3, dtype=bool)
    cell = np.array([FCC[0] - 2 * FCC[1], FCC[1] / 2, 1.0001 * FCC[2]])
    assert folded_axes(cell, FCC, every).tolist() == [True, False, False]
    assert not folded_axes(FCC, FCC, ~every).any()


def test_each_image_is_taken_once(small_basis: Basis) -> None:
    """In a supercell of 2 x 1 x 3 every atom has six images, and no other one is in reach."""
    atoms = crystal()
    numbers, cell = atoms.numbers, atoms.cell.array
    coefficients = np.ones(small_basis.size(numbers))
    terms = density_terms(small_basis, numbers, atoms.positions, coefficients, tolerance=1e-12)
    large = cell * np.array([[2], [1], [3]])
    placed = placed_classes(terms, np.zeros(3), large, (4, 4, 4), cell, atoms.pbc)
    for atom in placed:
        for one in atom:
            fractional = one.centres @ np.linalg.inv(large) % 1.0
            assert len(np.unique(fractional.round(9), axis=0)) == len(fractional) == 6
