"""Potential, field and Coulomb energies of molecules against PySCF's integrals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_density import field_divergence
from scipy.special import gamma, gammainc

from ase_rholearn import Basis, Density
from ase_rholearn.basis import to_pyscf_order
from ase_rholearn.basis.boys import boys, boys_far
from ase_rholearn.basis.coulomb import coulomb_matrix

pyscf = pytest.importorskip("pyscf")

from ase_rholearn.references.pyscf import metric_matrix  # noqa: E402
from ase_rholearn.references.pyscf.integrals import (  # noqa: E402
    auxiliary_molecule,
    baseline_molecule,
)


@pytest.fixture
def methanol(basis: Basis, random_density: Callable[..., Density]) -> Density:
    atoms = molecule("CH3OH")
    atoms.rotate(70, (3, 1, 2))
    return random_density(atoms, basis)


def pyscf_functions(rho: Density) -> tuple[Any, np.ndarray]:
    """Auxiliary functions and atomic densities as one molecule, and their coefficients."""
    auxiliary = auxiliary_molecule(rho.atoms, rho.basis)
    coefficients = to_pyscf_order(rho.basis, rho.atoms.numbers, rho.coefficients)
    if not rho.basis.atomic_densities:
        return auxiliary, coefficients
    free, amplitudes = baseline_molecule(rho.atoms, rho.basis)
    both = pyscf.gto.conc_mol(auxiliary, free)
    return both, np.concatenate([coefficients, amplitudes])


def pyscf_potential(rho: Density, points: np.ndarray, *, nuclei: bool = True) -> np.ndarray:
    functions, coefficients = pyscf_functions(rho)
    probes = pyscf.gto.fakemol_for_charges(points / units.Bohr)
    electrons = coefficients @ pyscf.gto.intor_cross("int2c2e", functions, probes)
    distances = np.linalg.norm(points[:, None] - rho.atoms.positions, axis=2) / units.Bohr
    cores = (rho.core_charges / distances).sum(axis=1) if nuclei else 0.0
    return (cores - electrons) * units.Hartree


# basis integrals ---------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(l=st.integers(0, 9), x=st.floats(0, 100))
def test_boys_function(l: int, x: float) -> None:
    half = l + 0.5
    expected = 1 / (2 * l + 1) if x < 1e-9 else gamma(half) * gammainc(half, x) / (2 * x**half)
    value = float(boys(l, torch.tensor([x], dtype=torch.float64))[0])
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-14)


def test_boys_function_has_no_step_where_the_table_ends() -> None:
    for l in range(8):
        edge = boys_far(l)
        x = torch.tensor([edge * (1 - 1e-12), edge * (1 + 1e-12)], dtype=torch.float64)
        below, above = boys(l, x).tolist()
        assert below == pytest.approx(above, rel=1e-9)


def test_coulomb_matrix_is_pyscfs(basis: Basis) -> None:
    atoms = molecule("CH3OH")
    matrix = coulomb_matrix(basis, atoms.numbers, atoms.positions / units.Bohr)
    expected = metric_matrix(atoms, basis, "coulomb")
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_coulomb_matrix_of_contracted_functions(small_basis: Basis) -> None:
    """Also of one centre, and of atoms at one place."""
    atoms = Atoms("OCH", [[0, 0, 0], [0, 0, 0.3], [0, 0, 60.0]])
    matrix = coulomb_matrix(small_basis, atoms.numbers, atoms.positions / units.Bohr)
    expected = metric_matrix(atoms, small_basis, "coulomb")
    np.testing.assert_allclose(matrix, expected, rtol=1e-10, atol=1e-13)


# potential and field -----------------------------------------------------------------------


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.5, 3.0, 30.0]))
def test_potential_is_pyscfs(basis: Basis, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    atoms = molecule("CH3OH")
    rho = Density(atoms, basis, rng.normal(0, 0.3, basis.size(atoms.numbers)))
    points = rng.normal(0, spread, (200, 3))
    expected = pyscf_potential(rho, points)
    # far away nuclei and electrons cancel: relative to the larger of the two
    np.testing.assert_allclose(rho.potential(points), expected, rtol=1e-8, atol=1e-9)


def test_potential_of_a_valence_density(water: Atoms, small_basis: Basis) -> None:
    valence = Basis(
        {z: small_basis.shells[z] for z in (1, 8)}, kind="valence", core_charges={1: 1.0, 8: 6.0}
    )
    rng = np.random.default_rng(2)
    rho = Density(water, valence, rng.normal(0, 0.3, valence.size(water.numbers)))
    points = rng.normal(0, 2, (50, 3))
    np.testing.assert_allclose(rho.potential(points), pyscf_potential(rho, points), rtol=1e-8)


def test_potential_is_infinite_at_a_nucleus(water_density: Density) -> None:
    place = water_density.atoms.positions[1]
    values = water_density.potential([place, place + 1e-3])
    assert values[0] == np.inf
    assert np.isfinite(values[1])


def test_potential_of_an_ion_far_away(water: Atoms, basis: Basis) -> None:
    water.info["charge"] = -2
    rho = Density(water, basis, np.zeros(basis.size(water.numbers)))
    ((value,),) = [rho.potential([[1e4, 0, 0]])]
    assert value == pytest.approx(-2 * units.Hartree * units.Bohr / 1e4, rel=1e-3)


def test_field_is_minus_the_gradient(methanol: Density) -> None:
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal(0, 1.5, (60, 3)), rng.normal(0, 20, (40, 3))])
    h = 1e-4
    slopes = [
        (methanol.potential(points - h * axis) - methanol.potential(points + h * axis)) / (2 * h)
        for axis in np.eye(3)
    ]
    field = methanol.electric_field(points)
    np.testing.assert_allclose(field, np.stack(slopes, axis=1), rtol=1e-4, atol=1e-7)


def test_field_obeys_gauss_law(methanol: Density) -> None:
    """Divergence of the field: minus the electrons, in units of 4 pi k."""
    points = np.random.default_rng(4).normal(0, 1.5, (40, 3))
    expected = -4 * np.pi * units.Hartree * units.Bohr * methanol.evaluate(points)
    divergence = field_divergence(methanol, points)
    np.testing.assert_allclose(divergence, expected, rtol=1e-4, atol=1e-3)


def test_field_refuses_a_nucleus(methanol: Density) -> None:
    points = [[9.0, 0, 0], methanol.atoms.positions[0]]
    with pytest.raises(ValueError, match=r"points\[1\] is at a nucleus"):
        methanol.electric_field(points)


def test_potential_on_a_grid(methanol: Density) -> None:
    grid = methanol.potential_on_grid(0.9, margin=2.0)
    flat = methanol.potential(grid.points().reshape(-1, 3))
    np.testing.assert_allclose(grid.values.ravel(), flat, rtol=1e-12)


def test_no_points(methanol: Density) -> None:
    assert methanol.potential(np.zeros((0, 3))).shape == (0,)
    assert methanol.electric_field(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("points", [[1.0, 2.0, 3.0], [[np.nan, 0, 0]]])
def test_bad_points(methanol: Density, points: Any) -> None:
    with pytest.raises(ValueError, match="points"):
        methanol.potential(points)


# energies ----------------------------------------------------------------------------------


def test_hartree_energy_is_pyscfs(methanol: Density) -> None:
    functions, coefficients = pyscf_functions(methanol)
    expected = 0.5 * coefficients @ functions.intor("int2c2e") @ coefficients * units.Hartree
    assert methanol.hartree_energy() == pytest.approx(expected, rel=1e-10)


def test_interaction_is_pyscfs(
    methanol: Density, small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """Two bases, overlapping densities."""
    atoms = molecule("H2O")
    atoms.positions += [1.5, 2.5, 0.3]
    water = random_density(atoms, small_basis)
    (first, c), (second, d) = pyscf_functions(methanol), pyscf_functions(water)
    repulsion = c @ pyscf.gto.intor_cross("int2c2e", first, second) @ d * units.Hartree
    on_nuclei = water.core_charges @ pyscf_potential(methanol, atoms.positions)
    attraction = methanol.core_charges @ pyscf_potential(
        water, methanol.atoms.positions, nuclei=False
    )
    expected = repulsion + on_nuclei + attraction
    assert methanol.coulomb_interaction(water) == pytest.approx(expected, abs=1e-7)
    assert water.coulomb_interaction(methanol) == pytest.approx(expected, abs=1e-7)


def test_interaction_of_distant_ions(water: Atoms, basis: Basis) -> None:
    first, second = water.copy(), water.copy()
    first.info["charge"], second.info["charge"] = 1, -2
    second.positions += [5000.0, 0, 0]
    zeros = np.zeros(basis.size(water.numbers))
    energy = Density(first, basis, zeros).coulomb_interaction(Density(second, basis, zeros))
    assert energy == pytest.approx(-2 * units.Hartree * units.Bohr / 5000, rel=1e-2)


def test_interaction_refuses_nuclei_at_one_place(methanol: Density) -> None:
    with pytest.raises(ValueError, match="atom 0 of one density is at the place of atom 0"):
        methanol.coulomb_interaction(methanol)


def test_interaction_refuses_periods(
    water: Atoms, small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    water.set_cell([9, 9, 9])
    water.pbc = True
    rho = random_density(water, small_basis)
    with pytest.raises(ValueError, match="Coulomb interaction"):
        rho.coulomb_interaction(rho)
