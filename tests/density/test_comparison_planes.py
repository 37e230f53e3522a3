"""Planar averages of densities and potentials."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from scipy.integrate import cumulative_trapezoid, quad
from scipy.spatial.transform import Rotation

from ase_rholearn import Basis, Density
from ase_rholearn.basis import AtomicDensity, Shell
from ase_rholearn.density.comparison import planar_density, planar_potential

CELL = np.array([[4.5, 0, 0], [1.0, 4.8, 0.5], [-0.7, 0.3, 5.0]])


@pytest.fixture(scope="module")
def soft() -> Basis:
    """Functions up to l = 4, without narrow ones, so that grids converge."""
    shells = tuple(Shell.normalized(l, [0.6 + 0.15 * l]) for l in range(5))
    contracted = Shell.normalized(0, [1.2, 0.5], [0.4, 0.7])
    free = {
        z: AtomicDensity((1.5, 0.5), tuple(0.5 * z * (a / np.pi) ** 1.5 for a in (1.5, 0.5)))
        for z in (1, 6, 8)
    }
    return Basis(dict.fromkeys(free, (contracted, *shells)), free)


@pytest.fixture
def build(soft: Basis, random_density: Callable[..., Density]) -> Callable[..., Density]:
    def methanol(pbc: object, *, seed: int = 0) -> Density:
        atoms = molecule("CH3OH", cell=CELL, pbc=pbc)
        return random_density(atoms, soft, seed=seed)

    return methanol


def in_plane(axis: int) -> tuple[int, int]:
    first, second = (k for k in range(3) if k != axis)
    return first, second


# densities ---------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_of_a_skewed_crystal(build: Callable[..., Density], axis: int) -> None:
    """Sums over a grid with axes along the periods are exact for smooth functions."""
    rho = build(True)
    shape = tuple(48 if k == axis else 40 for k in range(3))
    grid = rho.on_grid(shape=shape)
    area = np.linalg.norm(np.cross(*CELL[list(in_plane(axis))]))
    period = abs(np.linalg.det(CELL)) / area
    profile = planar_density(rho, axis, heights=np.arange(48) / 48 * period)
    assert profile.area == pytest.approx(area)
    assert profile.period == pytest.approx(period)
    expected = grid.values.mean(axis=in_plane(axis))
    np.testing.assert_allclose(profile.average, expected, atol=1e-8)
    # heights that are left out span one period
    whole = planar_density(rho, axis, spacing=0.1)
    assert whole.values.mean() * period == pytest.approx(18, abs=1e-9)
    again = planar_density(rho, axis, heights=whole.heights - 3 * period)
    np.testing.assert_allclose(again.values, whole.values, atol=1e-10)


@pytest.mark.parametrize("pbc", [(True, True, False), (False, True, False), False])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_of_other_structures(build: Callable[..., Density], pbc: object, axis: int) -> None:
    """Whatever is periodic: all electrons are there, and the slope of their sum is right."""
    rho = build(pbc)
    profile = planar_density(rho, axis, spacing=0.02, margin=6.0)
    open_axis = not np.broadcast_to(pbc, 3)[axis]
    assert (profile.period is None) == open_axis
    counted = cumulative_trapezoid(profile.values, profile.heights, initial=0)
    below = profile.electrons_below - profile.electrons_below[0]
    np.testing.assert_allclose(below, counted, atol=5e-3)
    if open_axis:
        assert profile.electrons_below[0] == pytest.approx(0, abs=1e-7)
        assert profile.electrons_below[-1] == pytest.approx(18, abs=1e-7)


def test_direction_of_a_molecule(build: Callable[..., Density]) -> None:
    """A direction is one of the axes after a rotation of the space."""
    rho = build(False)
    direction = np.array([1.0, -2.0, 0.7])
    profile = planar_density(rho, direction, spacing=0.3)
    first = np.linalg.svd(direction[None])[2]
    matrix = first * np.sign(first[0] @ direction) if np.linalg.det(first) > 0 else first
    unit = direction / np.linalg.norm(direction)
    across = matrix[1:]
    step = np.arange(-8, 8, 0.15)
    u, v = np.meshgrid(step, step, indexing="ij")
    sheet = (u[..., None] * across[0] + v[..., None] * across[1]).reshape(-1, 3)
    for k in (5, 12, 17):
        expected = rho.evaluate(sheet + profile.heights[k] * unit).sum() * 0.15**2
        assert profile.values[k] == pytest.approx(expected, abs=1e-6)


def test_free_atoms_and_narrow_functions(basis: Basis) -> None:
    """Cores, in closed form."""
    atoms = Atoms("O", cell=[4, 4, 4], pbc=True)
    rho = Density(atoms, basis, np.zeros(basis.size([8])), normalize=False)
    free = basis.atomic_densities[8]
    heights = np.array([0.0, 0.02, 0.3])
    expected = [
        sum(
            d * np.pi / a * np.exp(-a * (h + 4 * k) ** 2 / units.Bohr**2) / units.Bohr
            for a, d in zip(free.exponents, free.amplitudes, strict=True)
            for k in range(-2, 3)
        )
        for h in heights
    ]
    np.testing.assert_allclose(planar_density(rho, heights=heights).values, expected, rtol=1e-10)


def test_difference_is_the_charge_displacement(build: Callable[..., Density]) -> None:
    first, second = build((True, True, False), seed=1), build((True, True, False), seed=2)
    profile = planar_density(first - second, spacing=0.1)
    own = [planar_density(rho, spacing=0.1) for rho in (first, second)]
    np.testing.assert_allclose(profile.values, own[0].values - own[1].values, atol=1e-10)
    expected = own[0].electrons_below - own[1].electrons_below
    np.testing.assert_allclose(profile.electrons_below, expected, atol=1e-10)


@pytest.mark.parametrize("pbc", [True, (True, True, False)])
@pytest.mark.parametrize("windows", [1.3, (1.3,), (1.3, 2.1)])
def test_macroscopic_average(
    build: Callable[..., Density], pbc: object, windows: float | tuple[float, ...]
) -> None:
    rho = build(pbc)
    lengths = np.atleast_1d(windows)
    heights = np.array([-0.4, 0.9, 3.1])
    for function in (planar_density, planar_potential):
        averaged = function(rho, heights=heights, windows=windows).values
        nodes, weights = np.polynomial.legendre.leggauss(40)
        shifts, shares = np.zeros(1), np.ones(1)
        for length in lengths:
            shifts = (shifts[:, None] + 0.5 * length * nodes).ravel()
            shares = (shares[:, None] * 0.5 * weights).ravel()
        expected = [shares @ function(rho, heights=h + shifts).values for h in heights]
        # nuclei are kinks of the potential
        np.testing.assert_allclose(averaged, expected, rtol=2e-3, atol=2e-3)


# potentials --------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_potential_of_a_crystal(build: Callable[..., Density], axis: int) -> None:
    """Of a difference, because there nuclei do not spoil the average over points."""
    first, second = build(True, seed=1), build(True, seed=2)
    fractions = np.stack(
        np.meshgrid(*([0.1, 0.7] if k == axis else np.arange(14) / 14 for k in range(3))), axis=-1
    )
    points = np.stack([fractions[np.isclose(fractions[..., axis], f)] for f in (0.1, 0.7)])
    values = [rho.potential(points.reshape(-1, 3) @ CELL).reshape(2, -1) for rho in (first, second)]
    period = planar_density(first, axis, heights=[0.0]).period
    assert period is not None
    profile = planar_potential(first - second, axis, heights=np.array([0.1, 0.7]) * period)
    np.testing.assert_allclose(profile.values, (values[0] - values[1]).mean(axis=1), atol=1e-4)
    assert profile.vacuum_levels is None


@pytest.mark.parametrize("pbc", [True, (True, True, False)])
def test_poissons_equation(build: Callable[..., Density], pbc: object) -> None:
    """Between the nuclei; and each nucleus is a kink of the right size."""
    rho = build(pbc)
    heights = np.linspace(0.1, 2.9, 57)
    h = 1e-3
    planes = rho.atoms.positions @ np.cross(CELL[0], CELL[1])
    planes = planes / np.linalg.norm(np.cross(CELL[0], CELL[1]))
    # not too close to the kinks
    away = np.abs(heights[:, None] - planes).min(axis=1) > 2 * h
    values = [planar_potential(rho, heights=heights + k * h).values for k in (-1, 0, 1)]
    curvature = (values[0] - 2 * values[1] + values[2]) / h**2
    strength = 4 * np.pi * units.Hartree * units.Bohr
    profile = planar_density(rho, heights=heights)
    np.testing.assert_allclose(
        curvature[away], strength * profile.average[away], rtol=1e-4, atol=1e-3
    )
    around = planes[1] + np.array([-h, 0.0, h])
    kink = np.diff(planar_potential(rho, heights=around).values, n=2)[0] / h
    expected = -strength * 8 / profile.area
    assert kink == pytest.approx(expected, rel=0.01)


def test_average_of_a_crystal_is_zero(build: Callable[..., Density]) -> None:
    period = planar_potential(build(True)).period
    assert period is not None
    rho = build(True)
    mean = planar_potential(rho, heights=[0.3], windows=period).values[0]
    assert mean == pytest.approx(0, abs=1e-10)


def test_slab_is_a_crystal_with_vacuum(build: Callable[..., Density]) -> None:
    """In a crystal the field of a polar slab is compensated: a linear potential."""
    slab = build((True, True, False))
    atoms = slab.atoms.copy()
    atoms.set_cell([CELL[0], CELL[1], [0, 0, 40.0]])
    atoms.pbc = True
    crystal = Density(atoms, slab.basis, slab.raw_coefficients)
    heights = np.linspace(-7, 8, 61)
    first = planar_potential(slab, heights=heights)
    second = planar_potential(crystal, heights=heights)
    assert second.period is not None
    slope = first.dipole_step / second.period
    difference = second.values + slope * heights - first.values
    np.testing.assert_allclose(difference, difference[0], atol=1e-8)
    # levels are reached, halfway between them is zero
    assert first.vacuum_levels == pytest.approx((first.values[0], first.values[-1]), abs=1e-6)
    assert sum(first.vacuum_levels or (1,)) == pytest.approx(0, abs=1e-9)


def test_dipole_step(build: Callable[..., Density]) -> None:
    """The areal dipole, from the dipole moment of the molecule alone."""
    slab = build((True, True, False))
    alone = slab.atoms.copy()
    alone.pbc = False
    dipole = Density(alone, slab.basis, slab.raw_coefficients).dipole()
    profile = planar_potential(slab)
    normal = np.cross(CELL[0], CELL[1]) / profile.area
    expected = 4 * np.pi * units.Hartree * units.Bohr * (dipole @ normal) / profile.area
    assert profile.dipole_step == pytest.approx(expected, rel=1e-8)


def test_zero_is_that_of_the_potential_at_points(build: Callable[..., Density]) -> None:
    """Averaged over a plane without nuclei."""
    rho = build(True)
    shape = (12, 12)
    profile = planar_potential(rho, heights=[3.2])
    normal = np.cross(CELL[0], CELL[1]) / profile.area
    origin = 3.2 * normal
    fractions = np.stack(
        np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1
    ).reshape(-1, 2)
    values = rho.potential(origin + fractions @ CELL[:2])
    assert profile.values[0] == pytest.approx(values.mean(), abs=2e-3)


def test_core_electrons_need_no_fine_grid(basis: Basis) -> None:
    """One atom with narrow functions in a slab: potential against direct integration."""
    atoms = Atoms("O", [[0, 0, 0.3]], cell=[3, 3.5, 9], pbc=(True, True, False))
    rho = Density(atoms, basis, np.zeros(basis.size([8])), normalize=False)
    profile = planar_potential(rho, heights=[0.3, 0.32, 1.4])
    free = basis.atomic_densities[8]

    def sheet(u: float) -> float:
        pairs = zip(free.exponents, free.amplitudes, strict=True)
        return sum(d * np.pi / a * np.exp(-a * u * u) for a, d in pairs)

    for height, value in zip(profile.heights, profile.values, strict=True):
        u = (height - 0.3) / units.Bohr
        # electrons farther out pull, each sheet with a potential proportional to the distance
        outside = 2 * quad(lambda v, u=u: (v - u) * sheet(v), u, u + 12, limit=200)[0]
        expected = 2 * np.pi * outside * units.Hartree * units.Bohr**2 / profile.area
        assert value == pytest.approx(expected, rel=1e-6)


# symmetry and errors -----------------------------------------------------------------------


def test_rotation_of_everything(build: Callable[..., Density]) -> None:
    """Free atoms, which need no turned coefficients, in a turned cell."""
    rho = build((True, True, False)).free_atoms()
    matrix = Rotation.random(rng=np.random.default_rng(3)).as_matrix()
    atoms = rho.atoms.copy()
    atoms.set_cell(atoms.cell.array @ matrix.T)
    atoms.positions = atoms.positions @ matrix.T
    turned = Density(atoms, rho.basis, rho.raw_coefficients, normalize=False)
    heights = np.linspace(-1, 2, 7)
    for function in (planar_density, planar_potential):
        expected = function(rho, heights=heights).values
        np.testing.assert_allclose(function(turned, heights=heights).values, expected, atol=1e-9)


def test_errors(build: Callable[..., Density]) -> None:
    slab, molecular = build((True, True, False)), build(False)
    with pytest.raises(ValueError, match=r"axis is 3: give 0, 1 or 2"):
        planar_density(slab, 3)
    with pytest.raises(ValueError, match=r"axis is \[0, 0, 1\]: give 0, 1 or 2"):
        planar_density(slab, [0, 0, 1])
    with pytest.raises(ValueError, match=r"axis is \[0, 0, 0\]: give a vector"):
        planar_density(molecular, [0, 0, 0])
    with pytest.raises(ValueError, match="average over them is zero: use values"):
        _ = planar_density(molecular, spacing=1.0).average
    with pytest.raises(ValueError, match="needs planes that are periodic in both directions"):
        planar_potential(slab, 0)
    with pytest.raises(ValueError, match="spacing is 0: give a positive distance"):
        planar_density(slab, spacing=0)
    with pytest.raises(ValueError, match="margin is -1: give a distance"):
        planar_density(slab, margin=-1)
    with pytest.raises(ValueError, match=r"heights has shape \(1, 1\)"):
        planar_density(slab, heights=[[0.0]])
    for windows in (0.0, (1.0, 2.0, 3.0), (-1.0,)):
        with pytest.raises(ValueError, match="give one or two positive lengths"):
            planar_density(slab, windows=windows)
    with pytest.raises(ValueError, match="has no vacuum levels: give a structure"):
        _ = planar_potential(build(True), spacing=1.0).dipole_step
    charged = Density(slab.atoms, slab.basis, slab.coefficients + 0.1, normalize=False)
    with pytest.raises(ValueError, match=r"the cell holds a charge of .* give a neutral structure"):
        planar_potential(charged)
