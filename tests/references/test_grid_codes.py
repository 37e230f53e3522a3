"""Fits to densities of real codes: PySCF (crystals and molecules) and GPAW."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from grid_orbitals import DATA, valence_density

from ase_rholearn import Basis, Density
from ase_rholearn.density import Grid, nmae
from ase_rholearn.references import Reference
from ase_rholearn.references.grid import GridDensity, fit_grid, grid_basis, read_grid_density
from ase_rholearn.references.pyscf import atomic_densities


def error_elsewhere(fitted: Reference, basis: Basis, density: GridDensity) -> float:
    """Error in per cent at the points of another grid."""
    values = Density(fitted.atoms, basis, fitted.coefficients).on_frame(density.grid).values
    return float(100 * np.abs(values - density.grid.values).sum() / density.grid.values.sum())


def check_charge(fitted: Reference, basis: Basis, electrons: float) -> None:
    rho = Density(fitted.atoms, basis, fitted.coefficients)
    assert rho.number_of_electrons == pytest.approx(electrons, abs=1e-9)
    assert abs(rho.normalization) < 1e-9
    assert abs(fitted.fit["electron_error"]) < 1e-9


@pytest.mark.parametrize("metric", ["overlap", "coulomb"])
@pytest.mark.parametrize(
    ("name", "points", "options", "bound"),
    [
        ("si", 20, {"largest": 4.0}, 0.12),
        ("nacl", 28, {"largest": {"Cl": 4.0}, "l_max": 3}, 1.2),
        pytest.param("waters", 36, {"beta": 2.2, "l_max": {"O": 3}}, 1.5, marks=pytest.mark.slow),
    ],
)
def test_pyscf_crystals(
    name: str, points: int, options: dict[str, Any], bound: float, metric: str
) -> None:
    density = valence_density(name, (points,) * 3)
    basis = grid_basis(density, **options)
    fitted = fit_grid(density, basis, metric=metric)  # type: ignore[arg-type]
    check_charge(fitted, basis, density.expected_electrons)
    assert fitted.fit["nmae"] < bound
    assert fitted.fit["dependent"] == 0
    # it is no better where it was fitted than elsewhere
    finer = valence_density(name, (points + 5,) * 3)
    assert error_elsewhere(fitted, basis, finer) < 1.3 * bound


def test_silicon_needs_d_f_and_g() -> None:
    density = valence_density("si", (20, 20, 20))
    errors = [
        fit_grid(density, grid_basis(density, largest=4.0, l_max=l_max)).fit["nmae"]
        for l_max in (2, 3, 4)
    ]
    assert errors[0] > 5
    assert errors[0] > 4 * errors[1] > 16 * errors[2]


def test_finer_grids_of_sodium_chloride() -> None:
    """Sodium's 2s and 2p need tight functions, which only fine grids carry."""
    errors = []
    for points in (20, 26):
        density = valence_density("nacl", (points,) * 3)
        basis = grid_basis(density, largest={"Cl": 4.0}, l_max=2, beta=2.0)
        errors.append(fit_grid(density, basis).fit["nmae"])
    assert errors[0] > 2 * errors[1]


# molecules ---------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["overlap", "coulomb"])
def test_all_electron_cube_of_pyscf(
    metric: str, mean_field: Any, water: Atoms, tmp_path: Path
) -> None:
    """A cube of PySCF, fitted on the atomic baseline, against the density of the orbitals."""
    from pyscf import dft
    from pyscf.tools import cubegen

    matrix = mean_field.make_rdm1()
    path = tmp_path / "water.cube"
    cubegen.density(mean_field.mol, str(path), matrix, resolution=0.25, margin=5.0)
    density = read_grid_density(path, kind="all-electron", periodic=False)
    np.testing.assert_allclose(density.atoms.positions, water.positions, atol=1e-5)
    baseline = atomic_densities([1, 8], xc="PBE", orbital_basis="def2-svp")
    basis = grid_basis(density, atomic_densities=baseline, beta=2.0)
    fitted = fit_grid(density, basis, metric=metric)  # type: ignore[arg-type]
    check_charge(fitted, basis, 10)
    rho = Density(density.atoms, basis, fitted.coefficients)

    def expected(points: np.ndarray) -> np.ndarray:
        ao = dft.numint.eval_ao(mean_field.mol, points / units.Bohr)
        return dft.numint.eval_rho(mean_field.mol, ao, matrix) / units.Bohr**3

    assert fitted.fit["nmae"] < 0.6
    assert nmae(rho, expected) < 0.8
    dipole = mean_field.dip_moment(unit="AU", verbose=0) * units.Bohr
    np.testing.assert_allclose(fitted.dipole, dipole, atol=0.005)
    np.testing.assert_allclose(rho.dipole(), dipole, atol=0.01)


# GPAW --------------------------------------------------------------------------------------


def gpaw_density(name: str, **options: Any) -> GridDensity:
    """A density of ``data/make_grid_gpaw.py``."""
    with np.load(DATA / "grid_gpaw.npz") as data:
        numbers, positions, cell, origin, values = (
            data[f"{name}_{key}"] for key in ("numbers", "positions", "cell", "origin", "values")
        )
    periodic = name != "water"
    atoms = Atoms(numbers, positions, cell=cell if periodic else None, pbc=periodic)
    return GridDensity(atoms, Grid(values.astype(float), origin, cell), **options)


@pytest.mark.parametrize(
    ("name", "cores", "radius", "bound"),
    [
        ("si", {"Si": 4}, 0.45, 0.4),
        ("nacl", {"Na": 7, "Cl": 7}, 0.45, 1.0),
        ("water", {"O": 6, "H": 1}, 0.3, 1.2),
    ],
)
def test_gpaw_valence(name: str, cores: dict[str, float], radius: float, bound: float) -> None:
    """The valence density has nodes at the nuclei, which no grid resolves."""
    density = gpaw_density(name, kind="valence", core_charges=cores)
    basis = grid_basis(density, excluded_radius=radius)
    fitted = fit_grid(density, basis, excluded_radius=radius, tolerance=0.5)
    check_charge(fitted, basis, density.expected_electrons)
    assert fitted.fit["nmae"] < bound
    assert fitted.settings["excluded_radius"] == radius
    # smooth where there was nothing to fit
    values = Density(fitted.atoms, basis, fitted.coefficients).on_frame(density.grid).values
    assert values.min() > -0.05 * density.grid.values.max()
    assert values.max() < 1.5 * density.grid.values.max()


def test_gpaw_all_electron_silicon() -> None:
    """Cores come from the free atoms; the points outside them are fitted."""
    density = gpaw_density("si-core", kind="all-electron")
    density.check_electrons()
    baseline = atomic_densities([14], xc="PBE")
    basis = grid_basis(density, excluded_radius=0.45, atomic_densities=baseline)
    fitted = fit_grid(density, basis, excluded_radius=0.45)
    check_charge(fitted, basis, 28)
    assert fitted.fit["nmae"] < 0.4


def test_gpaw_itself() -> None:
    gpaw = pytest.importorskip("gpaw")
    atoms = bulk("Si", a=5.43)
    atoms.calc = gpaw.GPAW(mode=gpaw.PW(250), xc="PBE", kpts=(2, 2, 2), gpts=(16, 16, 16), txt=None)
    energy = atoms.get_potential_energy()
    values = atoms.calc.get_all_electron_density(gridrefinement=2, skip_core=True)
    grid = Grid(values, np.zeros(3), atoms.cell.array)
    density = GridDensity(atoms, grid, "valence", {"Si": 4})
    basis = grid_basis(density, excluded_radius=0.45)
    fitted = fit_grid(density, basis, excluded_radius=0.45, energy=energy, tolerance=0.5)
    check_charge(fitted, basis, 8)
    assert fitted.fit["nmae"] < 0.5
