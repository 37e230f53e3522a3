"""Densities of tabulated functions: tables sampled from Gaussians give what Gaussians give."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from ase import Atoms, units
from conftest import ATOMS

from ase_rholearn import Basis, Density
from ase_rholearn.basis import NumericalAtomicDensity, NumericalShell, Shell
from ase_rholearn.density.evaluation.functions import function_blocks

#: A mesh like FHI-aims', and where the functions of a water molecule have ended.
MESH = 1e-4 * 1.0123 ** np.arange(940)


class Pair(NamedTuple):
    """The same density in Gaussians and in tables."""

    gaussian: Density
    tabulated: Density


def tabulated(basis: Basis, *, mixed: bool) -> Basis:
    """The basis with all functions as tables, or every other one."""
    shells = {
        z: tuple(
            shell if mixed and k % 2 else NumericalShell(shell.l, MESH, shell.radial(MESH))
            for k, shell in enumerate(shells)
        )
        for z, shells in basis.shells.items()
    }
    densities = {
        z: density if mixed else NumericalAtomicDensity(MESH, density.value(MESH))
        for z, density in basis.atomic_densities.items()
    }
    return Basis(shells, densities)


@pytest.fixture(scope="module", params=[False, True], ids=["tables", "mixed"])
def bases(request: pytest.FixtureRequest) -> tuple[Basis, Basis]:
    shells = {
        z: (
            Shell.normalized(0, [3.0, 0.6], [0.4, 0.7]),
            Shell.normalized(0, [0.45]),
            Shell.normalized(1, [0.8]),
            Shell.normalized(2, [1.1]),
            Shell.normalized(2, [0.6]),
            *((Shell.normalized(4, [1.1]),) if z > 1 else ()),
        )
        for z in (1, 8)
    }
    gaussian = Basis(shells, {z: ATOMS[z] for z in (1, 8)})
    return gaussian, tabulated(gaussian, mixed=request.param)


CELLS = {
    "molecule": None,
    "orthogonal": np.diag([3.0, 3.4, 4.0]),
    "skew": np.array([[3.0, 0.0, 0.0], [0.7, 3.2, 0.1], [0.3, 0.5, 4.0]]),
}


def pair(
    bases: tuple[Basis, Basis], atoms: Atoms, cell: str = "molecule", pbc: object = True
) -> Pair:
    atoms = atoms.copy()
    if CELLS[cell] is not None:
        atoms.set_cell(CELLS[cell])
        atoms.pbc = pbc
    coefficients = np.random.default_rng(0).normal(0, 0.2, bases[0].size(atoms.numbers))
    return Pair(*(Density(atoms, basis, coefficients) for basis in bases))


def close(values: np.ndarray, expected: np.ndarray, relative: float) -> None:
    atol = relative * np.abs(expected).max()
    np.testing.assert_allclose(values, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("cell", CELLS)
def test_values_gradients_and_laplacians(
    bases: tuple[Basis, Basis], water: Atoms, cell: str
) -> None:
    rho = pair(bases, water, cell)
    points = np.random.default_rng(1).normal(0, 1.5, (300, 3))
    points[0] = water.positions[0]
    close(rho.tabulated.evaluate(points), rho.gaussian.evaluate(points), 1e-9)
    close(rho.tabulated.gradient(points), rho.gaussian.gradient(points), 1e-8)
    close(rho.tabulated.laplacian(points), rho.gaussian.laplacian(points), 1e-6)


@pytest.mark.parametrize(
    ("cell", "pbc"),
    [
        ("molecule", False),
        ("orthogonal", True),
        ("orthogonal", (True, False, True)),
        ("skew", True),
        ("skew", (False, True, True)),
    ],
)
def test_grids(bases: tuple[Basis, Basis], water: Atoms, cell: str, pbc: object) -> None:
    rho = pair(bases, water, cell, pbc)
    grid = rho.tabulated.on_grid(0.35, margin=1.0)
    expected = rho.gaussian.on_grid(0.35, margin=1.0).values
    close(grid.values, expected, 1e-9)
    slabs = np.concatenate(
        [values for _, values in rho.tabulated.iterate_grid(0.35, 1.0, memory=4e3)]
    )
    np.testing.assert_allclose(slabs, grid.values, atol=1e-11)
    single = rho.tabulated.on_grid(0.35, margin=1.0, dtype=np.float32)
    assert single.values.dtype == np.float32
    close(single.values, expected, 1e-6)


def test_a_grid_that_is_no_period(bases: tuple[Basis, Basis], water: Atoms) -> None:
    rho = pair(bases, water, "skew")
    frame = pair(bases, water).gaussian.on_grid(0.5, margin=2.5)
    grid = rho.tabulated.on_frame(frame)
    expected = rho.tabulated.evaluate(frame.points().reshape(-1, 3))
    np.testing.assert_allclose(grid.values.ravel(), expected, atol=1e-10)


def test_tolerance_bounds_the_error(bases: tuple[Basis, Basis], water: Atoms) -> None:
    rho = pair(bases, water).tabulated
    error = rho.on_grid(0.4, tolerance=1e-6).values - rho.on_grid(0.4).values
    assert 0 < np.abs(error).max() * units.Bohr**3 < 1e-5


def test_single_functions(bases: tuple[Basis, Basis], water: Atoms) -> None:
    points = np.random.default_rng(1).normal(0, 3.0, (200, 3))
    cell, pbc = CELLS["skew"] / units.Bohr, np.array([True, False, True])
    matrices = []
    for basis in bases:
        matrix = np.zeros((len(points), basis.size(water.numbers)))
        positions = water.positions / units.Bohr
        for block in function_blocks(basis, water.numbers, positions, points, cell, pbc):
            matrix[np.ix_(block.points, block.functions)] = block.values
        matrices.append(matrix)
    np.testing.assert_allclose(matrices[1], matrices[0], atol=1e-9)


def test_moments(bases: tuple[Basis, Basis], water: Atoms) -> None:
    rho = pair(bases, water)
    assert rho.tabulated.number_of_electrons == pytest.approx(10.0, abs=1e-10)
    assert rho.tabulated.normalization == pytest.approx(rho.gaussian.normalization, abs=1e-9)
    for name in ("dipole", "quadrupole", "octupole"):
        moment = getattr(rho.tabulated, name)()
        np.testing.assert_allclose(moment, getattr(rho.gaussian, name)(), atol=1e-8)


@pytest.mark.parametrize("cell", CELLS)
def test_potential_and_field(bases: tuple[Basis, Basis], water: Atoms, cell: str) -> None:
    rho = pair(bases, water, cell)
    points = np.random.default_rng(1).normal(0, 1.5, (20, 3))
    points[:10] *= 8  # beyond all tables, if there are no images
    close(rho.tabulated.potential(points), rho.gaussian.potential(points), 1e-9)
    close(rho.tabulated.electric_field(points), rho.gaussian.electric_field(points), 1e-9)


def test_partial_charges(bases: tuple[Basis, Basis], water: Atoms) -> None:
    rho = pair(bases, water)
    for scheme in ("hirshfeld", "voronoi"):
        charges = rho.tabulated.charges(scheme, level=0)
        np.testing.assert_allclose(charges, rho.gaussian.charges(scheme, level=0), atol=1e-5)
    volumes = rho.tabulated.hirshfeld(level=0).free_volumes
    np.testing.assert_allclose(volumes, rho.gaussian.hirshfeld(level=0).free_volumes, atol=1e-8)


# invariances, support, files -------------------------------------------------------


@pytest.fixture
def compact(water: Atoms) -> Density:
    """Functions with cusps that end at 5 bohr, without free atoms, as FHI-aims has them."""
    shape = np.exp(-2 * MESH) * np.maximum(0.0, 1 - (MESH / 5) ** 2) ** 4
    shells = tuple(NumericalShell(l, MESH, MESH**l * shape) for l in (0, 1, 2, 3))
    basis = Basis({1: shells[:2], 8: shells})
    coefficients = np.random.default_rng(0).normal(0, 0.2, basis.size(water.numbers))
    return Density(water, basis, coefficients)


def test_zero_beyond_the_support(compact: Density) -> None:
    directions = np.random.default_rng(0).normal(size=(100, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    centre = compact.atoms.positions.mean(axis=0)
    far = centre + directions * (5.1 * units.Bohr + 1.0)
    for values in (compact.evaluate(far), compact.gradient(far), compact.laplacian(far)):
        assert not values.any()
    assert compact.evaluate(centre + directions * 2.0).any()


def test_outside_the_potential_is_that_of_the_multipoles(compact: Density) -> None:
    """A neutral molecule 40 Angstrom away: dipole and quadrupole."""
    axis = np.array([0.36, 0.48, 0.8])
    cores, positions = compact.core_charges, compact.atoms.positions
    point = cores @ positions / cores.sum() + 40.0 * axis
    factor = units.Hartree * units.Bohr
    expected = compact.dipole() @ axis / 40**2 + axis @ compact.quadrupole() @ axis / 40**3
    assert compact.potential(point[None])[0] == pytest.approx(factor * expected, rel=5e-3)


def test_density_is_the_laplacian_of_the_potential(compact: Density) -> None:
    centre, h = compact.atoms.positions[0] + [0.5, 0.3, -0.4], 0.005
    moved = centre + h * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    values = compact.potential(moved)
    laplacian = (values[1:].sum() - 6 * values[0]) / h**2
    expected = 4 * np.pi * units.Hartree * units.Bohr * compact.evaluate(centre[None])[0]
    assert laplacian == pytest.approx(expected, rel=1e-3)
    slope = (values[1:4] - values[4:]) / (2 * h)
    np.testing.assert_allclose(compact.electric_field(centre[None])[0], -slope, rtol=1e-3)


def test_the_density_turns_with_the_molecule(compact: Density) -> None:
    """With s and p functions, which turn as scalars and vectors do."""
    layout = compact.basis.layout(compact.atoms.numbers)
    angle = 0.7
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]]
    )
    coefficients = np.where(layout.l <= 1, compact.coefficients, 0.0)
    turned = coefficients.copy()
    for start in np.flatnonzero((layout.l == 1) & (layout.m == -1)):
        y, z, x = coefficients[start : start + 3]
        turned[start : start + 3] = (rotation @ [x, y, z])[[1, 2, 0]]
    atoms = compact.atoms.copy()
    first = Density(atoms, compact.basis, coefficients)
    atoms.positions = atoms.positions @ rotation.T
    second = Density(atoms, compact.basis, turned)
    points = np.random.default_rng(2).normal(0, 1.0, (100, 3))
    close(second.evaluate(points @ rotation.T), first.evaluate(points), 1e-12)
    np.testing.assert_allclose(second.dipole(), rotation @ first.dipole(), atol=1e-12)


def test_gradient_and_laplacian_are_derivatives(compact: Density) -> None:
    points, h = np.random.default_rng(3).normal(0, 0.8, (20, 3)), 1e-3
    steps = [
        (compact.evaluate(points + h * e), compact.evaluate(points - h * e)) for e in np.eye(3)
    ]
    slopes = np.stack([(up - down) / (2 * h) for up, down in steps], axis=1)
    close(compact.gradient(points), slopes, 1e-4)
    curvature = sum(up + down - 2 * compact.evaluate(points) for up, down in steps) / h**2
    close(compact.laplacian(points), curvature, 1e-3)


def test_size_extensivity(compact: Density) -> None:
    twice = compact.atoms.copy()
    twice.positions += 30.0
    both = Density(
        compact.atoms + twice, compact.basis, np.tile(compact.coefficients, 2), normalize=False
    )
    assert both.number_of_electrons == pytest.approx(20.0)
    points = compact.atoms.positions + 0.3
    np.testing.assert_array_equal(both.evaluate(points), compact.evaluate(points))
    np.testing.assert_allclose(both.evaluate(points + 30.0), compact.evaluate(points))


def test_files_and_pickles(compact: Density, tmp_path: Path) -> None:
    compact.write(tmp_path / "rho.npz")
    for copy in (Density.read(tmp_path / "rho.npz"), pickle.loads(pickle.dumps(compact))):
        assert copy.basis == compact.basis
        np.testing.assert_array_equal(copy.coefficients, compact.coefficients)
        points = np.random.default_rng(0).normal(size=(10, 3))
        np.testing.assert_array_equal(copy.evaluate(points), compact.evaluate(points))


# refusals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda rho: rho.on_grid(0.5, core="voxel-average"), 'give core="point"'),
        (
            lambda rho: rho.hartree_energy(),
            "hartree_energy.*needs Gaussians; use a basis",
        ),
        (
            lambda rho: rho.coulomb_interaction(_moved(rho)),
            "coulomb_interaction.*needs Gaussians; use a basis",
        ),
        (lambda rho: rho.charges("hirshfeld"), "no atomic densities"),
        (lambda rho: rho.free_atoms(), "no atomic densities"),
    ],
)
def test_what_cannot_serve_refuses(
    compact: Density, use: Callable[[Density], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        use(compact)


def test_pyscf_and_grid_references_refuse(compact: Density) -> None:
    pytest.importorskip("pyscf")
    from ase_rholearn.references.grid.resolution import check_resolution
    from ase_rholearn.references.pyscf.integrals import metric_matrix

    with pytest.raises(ValueError, match=r"auxiliary_molecule \(PySCF\) needs Gaussians"):
        metric_matrix(compact.atoms, compact.basis)
    with pytest.raises(ValueError, match="fit_grid needs Gaussians"):
        check_resolution(compact.basis, compact.atoms.numbers, 0.1)


def _moved(rho: Density) -> Density:
    atoms = rho.atoms.copy()
    atoms.positions += 10.0
    return Density(atoms, rho.basis, rho.coefficients)
