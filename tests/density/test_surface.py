"""Surfaces of one value: exact spheres, periodic cells, and the potential on them."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule

from ase_rholearn import Basis, Density
from ase_rholearn.density.pictures.surface import (
    Surface,
    SurfacePotential,
    lobes,
    surface_potential,
)

pytest.importorskip("skimage")

EXPONENT, RADIUS = 0.8, 1.1  # of a Gaussian in bohr^-2, of its surface in Angstrom

SKEW = [[6.0, 0.0, 0.0], [2.0, 6.5, 0.0], [-1.0, 1.5, 6.2]]


def gaussian(position: tuple[float, float, float], **cell: object) -> Density:
    basis = Basis.from_shells({"He": [(0, [EXPONENT])]})
    return Density(Atoms("He", [position], **cell), basis, [1.0])


def sphere_value(rho: Density) -> float:
    """Value at the distance RADIUS."""
    return float(rho.evaluate(rho.atoms.positions + np.array([0.0, 0.0, RADIUS]))[0])


def check_closed(surface: Surface) -> None:
    faces = np.concatenate([surface.faces, surface.caps])
    edges = np.concatenate([faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    ways = {tuple(edge) for edge in edges.tolist()}
    assert len(ways) == len(edges)
    assert all((b, a) in ways for a, b in ways)


def test_sphere() -> None:
    rho = gaussian((0.3, -0.2, 0.7))
    surface = rho.isosurface(sphere_value(rho), spacing=0.12)
    outwards = surface.vertices - rho.atoms.positions[0]
    np.testing.assert_allclose(np.linalg.norm(outwards, axis=1), RADIUS, rtol=1e-6)
    np.testing.assert_allclose(surface.normals, outwards / RADIUS, atol=1e-5)
    assert surface.area == pytest.approx(4 * np.pi * RADIUS**2, rel=5e-3)
    assert surface.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=8e-3)
    assert len(surface.caps) == 0
    check_closed(surface)


def test_area_and_volume_converge() -> None:
    rho = gaussian((0.0, 0.0, 0.0))
    errors = []
    for spacing in (0.3, 0.15):
        surface = rho.isosurface(sphere_value(rho), spacing=spacing)
        errors.append(1 - surface.area / (4 * np.pi * RADIUS**2))
    assert 3 < errors[0] / errors[1] < 5.5


@pytest.mark.parametrize("cell", [[6.0, 6.5, 7.0], SKEW])
def test_crystals_are_cut_at_their_ends(cell: object) -> None:
    """A sphere around the corner of a cell has its whole area and volume in the cell."""
    rho = gaussian((0.0, 0.0, 0.0), cell=cell, pbc=True)
    surface = rho.isosurface(sphere_value(rho), spacing=0.2)
    alone = gaussian((0.0, 0.0, 0.0)).isosurface(sphere_value(rho), spacing=0.2)
    assert len(surface.caps) > 0
    check_closed(surface)
    assert surface.area == pytest.approx(alone.area, rel=0.01)
    assert surface.volume == pytest.approx(alone.volume, rel=0.01)
    moved = np.unique(surface.faces)
    values = rho.evaluate(surface.vertices[moved])
    np.testing.assert_allclose(values, surface.isovalue, rtol=1e-6)
    along = surface.vertices @ np.linalg.inv(rho.atoms.cell.array)
    assert along.min() > -1e-12
    assert along.max() < 1 + 1e-12


def test_the_box_grows_until_it_holds_the_surface() -> None:
    basis = Basis.from_shells({"He": [(0, [0.02])]})
    rho = Density(Atoms("He"), basis, [1.0])
    distance = 6.0
    surface = rho.isosurface(float(rho.evaluate([[distance, 0, 0]])[0]), spacing=0.8)
    np.testing.assert_allclose(np.linalg.norm(surface.vertices, axis=1), distance, rtol=1e-6)


def test_differences_have_two_lobes() -> None:
    first, second = gaussian((0.0, 0.0, 0.0)), gaussian((0.0, 0.0, 1.0))
    found = lobes(first - second, 0.02, spacing=0.25)
    assert [surface.isovalue for surface in found] == [0.02, -0.02]
    positive, negative = found
    assert positive.vertices[:, 2].mean() < 0.5 < negative.vertices[:, 2].mean()
    assert positive.volume == pytest.approx(negative.volume, rel=0.01)
    mirrored = (first - second).isosurface(-0.02, spacing=0.25)
    assert mirrored.volume == pytest.approx(negative.volume)


def test_mistakes() -> None:
    rho = gaussian((0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="isovalue is 0: give a value other than zero"):
        rho.isosurface(0)
    with pytest.raises(ValueError, match=r"isovalue is 1e\+04, but values go from .* give one"):
        rho.isosurface(1e4, spacing=0.5)
    with pytest.raises(ValueError, match="isovalue is -1: give a positive value"):
        lobes(rho, -1)


# potential -------------------------------------------------------------------------------


def test_statistics_of_a_potential_that_is_known() -> None:
    """On a sphere, V = z: averages over the area in closed form."""
    rho = gaussian((0.0, 0.0, 0.0))
    surface = rho.isosurface(sphere_value(rho), spacing=0.1)
    found = SurfacePotential(surface, surface.vertices[:, 2])
    assert found.maximum == pytest.approx(RADIUS, rel=5e-3)
    assert found.minimum == pytest.approx(-RADIUS, rel=5e-3)
    assert found.mean == pytest.approx(0.0, abs=1e-3)
    assert found.mean_positive == pytest.approx(RADIUS / 2, rel=0.02)
    assert found.mean_negative == pytest.approx(-RADIUS / 2, rel=0.02)
    assert found.deviation == pytest.approx(RADIUS / 2, rel=0.02)
    assert found.variance_positive == pytest.approx(RADIUS**2 / 12, rel=0.03)
    assert found.balance == pytest.approx(0.25, abs=1e-3)
    assert found.positive_area == pytest.approx(surface.area / 2, rel=0.02)
    never = SurfacePotential(surface, np.ones(len(surface.vertices)))
    assert np.isnan(never.mean_negative)


def test_potential_of_an_ion_on_a_sphere() -> None:
    """Outside of a Gaussian of one electron around a nucleus of charge 2: almost e / r."""
    basis = Basis.from_shells({"He": [(0, [EXPONENT])]})
    rho = Density(Atoms("He", info={"charge": 1}), basis, [1.0])
    distance = 2.5
    isovalue = float(rho.evaluate([[distance, 0, 0]])[0])
    found = surface_potential(rho, isovalue, spacing=0.5)
    coulomb = units.Hartree * units.Bohr / distance
    assert found.minimum == pytest.approx(coulomb, rel=1e-3)
    assert found.maximum == pytest.approx(coulomb, rel=1e-3)


def test_water_is_negative_at_its_oxygen(basis: Basis) -> None:
    atoms = molecule("H2O")
    rho = Density(atoms, basis, np.zeros(basis.size(atoms.numbers)), normalize=False)
    found = surface_potential(rho, spacing=0.4)
    on_surface = np.unique(found.surface.faces)
    np.testing.assert_allclose(
        found.values[on_surface], rho.potential(found.surface.vertices[on_surface])
    )
