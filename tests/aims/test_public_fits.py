"""Fits of FHI-aims 240925 that rholearn published, as text: methane and a pair of carbon atoms."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read
from fits import PUBLIC, native_order, write_fit
from scipy.linalg import block_diag
from scipy.spatial.transform import Rotation

from ase_rholearn.aims import RIFit, read_ri_fit
from ase_rholearn.aims.geometry import read_geometry
from ase_rholearn.aims.rholearn import read_rholearn_fit
from ase_rholearn.basis.harmonics import harmonic_rotations

pytestmark = pytest.mark.skipif(PUBLIC is None, reason="the public fits are not here")
EXAMPLES = "rholearn/tests/rholearn/generate_example_data"


def folder(name: str) -> Path:
    assert PUBLIC is not None
    return PUBLIC / EXAMPLES / name


@pytest.fixture(scope="module")
def methane() -> tuple[Atoms, RIFit]:
    atoms = read(folder("qm7/data/qm7.xyz"), index=0)
    return atoms, read_rholearn_fit(folder("qm7/data/processed/0/edensity"), atoms)


@pytest.mark.parametrize("legacy", [False, True])
def test_text_of_full_size_is_read_bit_for_bit(
    methane: tuple[Atoms, RIFit], tmp_path: Path, legacy: bool
) -> None:
    fit = replace(methane[1], version=221103 if legacy else 240925)
    order = native_order(fit.basis) if legacy else None
    found = read_ri_fit(write_fit(tmp_path / "run", fit, order, triangle=not legacy))
    np.testing.assert_array_equal(found.coefficients, fit.coefficients)
    np.testing.assert_array_equal(found.projections, fit.projections)
    np.testing.assert_array_equal(found.overlap, fit.overlap)
    assert found.residual() < 1e-12


def test_projections_of_the_isolated_pair() -> None:
    """Two atoms 100 Angstrom apart, as rholearn gets the density of a free one."""
    atoms = Atoms("C2", [[0, 0, 0], [100, 0, 0]])
    fit = read_rholearn_fit(folder("isolated/data/processed/0/edensity"), atoms)
    assert fit.residual() < 1e-12
    half = len(fit.coefficients) // 2
    np.testing.assert_allclose(fit.coefficients[:half], fit.coefficients[half:], atol=3e-3)


def test_the_loss_is_the_integral_on_fhi_aims_own_grid(
    methane: tuple[Atoms, RIFit], tmp_path: Path
) -> None:
    """Of the squared error of rholearn's noisy coefficients."""
    atoms, fit = methane
    processed = folder("qm7/data/processed/0/edensity")
    shutil.copy(processed / "ml_coeffs.npz", tmp_path / "ri_coeffs.npz")
    assert fit.overlap is not None
    error = read_rholearn_fit(tmp_path, atoms).coefficients - fit.coefficients
    assert error @ fit.overlap @ error == pytest.approx(0.2185265, abs=1e-7)
    [path] = processed.rglob("squared_error.pt")
    on_grid = torch.load(path, weights_only=True).item()
    assert error @ fit.overlap @ error == pytest.approx(on_grid, abs=3e-7)


def rotated(fit: RIFit, atom: int, matrix: np.ndarray) -> np.ndarray:
    """Matrix that turns the coefficients of an atom: shape (n, n)."""
    counts = fit.basis.counts[atom]
    blocks = harmonic_rotations(torch.from_numpy(matrix), len(counts) - 1)
    return block_diag(*[b.numpy() for b, n in zip(blocks, counts, strict=True) for _ in range(n)])


def test_equal_atoms_map_onto_each_other(methane: tuple[Atoms, RIFit]) -> None:
    atoms, fit = methane
    assert fit.overlap is not None
    offsets = fit.basis.offsets
    own = [slice(offsets[k], offsets[k + 1]) for k in range(5)]
    bonds = atoms.positions[1:] - atoms.positions[0]
    worst_block = worst_vector = 0.0
    for a, b in permutations(range(4), 2):
        axis = np.cross(bonds[a], bonds[b])
        angle = np.arccos(bonds[a] @ bonds[b] / np.linalg.norm(bonds[a]) / np.linalg.norm(bonds[b]))
        turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix()
        carbon, hydrogen = rotated(fit, 0, turn), rotated(fit, 1, turn)
        block = carbon @ fit.overlap[own[0], own[a + 1]] @ hydrogen.T
        vector = hydrogen @ fit.coefficients[own[a + 1]]
        worst_block = max(worst_block, np.abs(block - fit.overlap[own[0], own[b + 1]]).max())
        worst_vector = max(worst_vector, np.abs(vector - fit.coefficients[own[b + 1]]).max())
    # the bonds differ by 1e-3 Angstrom, and the integrals have noise
    assert worst_block < 2e-3
    assert worst_vector < 3e-3


@pytest.mark.parametrize(("name", "version"), [("ch4_mini", 240925), ("ch4_mini_legacy", 221103)])
def test_derived_text_of_both_conventions(name: str, version: int) -> None:
    assert PUBLIC is not None
    derived = PUBLIC / "derived"
    expected = json.loads((derived / "ch4_mini_expected.json").read_text())
    fit = read_ri_fit(derived / name, version)
    np.testing.assert_array_equal(fit.coefficients, expected["coeffs"])
    np.testing.assert_array_equal(np.array(fit.basis.layout).T, expected["labels_atom_l_n_m"])
    assert fit.overlap is not None
    square = fit.coefficients @ fit.overlap @ fit.coefficients
    assert square == pytest.approx(expected["cSc"], rel=1e-14)
    assert fit.residual() < 1e-12
    geometry = read_geometry(derived / name)
    assert geometry.labels == ("C", "H", "H", "H", "H")
    assert fit.basis.by_label(geometry.labels) == {"C": (3, 2, 1), "H": (2, 1)}
