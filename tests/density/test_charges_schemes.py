"""Hirshfeld's dipoles and volumes, Voronoi charges, and quadrature files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule

from ase_rholearn import Basis, Density
from ase_rholearn.density.charges.voronoi import cell_radii
from ase_rholearn.density.evaluation.quadrature import molecular_quadrature


@pytest.fixture
def methanol(small_basis: Basis, random_density: Callable[..., Density]) -> Density:
    atoms = molecule("CH3OH")
    atoms.rotate(70, (3, 1, 2))
    return random_density(atoms, small_basis, scale=0.03)


def becke_integrals(rho: Density, level: int = 4) -> tuple[np.ndarray, ...]:
    """Hirshfeld's charges, dipoles and volumes by Becke's cells, with the whole density."""
    atoms = rho.atoms
    positions = atoms.positions / units.Bohr
    free = [rho.basis.atomic_densities[int(z)] for z in atoms.numbers]
    charges, dipoles = atoms.numbers.astype(float), np.zeros((len(atoms), 3))
    volumes = np.zeros(len(atoms))
    for points, weights in molecular_quadrature(atoms.numbers, positions, level):
        vectors = points[:, None] - positions
        r = np.linalg.norm(vectors, axis=2)
        own = np.stack([density.value(r[:, k]) for k, density in enumerate(free)], axis=1)
        shares = own / np.maximum(own.sum(axis=1, keepdims=True), 1e-200)
        values = rho.evaluate(points * units.Bohr) * units.Bohr**3
        electrons = (weights * values)[:, None] * shares
        charges -= electrons.sum(axis=0)
        dipoles -= np.einsum("na,nai->ai", electrons, vectors) * units.Bohr
        volumes += (electrons * r**3).sum(axis=0) * units.Bohr**3
    return charges, dipoles, volumes


def test_hirshfeld_against_another_quadrature(methanol: Density) -> None:
    charges, dipoles, volumes = becke_integrals(methanol)
    atoms = methanol.hirshfeld()
    np.testing.assert_allclose(atoms.charges, charges, atol=1e-4)
    np.testing.assert_allclose(atoms.dipoles, dipoles, atol=1e-4)
    np.testing.assert_allclose(atoms.volumes, volumes, rtol=1e-3)
    np.testing.assert_array_equal(methanol.charges("hirshfeld"), atoms.charges)


def test_hirshfeld_atoms_make_the_dipole(methanol: Density) -> None:
    atoms = methanol.hirshfeld()
    total = atoms.charges @ methanol.atoms.positions + atoms.dipoles.sum(axis=0)
    np.testing.assert_allclose(total, methanol.dipole(), atol=2e-4)


def test_free_atoms_have_their_volume(methanol: Density) -> None:
    atoms = methanol.free_atoms().hirshfeld()
    np.testing.assert_array_equal(atoms.volume_ratios, np.ones(6))
    np.testing.assert_array_equal(atoms.dipoles, np.zeros((6, 3)))


def test_hirshfeld_of_a_crystal_is_that_of_its_supercell(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    atoms = Atoms("CO", [[0, 0, 0], [1.2, 0.3, 0.1]], cell=[3.5, 4.0, 3.0], pbc=True)
    small = random_density(atoms, small_basis, scale=0.05)
    twice = Density(atoms * (2, 1, 1), small_basis, np.tile(small.raw_coefficients, 2))
    first, second = small.hirshfeld(level=1), twice.hirshfeld(level=1)
    np.testing.assert_allclose(np.tile(first.charges, 2), second.charges, atol=1e-7)
    np.testing.assert_allclose(np.tile(first.volumes, 2), second.volumes, rtol=1e-7)


# Voronoi -----------------------------------------------------------------------------------


def test_voronoi_by_brute_force(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    """Points of a fine uniform grid to the nearest nucleus."""
    atoms = molecule("H2O")
    rho = random_density(atoms, small_basis, scale=0.05)
    grid = rho.on_grid(0.1, margin=5.0)
    free = rho.free_atoms().on_frame(grid)
    points = grid.points().reshape(-1, 3)
    nearest = np.argmin([np.linalg.norm(points - r, axis=1) for r in atoms.positions], axis=0)
    moved = (grid.values - free.values).ravel() * grid.voxel_volume
    expected = -np.bincount(nearest, moved, minlength=3)
    np.testing.assert_allclose(rho.charges("voronoi"), expected, atol=3e-3)


def test_voronoi_charges_add_up_and_converge(methanol: Density) -> None:
    atoms = methanol.atoms.copy()
    atoms.info["charge"] = -1
    ion = Density(atoms, methanol.basis, methanol.raw_coefficients)
    assert ion.charges("voronoi", level=1).sum() == pytest.approx(-1, abs=1e-9)
    fine = methanol.charges("voronoi", level=3)
    np.testing.assert_allclose(methanol.charges("voronoi", level=2), fine, atol=1e-3)


def test_voronoi_of_a_crystal(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    atoms = Atoms("CO", [[0, 0, 0], [1.2, 0.3, 0.1]], cell=[3.5, 4.0, 3.0], pbc=True)
    small = random_density(atoms, small_basis, scale=0.05)
    twice = Density(atoms * (2, 1, 1), small_basis, np.tile(small.raw_coefficients, 2))
    charges = small.charges("voronoi", level=1)
    np.testing.assert_allclose(np.tile(charges, 2), twice.charges("voronoi", level=1), atol=1e-8)
    assert charges.sum() == pytest.approx(0, abs=1e-10)


def test_walls_of_a_cubic_cell() -> None:
    directions = np.array([[1.0, 0, 0], [0, -1, 0], [1, 1, 1], [1, 0, 1]])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cell = bulk("Po", "sc", a=4.0).cell.array
    radii = cell_radii(0, np.zeros((1, 3)), directions, cell, np.full(3, True), 20.0)
    np.testing.assert_allclose(radii, [2, 2, 2 * np.sqrt(3), 2 * np.sqrt(2)])
    open_radii = cell_radii(0, np.zeros((1, 3)), directions, cell, np.full(3, False), 20.0)
    np.testing.assert_array_equal(open_radii, np.full(4, 20.0))


# refusals ----------------------------------------------------------------------------------


def test_refusals(methanol: Density) -> None:
    with pytest.raises(ValueError, match="scheme is 'mulliken': give"):
        methanol.charges("mulliken")
    with pytest.raises(ValueError, match="level is 9"):
        methanol.charges("voronoi", level=9)
    plain = methanol.basis.with_atomic_densities({})
    bare = Density(methanol.atoms, plain, methanol.raw_coefficients, normalize=False)
    for scheme, name in (("hirshfeld", "Hirshfeld"), ("voronoi", "Voronoi")):
        with pytest.raises(ValueError, match=f"no atomic densities, which {name} charges need"):
            bare.charges(scheme)


# quadrature files --------------------------------------------------------------------------


def test_quadrature_file(methanol: Density, tmp_path: Path) -> None:
    methanol.write_quadrature(tmp_path / "density.npz", level=3)
    with np.load(tmp_path / "density.npz") as data:
        np.testing.assert_array_equal(data["atnums"], methanol.atoms.numbers)
        np.testing.assert_array_equal(data["atcorenums"], methanol.atoms.numbers)
        np.testing.assert_allclose(data["atcoords"] * units.Bohr, methanol.atoms.positions)
        assert data["cellvecs"].shape == (0, 3)
        assert data["grid_sizes"].sum() == len(data["points"])
        assert data["nelec"] == pytest.approx(18)
        values = methanol.evaluate(data["points"][::997] * units.Bohr) * units.Bohr**3
        np.testing.assert_allclose(data["density"][::997], np.maximum(values, 0), rtol=1e-9)


def test_quadrature_file_integrates(methanol: Density, tmp_path: Path) -> None:
    methanol.free_atoms().write_quadrature(tmp_path / "density.npz", level=3)
    with np.load(tmp_path / "density.npz") as data:
        assert data["weights"] @ data["density"] == pytest.approx(18, abs=3e-3)


def test_quadrature_file_of_a_crystal(methanol: Density, tmp_path: Path) -> None:
    """The grid belongs to one cell, and every atom's part to the file."""
    atoms = methanol.atoms.copy()
    atoms.set_cell([[4.5, 0, 0], [0.7, 4.5, 0], [0, 0.4, 5.0]])
    atoms.pbc = True
    crystal = Density(atoms, methanol.basis, methanol.raw_coefficients)
    # free atoms, because negative values are set to zero
    crystal.free_atoms().write_quadrature(tmp_path / "density.npz", level=3)
    with np.load(tmp_path / "density.npz") as data:
        np.testing.assert_allclose(data["cellvecs"] * units.Bohr, atoms.cell.array)
        assert data["weights"] @ data["density"] == pytest.approx(18, abs=3e-3)
        assert len(data["grid_sizes"]) == len(atoms)
        assert data["grid_sizes"].sum() == len(data["points"])
    bare = Density(
        atoms, methanol.basis.with_atomic_densities({}), methanol.raw_coefficients, normalize=False
    )
    with pytest.raises(ValueError, match="has no atomic densities, which divide the space"):
        bare.write_quadrature(tmp_path / "bare.npz")


def test_horton_part_reads_the_file(methanol: Density, tmp_path: Path) -> None:
    """The free atoms' MBIS charges: neutral together."""
    pytest.importorskip("horton_part")
    from horton_part.scripts.partition_periodic import main

    methanol.free_atoms().write_quadrature(tmp_path / "density.npz", level=2)
    main([str(tmp_path / "density.npz"), str(tmp_path / "mbis.npz"), "--no-aim-weights"])
    with np.load(tmp_path / "mbis.npz") as data:
        assert data["charges"].sum() == pytest.approx(0, abs=1e-2)
