"""Bader's atoms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from scipy.integrate import solve_ivp

from ase_rholearn import Basis, Density
from ase_rholearn.basis import AtomicDensity
from ase_rholearn.density.charges.bader import Basins, bader_atoms, voxel_faces
from ase_rholearn.density.evaluation.quadrature import molecular_quadrature


@pytest.fixture
def sharp_basis(small_basis: Basis) -> Basis:
    """Free atoms so narrow that hydrogen keeps its maximum next to oxygen."""
    split = {
        1: ((0.5, 5.0), (0.5, 0.6)),
        6: ((2.0, 30.0), (4.0, 0.5)),
        8: ((2.0, 60.0), (6.0, 0.8)),
    }
    atoms = {
        z: AtomicDensity(
            tuple(a for _, a in parts), tuple(n * (a / np.pi) ** 1.5 for n, a in parts)
        )
        for z, parts in split.items()
    }
    return small_basis.with_atomic_densities(atoms)


def attractors(rho: Density, points: np.ndarray) -> np.ndarray:
    """The nucleus where the steepest path from each point ends: shape (n,)."""

    def uphill(_: float, flat: np.ndarray) -> np.ndarray:
        slope = rho.gradient(flat.reshape(-1, 3))
        # a step of the same length everywhere but next to a nucleus, where paths rest
        norm = np.linalg.norm(slope, axis=1, keepdims=True)
        at = np.linalg.norm(flat.reshape(-1, 1, 3) - rho.atoms.positions, axis=2).min(axis=1)
        return (np.minimum(1.0, at / 0.1)[:, None] * slope / np.maximum(norm, 1e-300)).ravel()

    ends = solve_ivp(uphill, (0, 4.5), points.ravel(), rtol=1e-3, atol=1e-3).y[:, -1]
    apart = np.linalg.norm(ends.reshape(-1, 1, 3) - rho.atoms.positions, axis=2)
    return apart.argmin(axis=1)


def test_charges_against_steepest_ascent(sharp_basis: Basis) -> None:
    """Free atoms of water: every point of a quadrature grid goes up to its nucleus."""
    atoms = molecule("H2O")
    rho = Density(atoms, sharp_basis, np.zeros(sharp_basis.size(atoms.numbers)))
    populations = np.zeros(3)
    for points, weights in molecular_quadrature(atoms.numbers, atoms.positions / units.Bohr, 0):
        electrons = weights * rho.evaluate(points * units.Bohr) * units.Bohr**3
        used = np.abs(electrons) > 1e-5
        owners = attractors(rho, points[used] * units.Bohr)
        populations += np.bincount(owners, electrons[used], 3)
    expected = atoms.numbers - populations
    np.testing.assert_allclose(bader_atoms(rho, spacing=0.1).charges, expected, atol=0.02)


def test_charges_add_up_and_are_alike_on_like_atoms(sharp_basis: Basis) -> None:
    atoms = molecule("H2O")
    atoms.info["charge"] = 1
    layout = sharp_basis.layout(atoms.numbers)
    # only s functions, alike on alike atoms
    rho = Density(atoms, sharp_basis, 0.01 * (layout.l == 0))
    bader = bader_atoms(rho, spacing=0.12)
    assert bader.charges.sum() == pytest.approx(1)
    assert bader.charges[1] == pytest.approx(bader.charges[2], abs=5e-3)
    assert np.abs(bader.non_nuclear).max() == 0


def test_crystals_fill_their_cell(
    sharp_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """In a skewed cell, and whichever cell it is."""
    atoms = Atoms("CO", [[0, 0, 0], [1.6, 1.5, 1.4]], cell=[[3, 0, 0], [0.6, 3, 0], [0, 0.5, 3]])
    atoms.pbc = True
    rho = Density(atoms, sharp_basis, np.zeros(sharp_basis.size(atoms.numbers)))
    bader = bader_atoms(rho, spacing=0.15)
    assert bader.volumes.sum() == pytest.approx(atoms.cell.volume, rel=2e-3)
    twice = Density(atoms * (2, 1, 1), sharp_basis, np.zeros(2 * len(rho.coefficients)))
    np.testing.assert_allclose(
        bader_atoms(twice, spacing=0.15).charges[:2], bader.charges, atol=1e-8
    )


def test_cores_mark_atoms_of_valence_densities(sharp_basis: Basis) -> None:
    """A hollow oxygen has its maximum around the nucleus, not at it."""
    valence = Basis(
        {z: sharp_basis.shells[z] for z in (1, 8)}, kind="valence", core_charges={1: 1.0, 8: 6.0}
    )
    atoms = molecule("OH")
    layout = valence.layout(atoms.numbers)
    values = np.where(layout.l == 0, np.where(layout.n == 0, -0.1, 1.0), 0.0)
    bader = bader_atoms(Density(atoms, valence, values), spacing=0.12)
    assert bader.charges.sum() == pytest.approx(0)
    assert bader.volumes.min() > 0.1


def test_coarse_grids_warn(sharp_basis: Basis) -> None:
    atoms = molecule("H2O")
    rho = Density(atoms, sharp_basis, np.zeros(sharp_basis.size(atoms.numbers)))
    with pytest.warns(UserWarning, match="no maximum at atoms .*: give a smaller spacing than 1"):
        bader_atoms(rho, spacing=1.0)


@pytest.mark.parametrize("steps", [np.eye(3), [[1, 0, 0], [0.5, 0.9, 0], [0.3, 0.2, 1.1]]])
def test_faces_close_a_voxel(steps: np.ndarray) -> None:
    """The divergence theorem for r: areas times half distances are three volumes."""
    neighbours, ratios = voxel_faces(np.asarray(steps, dtype=float))
    distances = np.linalg.norm(neighbours @ np.asarray(steps), axis=1)
    volume = abs(np.linalg.det(steps))
    assert (ratios * distances * distances / 2).sum() == pytest.approx(3 * volume)


def test_basins_divide_everything() -> None:
    """Two cosines in one cell: halves, by symmetry."""
    x = np.arange(24) / 24
    wave = np.cos(4 * np.pi * x)[:, None, None] + np.cos(2 * np.pi * x)[:, None]
    values = wave + np.cos(2 * np.pi * x)
    basins = Basins.of(values, np.diag([2.0, 1.0, 1.0]))
    shares = basins.integrals(np.ones((values.size, 1)))
    assert shares[:, 0].tolist() == pytest.approx([values.size / 2] * 2)
