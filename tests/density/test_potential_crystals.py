"""Potential and field of periodic structures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.geometry import get_distances
from reference_density import field_divergence, image_shifts

from ase_rholearn import Basis, Density
from ase_rholearn.density import grid_frame
from ase_rholearn.density.electrostatics.ewald import SplitPotential
from ase_rholearn.density.electrostatics.potential import atom_charges
from ase_rholearn.density.electrostatics.quantities import potential_on_frame


@pytest.fixture
def crystal(small_basis: Basis, random_density: Callable[..., Density]) -> Density:
    """Methanol in a skewed cell that is smaller than its density."""
    atoms = molecule("CH3OH")
    atoms.set_cell([[4.5, 0, 0], [1.0, 4.8, 0.5], [-0.7, 0.3, 5.0]])
    atoms.pbc = True
    return random_density(atoms, small_basis)


def crystal_potential(rho: Density, split: float | None) -> SplitPotential:
    atoms = rho.atoms
    charges = atom_charges(
        rho.basis, atoms.numbers, atoms.positions / units.Bohr, rho.coefficients, rho.core_charges
    )
    cell = atoms.cell.array / units.Bohr
    return SplitPotential(charges, cell, atoms.pbc, np.zeros((1, 3)), split=split)


def points_in(rho: Density, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 2, (n, 3)) @ rho.atoms.cell.array


@pytest.mark.parametrize("split", [0.15, 0.6, 2.5])
def test_the_split_does_not_matter(crystal: Density, split: float) -> None:
    points = points_in(crystal, 60)
    own = crystal_potential(crystal, split)
    potential = own.at(points / units.Bohr) * units.Hartree
    np.testing.assert_allclose(potential, crystal.potential(points), rtol=1e-11, atol=1e-10)
    field = own.at(points / units.Bohr, field=True) * (units.Hartree / units.Bohr)
    np.testing.assert_allclose(field, crystal.electric_field(points), rtol=1e-9, atol=1e-9)


def test_poissons_equation(crystal: Density) -> None:
    """With the period and the average below this says everything about the potential."""
    points = points_in(crystal, 40)
    divergence = field_divergence(crystal, points)
    expected = -4 * np.pi * units.Hartree * units.Bohr * crystal.evaluate(points)
    np.testing.assert_allclose(divergence, expected, rtol=1e-4, atol=1e-3)


def test_field_is_minus_the_gradient(crystal: Density) -> None:
    points, h = points_in(crystal, 40), 1e-4
    slopes = [
        (crystal.potential(points - h * axis) - crystal.potential(points + h * axis)) / (2 * h)
        for axis in np.eye(3)
    ]
    field = crystal.electric_field(points)
    np.testing.assert_allclose(field, np.stack(slopes, axis=1), rtol=1e-4, atol=1e-6)


def test_potential_has_the_periods(crystal: Density) -> None:
    points = points_in(crystal, 20)
    moved = points + [2, -1, 3] @ crystal.atoms.cell.array
    np.testing.assert_allclose(crystal.potential(moved), crystal.potential(points), rtol=1e-9)


def test_sum_of_free_atoms(small_basis: Basis) -> None:
    """Their potentials end, so that images can be summed; the average is known."""
    atoms = Atoms("CO", [[0, 0, 0], [1.2, 0.3, 0.1]], cell=[3.5, 4.0, 3.0], pbc=True)
    rho = Density(atoms, small_basis, np.zeros(small_basis.size(atoms.numbers))).free_atoms()
    points = points_in(rho, 30)
    alone = rho.atoms.copy()
    alone.pbc = False
    expected, average = np.zeros(len(points)), 0.0
    for k, z in enumerate(atoms.numbers):
        one = alone[[k]]
        single = Density(one, small_basis, np.zeros(small_basis.size([z])), normalize=False)
        for shift in image_shifts(atoms, points - atoms.positions[k], 9.0):
            expected += single.potential(points - shift)
        # -2 pi / 3 times the second moment of the charge
        second = small_basis.atomic_densities[int(z)].moment(2) * units.Bohr**2
        average += 2 * np.pi / 3 * units.Hartree * units.Bohr * second / atoms.cell.volume
    np.testing.assert_allclose(rho.potential(points), expected - average, rtol=1e-8, atol=1e-8)


def test_average_is_zero(small_basis: Basis) -> None:
    """Cores of charge zero leave a smooth potential, which a grid can average."""
    valence = Basis({6: small_basis.shells[6]}, kind="valence", core_charges={6: 0.0})
    atoms = bulk("C")
    rng = np.random.default_rng(0)
    rho = Density(atoms, valence, rng.normal(0, 0.3, valence.size(atoms.numbers)))
    grid = rho.potential_on_grid(shape=(24, 24, 24))
    assert grid.values.std() > 0.1
    assert grid.values.mean() == pytest.approx(0.0, abs=1e-9)


def test_rock_salt_has_madelungs_constant() -> None:
    """Point charges +1 and Gaussians -1 so tight that they are points too."""
    basis = Basis.from_shells(
        {"Na": [(0, [400.0])], "Cl": [(0, [400.0])]},
        kind="valence",
        core_charges={11: 1.0, 17: 0.0},
    )
    atoms = bulk("NaCl", "rocksalt", a=5.0)
    holds = basis.electrons([17])[0]
    rho = Density(atoms, basis, [0.0, 1 / holds], normalize=False)
    # at the anion, without its own charge: a mean over a small sphere around it
    r = 0.7
    directions = np.array([s * axis for axis in np.eye(3) for s in (1, -1)])
    around = rho.potential(atoms.positions[1] + r * directions).mean()
    own = -units.Hartree * units.Bohr / r
    # cubic harmonics of degree 4 do not average out on six points: they grow as r^4
    small = rho.potential(atoms.positions[1] + 0.5 * r * directions).mean() - 2 * own
    limit = small + (small - (around - own)) / 15
    madelung = limit * 2.5 / (units.Hartree * units.Bohr)
    assert madelung == pytest.approx(1.747564594633, abs=2e-3)


def test_grid_equals_points(crystal: Density) -> None:
    grid = crystal.potential_on_grid(shape=(5, 6, 4))
    flat = crystal.potential(grid.points().reshape(-1, 3)).reshape(grid.shape)
    finite = np.isfinite(flat)
    np.testing.assert_allclose(grid.values[finite], flat[finite], rtol=1e-9, atol=5e-8)


def test_infinite_at_a_nucleus_and_its_images(crystal: Density) -> None:
    place = crystal.atoms.positions[0]
    images = place + np.array([[0, 0, 0], [1, -2, 3], [-40, 7, 1]]) @ crystal.atoms.cell.array
    np.testing.assert_array_equal(crystal.potential(images), np.full(3, np.inf))
    with pytest.raises(ValueError, match="at a nucleus"):
        crystal.electric_field([place])


def test_charged_cells_are_refused(crystal: Density) -> None:
    atoms = crystal.atoms.copy()
    atoms.info["charge"] = 1
    ion = Density(atoms, crystal.basis, crystal.raw_coefficients)
    with pytest.raises(ValueError, match=r"holds a charge of 1 e: .* infinite; give a neutral"):
        ion.potential([[0, 0, 0]])
    with pytest.raises(ValueError, match="holds a charge"):
        ion.potential_on_grid(1.0)


def test_wires_are_refused(crystal: Density) -> None:
    atoms = crystal.atoms.copy()
    atoms.pbc = [True, False, False]
    wire = Density(atoms, crystal.basis, crystal.raw_coefficients)
    with pytest.raises(ValueError, match=r"wires are not implemented; put vacuum into the cell"):
        wire.potential([[0, 0, 0]])


# slabs -------------------------------------------------------------------------------------


@pytest.fixture
def slab(small_basis: Basis, random_density: Callable[..., Density]) -> Density:
    """Tilted water on a skewed lattice: a layer with a dipole."""
    atoms = molecule("H2O")
    atoms.rotate(40, (1, 2, 3))
    atoms.set_cell([[4.5, 0, 0], [1.0, 4.8, 0], [0, 0, 1]])
    atoms.pbc = [True, True, False]
    return random_density(atoms, small_basis, scale=0.05)


def test_slab_solves_poissons_equation(slab: Density) -> None:
    rng, h = np.random.default_rng(0), 1e-4
    points = rng.uniform([0, 0, -3], [4, 4, 3], (20, 3))
    divergence = sum(
        slab.electric_field(points + h * axis)[:, k] - slab.electric_field(points - h * axis)[:, k]
        for k, axis in enumerate(np.eye(3))
    ) / (2 * h)
    expected = -4 * np.pi * units.Hartree * units.Bohr * slab.evaluate(points)
    np.testing.assert_allclose(divergence, expected, rtol=1e-4, atol=1e-3)


def test_step_across_a_slab_is_that_of_its_dipole(slab: Density) -> None:
    """The potential far away is +-2 pi times the dipole over the area."""
    alone = slab.atoms.copy()
    alone.pbc = False
    dipole = Density(alone, slab.basis, slab.raw_coefficients).dipole()[2]
    area = np.linalg.norm(np.cross(*slab.atoms.cell.array[:2]))
    expected = 2 * np.pi * units.Hartree * units.Bohr * dipole / area
    far = slab.potential([[1.0, 2.0, 30.0], [3.0, 1.0, -30.0], [0.3, 0.2, 4000.0]])
    np.testing.assert_allclose(far, [expected, -expected, expected], atol=1e-7)


def test_slab_grid_equals_points(slab: Density) -> None:
    grid = slab.potential_on_grid(shape=(5, 6, 4))
    flat = slab.potential(grid.points().reshape(-1, 3)).reshape(grid.shape)
    np.testing.assert_allclose(grid.values, flat, rtol=1e-9, atol=5e-8)


# nuclei of grids ---------------------------------------------------------------------------


def test_smeared_nuclei_are_finite(crystal: Density) -> None:
    """Values three points away from all nuclei are those of points."""
    frame = grid_frame(crystal.atoms, 0.3, 3.0)
    exact = potential_on_frame(crystal, frame).values
    smeared = potential_on_frame(crystal, frame, nuclei="smeared").values
    assert np.isinf(exact).sum() == 0 or np.isfinite(smeared).all()
    points = frame.points().reshape(-1, 3)
    _, apart = get_distances(
        points, crystal.atoms.positions, cell=crystal.atoms.cell, pbc=crystal.atoms.pbc
    )
    steps = np.linalg.norm(frame.cell, axis=1) / frame.shape
    away = (apart.min(axis=1) > 3 * steps.max()).reshape(frame.shape)
    assert away.sum() > 100
    # the smeared nuclei have a wider potential, which lifts the average
    shift = (smeared - exact)[away]
    np.testing.assert_allclose(shift, shift.mean(), atol=1e-6)
    with pytest.raises(ValueError, match="nuclei is 'none'"):
        potential_on_frame(crystal, frame, nuclei="none")


def test_large_molecules_on_grids(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """Eight waters, with a charge, by products: as by closed forms at points."""
    atoms = Atoms()
    for k in range(8):
        one = molecule("H2O")
        one.rotate(40 * k, (1, 2, k))
        one.positions += np.array(np.unravel_index(k, (2, 2, 2))) * 3.0
        atoms += one
    atoms.info["charge"] = 1
    ion = random_density(atoms, small_basis, scale=0.05)
    grid = ion.potential_on_grid(shape=(6, 7, 5))
    points = grid.points().reshape(-1, 3)
    np.testing.assert_allclose(grid.values.ravel(), ion.potential(points), rtol=1e-7, atol=1e-6)
