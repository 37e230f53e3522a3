"""Fits to densities on a grid: what lies in the basis comes back, whatever the cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.vasp import VaspChargeDensity
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn import Basis, Density
from ase_rholearn.basis import AtomicDensity
from ase_rholearn.density import Grid
from ase_rholearn.references import Reference
from ase_rholearn.references.grid import (
    GridDensity,
    effective_spacing,
    fit_grid,
    grid_basis,
    largest_exponent,
    read_grid_density,
)

CORES = {"O": 6, "H": 1}
CELLS = {
    "orthogonal": np.diag([3.0, 3.5, 4.0]),
    "triclinic": np.array([[3.0, 0, 0], [1.0, 3.0, 0], [0.2, 0.5, 4.0]]),
    "fcc": np.array([[0, 3.0, 3.0], [3.0, 0, 3.0], [3.0, 3.0, 0]]),
}


@pytest.fixture(scope="module")
def basis() -> Basis:
    """Up to g, and as tight as a grid of 0.3 Angstrom carries."""
    return Basis.from_shells(
        {
            "O": [(0, [3.0, 1.2, 0.5]), (1, [2.5, 0.7]), (2, [1.6]), (3, [1.2]), (4, [1.1])],
            "H": [(0, [2.0, 0.6]), (1, [0.9])],
        },
        kind="valence",
        core_charges={8: 6, 1: 1},
    )


def density_of(basis: Basis, atoms: Atoms, seed: int = 0) -> Density:
    coefficients = np.random.default_rng(seed).normal(0, 0.2, basis.size(atoms.numbers))
    return Density(atoms, basis, coefficients)


def hydroxyl(cell: np.ndarray | None) -> Atoms:
    positions = [[0.1, 0.2, 0.0], [0.8, 0.8, -0.2]]
    return Atoms("OH", positions, cell=cell, pbc=cell is not None)


# a density in the basis comes back ---------------------------------------------------------


@pytest.mark.parametrize("metric", ["overlap", "coulomb"])
@pytest.mark.parametrize("cell", [*CELLS, "molecule"])
@pytest.mark.parametrize("points", [12, 13])
def test_exact_in_any_cell(basis: Basis, cell: str, metric: str, points: int) -> None:
    """Also on a coarse grid and in a box that cuts tails: both sides are sampled alike."""
    rho = density_of(basis, hydroxyl(CELLS.get(cell)))
    grid = rho.on_grid(shape=(points, points + 1, points + 2), margin=1.4)
    fitted = fit_grid(
        GridDensity(rho.atoms, grid, "valence", CORES), basis, metric=metric, tolerance=2
    )
    bound = 1e-8 if cell == "molecule" else 1e-11
    np.testing.assert_allclose(fitted.coefficients, rho.coefficients, atol=bound)
    assert abs(fitted.fit["electron_error"]) < 1e-11
    assert fitted.fit["nmae"] < 1e-6


def test_exact_at_the_limit_of_the_grid() -> None:
    atoms = hydroxyl(CELLS["triclinic"])
    grid = Grid(np.zeros((12, 13, 16)), np.zeros(3), atoms.cell.array)
    limit = largest_exponent(effective_spacing(grid))
    basis = Basis.from_shells(
        {"O": [(l, [limit, 0.3 * limit]) for l in range(5)], "H": [(0, [limit])]},
        kind="valence",
        core_charges={8: 6, 1: 1},
    )
    rho = density_of(basis, atoms)
    density = GridDensity(atoms, rho.on_frame(grid), "valence", CORES)
    for metric in ("overlap", "coulomb"):
        fitted = fit_grid(density, basis, metric=metric, tolerance=9)  # type: ignore[arg-type]
        np.testing.assert_allclose(fitted.coefficients, rho.coefficients, atol=1e-8)


def test_exact_in_a_slab(basis: Basis) -> None:
    atoms = hydroxyl(CELLS["triclinic"])
    atoms.pbc = [True, True, False]
    rho = density_of(basis, atoms)
    density = GridDensity(atoms, rho.on_grid(0.3, margin=1.5), "valence", CORES)
    fitted = fit_grid(density, basis, tolerance=2)
    np.testing.assert_allclose(fitted.coefficients, rho.coefficients, atol=1e-10)
    with pytest.raises(ValueError, match=r'for molecules and for crystals.*metric="overlap"'):
        fit_grid(density, basis, metric="coulomb", tolerance=2)


@pytest.mark.parametrize("cell", ["triclinic", "molecule"])
def test_exact_on_a_baseline_and_without_points_at_the_nuclei(cell: str) -> None:
    atomic = {
        z: AtomicDensity((40.0, 0.5), tuple(n * (a / np.pi) ** 1.5 for n, a in shells))
        for z, shells in {8: ((2, 40.0), (6, 0.5)), 1: ((0, 40.0), (1, 0.5))}.items()
    }
    basis = Basis.from_shells(
        {"O": [(0, [3.0, 1.0]), (1, [2.0]), (2, [1.0])], "H": [(0, [1.0])]}
    ).with_atomic_densities(atomic)
    rho = density_of(basis, hydroxyl(CELLS.get(cell)))
    density = GridDensity(rho.atoms, rho.on_grid(0.2), "all-electron")
    fitted = fit_grid(density, basis, excluded_radius={"O": 0.4}, tolerance=4)
    np.testing.assert_allclose(fitted.coefficients, rho.coefficients, atol=1e-9)
    assert Density(rho.atoms, basis, fitted.coefficients).number_of_electrons == pytest.approx(9)


def test_charge_and_dipole_of_an_ion(basis: Basis) -> None:
    atoms = hydroxyl(None)
    atoms.info["charge"] = -1
    rho = density_of(basis, atoms)
    density = GridDensity(atoms, rho.on_grid(0.15, margin=3.5), "valence", CORES)
    fitted = fit_grid(density, basis)
    assert rho.number_of_electrons == pytest.approx(8)
    np.testing.assert_allclose(fitted.coefficients, rho.coefficients, atol=1e-10)
    np.testing.assert_allclose(fitted.dipole, rho.dipole(), atol=1e-5)


def test_from_files(basis: Basis, tmp_path: Path) -> None:
    """A CHGCAR to the digits of its values, a cube to its six."""
    rho = density_of(basis, hydroxyl(CELLS["triclinic"]))
    grid = rho.on_grid(0.2)
    file = VaspChargeDensity(filename=None)
    file.atoms, file.chg = [rho.atoms], [grid.values]
    file.write(str(tmp_path / "CHGCAR"), format="chgcar")
    rho.write(tmp_path / "rho.cube", spacing=0.2)
    for name, bound, options in (
        ("CHGCAR", 1e-8, {}),
        ("rho.cube", 2e-5, {"periodic": True}),
    ):
        density = read_grid_density(
            tmp_path / name, kind="valence", core_charges=CORES, tolerance=2, **options
        )
        fitted = fit_grid(density, basis, tolerance=2)
        np.testing.assert_allclose(fitted.coefficients, rho.coefficients, atol=bound)
        again = Density(fitted.atoms, basis, fitted.coefficients)
        np.testing.assert_allclose(
            again.on_frame(grid).values, grid.values, atol=10 * bound * grid.values.max()
        )


# symmetries --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=10)
@given(shift=st.tuples(*[st.floats(-5, 5)] * 3), seed=st.integers(0, 100))
def test_moved_between_the_points(basis: Basis, shift: tuple[float, ...], seed: int) -> None:
    """A density outside the basis: its fit hardly depends on where the points lie."""
    atoms = hydroxyl(CELLS["orthogonal"])
    rich = Basis.from_shells(
        {"O": [(0, [1.5, 0.8]), (1, [1.0]), (3, [0.8])], "H": [(0, [1.3]), (2, [0.8])]},
        kind="valence",
        core_charges={8: 6, 1: 1},
    )
    poor = Basis.from_shells(
        {"O": [(0, [1.0, 0.5]), (1, [0.8])], "H": [(0, [0.9])]},
        kind="valence",
        core_charges={8: 6, 1: 1},
    )
    moved = atoms.copy()
    moved.translate(shift)
    for metric in ("overlap", "coulomb"):
        fits = []
        for one in (atoms, moved):
            values = density_of(rich, one, seed).on_grid(0.2)
            density = GridDensity(one, values, "valence", CORES)
            fits.append(fit_grid(density, poor, metric=metric, tolerance=2).coefficients)
        np.testing.assert_allclose(fits[0], fits[1], atol=1e-6)


def test_turned_crystal(basis: Basis) -> None:
    """The cell turns with the atoms; s functions keep their coefficients, others their norm."""
    atoms = hydroxyl(CELLS["triclinic"])
    rho = density_of(basis, atoms)
    grid = rho.on_grid(0.2)
    turned = atoms.copy()
    turned.rotate(50, (1, 2, 3), rotate_cell=True)
    poor = Basis.from_shells(
        {"O": [(0, [1.0]), (1, [1.0]), (2, [1.0])], "H": [(0, [1.0])]},
        kind="valence",
        core_charges={8: 6, 1: 1},
    )
    for metric in ("overlap", "coulomb"):
        first, second = (
            fit_grid(
                GridDensity(a, Grid(grid.values, grid.origin * 0, a.cell.array), "valence", CORES),
                poor,
                metric=metric,
                tolerance=2,
            ).coefficients
            for a in (atoms, turned)
        )
        for part in ([0], [1, 2, 3], [4, 5, 6, 7, 8], [9]):
            norms = [np.linalg.norm(c[part]) for c in (first, second)]
            assert norms[0] == pytest.approx(norms[1], abs=1e-9)


@pytest.mark.parametrize("metric", ["overlap", "coulomb"])
def test_supercell(basis: Basis, metric: str) -> None:
    atoms = hydroxyl(CELLS["orthogonal"])
    grid = density_of(basis, atoms).on_grid(shape=(14, 15, 16))
    poor = Basis.from_shells(
        {"O": [(0, [1.0, 0.4]), (1, [0.8])], "H": [(0, [0.7])]},
        kind="valence",
        core_charges={8: 6, 1: 1},
    )
    twice = atoms.repeat((2, 1, 1))
    doubled = Grid(np.concatenate([grid.values] * 2), grid.origin, twice.cell.array)
    single, double = (
        fit_grid(GridDensity(a, g, "valence", CORES), poor, metric=metric, tolerance=4)
        for a, g in ((atoms, grid), (twice, doubled))
    )
    np.testing.assert_allclose(double.coefficients, np.tile(single.coefficients, 2), atol=1e-8)


def test_metric_is_pyscfs_periodic_overlap(basis: Basis) -> None:
    """On a grid that resolves the products of functions."""
    pbc_gto = pytest.importorskip("pyscf.pbc.gto")
    from ase_rholearn.basis import pyscf_permutation
    from ase_rholearn.references.grid.fourier import FourierMetric
    from ase_rholearn.references.pyscf.integrals import auxiliary_molecule

    atoms = hydroxyl(CELLS["triclinic"])
    molecule = auxiliary_molecule(atoms, basis)
    cell = pbc_gto.Cell()
    cell.atom, cell.unit, cell.verbose = molecule.atom, "B", 0
    cell.basis, cell.a, cell.spin = molecule._basis, atoms.cell.array / units.Bohr, 1
    cell.precision = 1e-12
    cell.build()
    order = pyscf_permutation(basis, atoms.numbers)
    expected = cell.pbc_intor("int1e_ovlp", hermi=1)[np.ix_(order, order)]
    grid = Grid(np.zeros((40, 40, 48)), np.zeros(3), atoms.cell.array)
    matrix = FourierMetric(
        "overlap", basis, atoms.numbers, atoms.positions / units.Bohr, grid
    ).matrix
    np.testing.assert_allclose(matrix, expected, atol=1e-9)


# what is recorded --------------------------------------------------------------------------


def test_record(basis: Basis, tmp_path: Path) -> None:
    rho = density_of(basis, hydroxyl(CELLS["triclinic"]))
    density = GridDensity(rho.atoms, rho.on_grid(0.25), "valence", CORES)
    poor = Basis.from_shells(
        {"O": [(0, [1.0, 0.5])], "H": [(0, [0.9])]}, kind="valence", core_charges={8: 6, 1: 1}
    )
    level = {"code": "VASP", "xc": "PBE"}
    fitted = fit_grid(density, poor, settings=level, provenance={"file": "CHGCAR"}, tolerance=2)
    assert (
        fitted.settings.items()
        >= {
            "code": "VASP",
            "xc": "PBE",
            "source": "grid",
            "metric": "overlap",
            "constraint": "charge",
            "kind": "valence",
            "core_charges": {"H": 1.0, "O": 6.0},
        }.items()
    )
    again = fit_grid(density, poor, settings=level, tolerance=2)
    assert again.id == fitted.id
    assert fit_grid(density, poor, metric="coulomb", settings=level, tolerance=2).id != fitted.id
    fitted.save(tmp_path / "x.npz")
    loaded = Reference.load(tmp_path / "x.npz")
    assert loaded.fit == fitted.fit
    assert loaded.provenance["file"] == "CHGCAR"
    # the figures are those of the Density
    values = Density(loaded.atoms, poor, loaded.coefficients).on_frame(density.grid).values
    nmae = 100 * np.abs(values - density.grid.values).sum() / density.grid.values.sum()
    assert fitted.fit["nmae"] == pytest.approx(nmae, rel=1e-9)
    assert fitted.fit["nmae"] > 1
    with pytest.raises(ValueError, match=r"entries \['metric'\], which the fit sets itself"):
        fit_grid(density, poor, settings={"metric": "x"}, tolerance=2)


def test_dependent_functions_are_left_out(basis: Basis) -> None:
    """Diffuse functions in a small cell are all the same constant."""
    rho = density_of(basis, hydroxyl(CELLS["orthogonal"]))
    diffuse = Basis.from_shells(
        {"O": [(0, [1.0, 0.02, 0.01]), (1, [0.6, 0.03])], "H": [(0, [1.0, 0.01])]},
        kind="valence",
        core_charges={8: 6, 1: 1},
    )
    density = GridDensity(rho.atoms, rho.on_grid(0.25), "valence", CORES)
    for metric in ("overlap", "coulomb"):
        fitted = fit_grid(density, diffuse, metric=metric, tolerance=2)
        assert fitted.fit["dependent"] > 0
        assert np.abs(fitted.coefficients).max() < 1e4
        electrons = diffuse.electrons(rho.atoms.numbers) @ fitted.coefficients
        assert electrons == pytest.approx(7, abs=1e-8)


# refusals ----------------------------------------------------------------------------------


def test_too_coarse_a_grid(basis: Basis) -> None:
    rho = density_of(basis, hydroxyl(CELLS["orthogonal"]))
    density = GridDensity(rho.atoms, rho.on_grid(0.5), "valence", CORES)
    with pytest.raises(
        ValueError,
        match=r"H up to 2, O up to 3 bohr\^-2, but points 0.5000 Angstrom apart carry at most "
        r"1.12 bohr\^-2. Give a grid with a spacing below 0.3055 Angstrom",
    ):
        fit_grid(density, basis, tolerance=2)
    fine = GridDensity(rho.atoms, rho.on_grid(0.25), "valence", CORES)
    with pytest.raises(ValueError, match=r"O up to 3 bohr\^-2 are too tight for excluded_radius"):
        fit_grid(fine, basis, excluded_radius={"O": 0.6}, tolerance=2)


def test_a_basis_of_another_kind(basis: Basis) -> None:
    rho = density_of(basis, hydroxyl(CELLS["orthogonal"]))
    density = GridDensity(rho.atoms, rho.on_grid(0.25), "valence", CORES)
    with pytest.raises(ValueError, match="the basis is all-electron but the density"):
        fit_grid(density, Basis(basis.shells), tolerance=2)
    other = Basis(basis.shells, kind="valence", core_charges={8: 4, 1: 1})
    with pytest.raises(ValueError, match="O has 4 in the basis and 6 in the density"):
        fit_grid(density, other, tolerance=2)
    no_s = Basis.from_shells(
        {"O": [(1, [1.0])], "H": [(1, [1.0])]}, kind="valence", core_charges={8: 6, 1: 1}
    )
    with pytest.raises(ValueError, match="no s functions"):
        fit_grid(density, no_s, tolerance=2)
    with pytest.raises(ValueError, match='metric is \'x\': give "overlap" or "coulomb"'):
        fit_grid(density, basis, metric="x", tolerance=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="which the Coulomb metric cannot respect"):
        fit_grid(density, basis, metric="coulomb", excluded_radius=0.2, tolerance=2)
    with pytest.raises(ValueError, match="excluded_radius is -1"):
        fit_grid(density, basis, excluded_radius=-1, tolerance=2)


def test_wrong_numbers_of_electrons(basis: Basis, tmp_path: Path) -> None:
    rho = Density(hydroxyl(CELLS["triclinic"]), basis, np.zeros(basis.size([8, 1])))
    grid = rho.on_grid(0.25)

    def check(factor: float | np.ndarray, cores: dict[str, float] = CORES) -> None:
        changed = Grid(grid.values * factor, grid.origin, grid.cell)
        GridDensity(rho.atoms, changed, "valence", cores).check_electrons()

    check(1.0)
    with pytest.raises(ValueError, match=r"holds 47.2.* as if they were in e/Angstrom\^3|unit"):
        check(units.Bohr**-3)
    with pytest.raises(ValueError, match="unit"):
        check(rho.atoms.get_volume())
    with pytest.raises(ValueError, match=r"has 5: correct core_charges \(\{'H': 1.0, 'O': 4.0\}"):
        check(1.0, {"O": 4, "H": 1})
    with pytest.raises(ValueError, match="spin density"):
        check(np.where(np.arange(grid.values.size).reshape(grid.shape) % 2, 1.0, -1.0))
    with pytest.raises(ValueError, match='looks like an all-electron density: give kind="all-el'):
        check(9 / 7)
    rho.write(tmp_path / "rho.cube", spacing=0.25)
    with pytest.raises(ValueError, match=r"rho.cube: the grid holds 7.0.*charge 1\) has 6"):
        read_grid_density(
            tmp_path / "rho.cube", kind="valence", core_charges=CORES, periodic=True, charge=1
        )
    with pytest.raises(ValueError, match="does not say whether it is periodic"):
        read_grid_density(tmp_path / "rho.cube", kind="valence", core_charges=CORES)
    with pytest.raises(ValueError, match="unit is 'eV'"):
        read_grid_density(tmp_path / "rho.cube", kind="valence", unit="eV")
    with pytest.raises(FileNotFoundError, match="there is no density file"):
        read_grid_density(tmp_path / "no.cube", kind="valence")


def test_bad_densities() -> None:
    atoms = hydroxyl(CELLS["orthogonal"])
    grid = Grid(np.ones((4, 4, 4)), np.zeros(3), CELLS["orthogonal"])
    values = grid.values.copy()
    values[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="1 of 64 values of the grid are NaN"):
        GridDensity(atoms, Grid(values, grid.origin, grid.cell), "valence", CORES)
    with pytest.raises(ValueError, match="core_charges has no entry for H"):
        GridDensity(atoms, grid, "valence", {"O": 6})
    with pytest.raises(ValueError, match="a valence density needs core_charges"):
        GridDensity(atoms, grid, "valence")
    with pytest.raises(ValueError, match='but kind is "all-electron"'):
        GridDensity(atoms, grid, "all-electron", CORES)
    with pytest.raises(ValueError, match="O has 9; it lies between 0 and 8"):
        GridDensity(atoms, grid, "valence", {"O": 9, "H": 1})
    with pytest.raises(ValueError, match="edge 0 of the grid is"):
        GridDensity(atoms, Grid(grid.values, grid.origin, 2 * grid.cell), "valence", CORES)
    with pytest.raises(ValueError, match=r"atom 1 \(H\) at .* is outside the grid"):
        GridDensity(hydroxyl(None), grid, "valence", CORES)


# grids and bases ---------------------------------------------------------------------------


def test_effective_spacing() -> None:
    def spacing(cell: np.ndarray, shape: tuple[int, int, int]) -> float:
        return effective_spacing(Grid(np.zeros(shape), np.zeros(3), cell))

    assert spacing(np.diag([3.0, 4.0, 5.0]), (10, 10, 10)) == pytest.approx(0.5)
    # close packing: 10^3 points of the primitive cell are as good as spacing a / (10 sqrt 3)
    assert spacing(CELLS["fcc"], (10, 10, 10)) == pytest.approx(6 / 10 / np.sqrt(3))
    # another choice of the same lattice
    skewed = np.array([[1, 0, 0], [3, 1, 0], [0, -2, 1]]) @ np.diag([3.0, 4.0, 5.0])
    assert spacing(skewed, (10, 10, 10)) == pytest.approx(0.5)


def test_grid_basis() -> None:
    atoms = hydroxyl(CELLS["orthogonal"])
    grid = Grid(np.full((15, 15, 16), 7 / 42.0), np.zeros(3), CELLS["orthogonal"])
    density = GridDensity(atoms, grid, "valence", CORES)
    basis = grid_basis(density, beta=2.0)
    limit = largest_exponent(density.spacing)
    assert max(a for s in basis.shells[8] for a in s.exponents) == pytest.approx(limit)
    # the distance of neighbours is some 2.8 Angstrom: a Gaussian of that width at half height
    assert 0.1 < min(a for s in basis.shells[8] for a in s.exponents) < 0.3
    assert {s.l for s in basis.shells[8]} == {0, 1, 2, 3, 4}
    assert {s.l for s in basis.shells[1]} == {0, 1, 2}
    assert basis.core_charges == {1: 1.0, 8: 6.0}
    fit_grid(density, basis)  # is not refused
    limited = grid_basis([density], largest={"O": 2.0}, smallest=0.3, l_max=1, beta=2.0)
    assert max(a for s in limited.shells[8] for a in s.exponents) == pytest.approx(2.0)
    assert {s.l for s in limited.shells[8]} == {0, 1}
    with pytest.raises(ValueError, match="the smallest exponent is 50"):
        grid_basis(density, smallest=50.0)
    with pytest.raises(ValueError, match="densities is empty"):
        grid_basis([])
    with pytest.raises(ValueError, match="beta is 1"):
        grid_basis(density, beta=1.0)
    with pytest.raises(ValueError, match="l_max of H is 9"):
        grid_basis(density, l_max=9)
