"""Predicted coefficients transform as the physics demands."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ase_rholearn import Density
from ase_rholearn.model import DensityModel

MOLECULES = ["CH3CH2OH", "H2O", "CO2", "C6H6", "CH4", "H2CO"]


def predicted(model: DensityModel, atoms: Atoms) -> np.ndarray:
    return model.coefficients([atoms])[0]


def random_matrix(seed: int, *, inverted: bool) -> np.ndarray:
    matrix = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    return -matrix if inverted else matrix


def molecule_and_image(name: str, matrix: np.ndarray) -> tuple[Atoms, Atoms]:
    atoms = molecule(name)
    turned = atoms.copy()
    turned.positions = atoms.positions @ matrix.T
    return atoms, turned


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(MOLECULES), seed=st.integers(0, 2**31), inverted=st.booleans())
def test_rotated_coefficients_give_the_rotated_density(model, name, seed, inverted):
    """Random rotations and inversion: the same values at the rotated points, to 1e-10."""
    matrix = random_matrix(seed, inverted=inverted)
    atoms, turned = molecule_and_image(name, matrix)
    points = np.random.default_rng(seed).normal(scale=2.0, size=(50, 3))
    first = Density(atoms, model.basis, predicted(model, atoms), normalize=False)
    second = Density(turned, model.basis, predicted(model, turned), normalize=False)
    expected = first.evaluate(points, tolerance=1e-14)
    actual = second.evaluate(points @ matrix.T, tolerance=1e-14)
    assert np.abs(actual - expected).max() < 1e-10 * max(1.0, np.abs(expected).max())


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(MOLECULES), seed=st.integers(0, 2**31), inverted=st.booleans())
def test_coefficients_rotate_with_the_wigner_matrices(model, name, seed, inverted):
    """Each block of order l is multiplied by D_l, found here from the harmonics themselves."""
    import torch

    from ase_rholearn.basis import solid_harmonics

    matrix = random_matrix(seed, inverted=inverted)
    atoms, turned = molecule_and_image(name, matrix)
    rng = np.random.default_rng(1)
    points = rng.normal(size=(60, 3))
    before = solid_harmonics(torch.from_numpy(points), 3).numpy()
    after = solid_harmonics(torch.from_numpy(points @ matrix.T), 3).numpy()
    first, second = model.predict([atoms]), model.predict([turned])
    for key, block in first.items():
        l = int(key["o3_lambda"])
        columns = slice(l * l, (l + 1) ** 2)
        wigner = np.linalg.lstsq(before[:, columns], after[:, columns], rcond=None)[0].T
        expected = np.einsum("mn,anq->amq", wigner, block.values.numpy())
        actual = second.block(key).values.numpy()
        assert np.abs(actual - expected).max(initial=0.0) < 1e-10


def test_permutation(model):
    atoms = molecule("CH3CH2OH")
    order = np.random.default_rng(0).permutation(len(atoms))
    layout = model.basis.layout(atoms.numbers)
    parts = [predicted(model, atoms)[layout.atom == a] for a in order]
    np.testing.assert_allclose(
        predicted(model, atoms[order]), np.concatenate(parts), rtol=0, atol=1e-12
    )


def test_translation(model):
    atoms = molecule("CH3CH2OH")
    moved = atoms.copy()
    moved.translate([3.0, -5.0, 7.0])
    np.testing.assert_allclose(predicted(model, moved), predicted(model, atoms), atol=1e-11)


def test_far_molecules_do_not_see_each_other(model):
    """50 Angstrom apart, each has the coefficients that it has alone: size-extensivity."""
    first, second = molecule("CH3CH2OH"), molecule("C6H6")
    moved = second.copy()
    moved.translate([50.0, 0.0, 0.0])
    alone = np.concatenate([predicted(model, first), predicted(model, second)])
    np.testing.assert_allclose(predicted(model, first + moved), alone, rtol=0, atol=1e-10)


def test_mirror_image_atoms_of_a_symmetric_molecule_agree(model):
    """Equal atoms of CO2 have equal l = 0 coefficients and opposite l = 1 ones."""
    atoms = molecule("CO2")
    tensor = model.predict([atoms])
    for key, block in tensor.items():
        if key["center_type"] == 8:
            first, second = block.values.numpy()
            sign = (-1) ** int(key["o3_lambda"])
            np.testing.assert_allclose(second, sign * first, atol=1e-12)


@pytest.mark.parametrize("distance", [2.9999999, 3.0])
def test_smooth_at_the_cutoff(model, distance):
    """A neighbour that leaves the cutoff changes nothing at that moment."""
    pair = Atoms("CO", positions=[[0, 0, 0], [0, 0, distance]])
    beyond = Atoms("CO", positions=[[0, 0, 0], [0, 0, 3.0000001]])
    np.testing.assert_allclose(predicted(model, pair), predicted(model, beyond), atol=1e-8)
