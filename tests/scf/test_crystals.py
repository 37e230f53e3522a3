"""One diagonalisation of crystals against PySCF's self-consistent calculations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.data import atomic_numbers
from grid_orbitals import crystal_orbitals, valence_density

from ase_rholearn.basis import Basis
from ase_rholearn.density import Density, Grid
from ase_rholearn.references.grid import GridDensity, fit_grid, grid_basis
from ase_rholearn.references.pyscf import KohnSham, density_from_mean_field
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.scf import one_shot, one_shot_crystal
from ase_rholearn.scf.crystals.cell import build_cell
from ase_rholearn.scf.crystals.exchange_correlation import LocalExchangeCorrelation
from ase_rholearn.scf.crystals.hamiltonian import mesh_hamiltonian

#: Of the uniform grid.
SHAPE = (15, 15, 15)


#: Where bands are compared; the first is Gamma.
PATH = bulk("Si", a=5.43).cell.bandpath("GXL", npoints=6)


@dataclass(frozen=True)
class SelfConsistent:
    """Silicon, PBE/gth-dzvp at 2 x 2 x 2 k-points, by PySCF on a uniform grid.

    The energy in eV, bands along the path in eV, and density and gradient on the grid.
    """

    cell: Any
    kpts: np.ndarray
    energy: float
    bands: np.ndarray
    weights: np.ndarray
    coords: np.ndarray
    rho: np.ndarray


@pytest.fixture(scope="module")
def silicon() -> SelfConsistent:
    from pyscf.pbc import dft

    _, cell, arrays = crystal_orbitals("si")
    cell = cell.copy()
    cell.mesh = np.array(SHAPE)
    cell.build()
    kpts, orbitals = arrays["kpts"], arrays["orbitals"].astype(complex)
    mean_field = dft.KRKS(cell, kpts, xc="PBE")
    mean_field.chkfile = mean_field._chkfile = None
    matrices = len(orbitals) * orbitals @ orbitals.conj().transpose(0, 2, 1)
    mean_field.make_rdm1 = lambda *_: matrices  # what bands are of
    energy = float(mean_field.energy_tot(matrices)) * units.Hartree
    bands = np.array(mean_field.get_bands(cell.get_abs_kpts(PATH.kpts))[0]) * units.Hartree
    coords = mean_field.grids.coords
    values = cell.pbc_eval_gto("GTOval_sph_deriv1", coords, kpts=kpts)
    rho = dft.numint.KNumInt().eval_rho(cell, values, matrices, xctype="GGA").real
    scaled = cell.get_scaled_kpts(kpts)
    return SelfConsistent(cell, scaled, energy, bands, mean_field.grids.weights, coords, rho)


@pytest.fixture(scope="module")
def fitted() -> Density:
    values = valence_density("si", (18, 18, 18))
    basis = grid_basis(values, largest=4.0)
    return Density(values.atoms, basis, fit_grid(values, basis).coefficients)


def smooth(atoms: Atoms, cores: dict[str, float], exponent: float = 0.4) -> Density:
    """Gaussians that hold the valence electrons: no good density, but one."""
    basis = Basis.from_shells(
        {symbol: [(0, [exponent]), (1, [exponent])] for symbol in cores},
        kind="valence",
        core_charges={atomic_numbers[symbol]: q for symbol, q in cores.items()},
    )
    random = np.random.default_rng(1).normal(scale=0.05, size=basis.size(atoms.numbers))
    return Density(atoms, basis, random)


# valence ---------------------------------------------------------------------------------------


def test_hamiltonian_of_the_self_consistent_density_exactly(silicon: SelfConsistent) -> None:
    """From PySCF's own values and gradients on its grid: no error of a fit is left."""
    found = mesh_hamiltonian(
        silicon.cell,
        silicon.coords,
        silicon.weights,
        LocalExchangeCorrelation.of_values(silicon.rho, silicon.weights, "PBE"),
    )
    # PySCF has the projectors of pseudopotentials on the grid, which is coarse
    bands = found.bands(PATH.kpts)[0] * units.Hartree
    np.testing.assert_allclose(bands[:, :8], silicon.bands[:, :8], atol=1e-4)
    filled = found.bands(silicon.kpts)[0][:, :4]
    energy = (2 * filled.sum(axis=1).mean() + found.offset) * units.Hartree
    assert energy == pytest.approx(silicon.energy, abs=1e-4)


def test_bands_and_energy_of_a_fit(silicon: SelfConsistent, fitted: Density) -> None:
    atoms = fitted.atoms.copy()
    found = one_shot_crystal(atoms, fitted, "PBE", "gth-dzvp", kpts=(2, 2, 2), shape=SHAPE)
    assert found.energy == pytest.approx(silicon.energy, abs=5e-4)
    assert found.free_energy == found.energy
    structure = found.band_structure(PATH)
    assert structure.energies.shape == (1, 6, 26)
    np.testing.assert_allclose(structure.energies[0, :, :8], silicon.bands[:, :8], atol=0.008)
    np.testing.assert_allclose(found.orbital_energies[0], structure.energies[0, 0], atol=1e-8)
    assert structure.reference == found.fermi_level
    assert silicon.bands[:, 3].max() < found.fermi_level < silicon.bands[:, 4].min()
    assert found.gap == pytest.approx(0.64, abs=0.02)
    # what comes out is the density that went in, where that is self-consistent
    values = found.on_grid()
    assert values.integral == pytest.approx(8, abs=1e-4)
    np.testing.assert_allclose(values.values, valence_density("si", SHAPE).grid.values, atol=2e-3)


def test_density_of_states(fitted: Density) -> None:
    atoms = fitted.atoms.copy()
    found = one_shot_crystal(atoms, fitted, "PBE", "gth-szv", kpts=(2, 2, 2), shape=SHAPE)
    states = found.dos(width=0.05, npts=4000)
    energies, weights = states.get_energies(), states.get_weights()
    step = energies[1] - energies[0]
    assert weights.sum() * step == pytest.approx(2 * 8, rel=1e-3)
    below = energies < found.fermi_level
    assert weights[below].sum() * step == pytest.approx(8, rel=1e-3)
    finer = found.dos(width=0.3, kpts=(3, 3, 3), window=(-20.0, 20.0), npts=500)
    assert finer.get_energies()[[0, -1]].tolist() == [-20, 20]
    with pytest.raises(ValueError, match="width is 0: give a positive energy"):
        found.dos(width=0)


@pytest.mark.parametrize("xc", ["LDA,VWN", "PBE"])
def test_supercells_fold(xc: str) -> None:
    """Twice the cell at Gamma has the bands of the cell at two points, and twice the energy."""
    atoms = bulk("C", "diamond", a=3.6)
    atoms.rattle(0.05, seed=0)
    density = smooth(atoms, {"C": 4.0}, 0.8)
    double = atoms.repeat((2, 1, 1))
    twice = Density(double, density.basis, np.tile(density.raw_coefficients, 2))
    one = one_shot_crystal(atoms, density, xc, "gth-szv", kpts=(2, 1, 1), shape=(14, 14, 14))
    two = one_shot_crystal(double, twice, xc, "gth-szv", shape=(28, 14, 14))
    np.testing.assert_allclose(
        np.sort(one.orbital_energies, axis=None), two.orbital_energies[0], atol=1e-5
    )
    assert 2 * one.energy == pytest.approx(two.energy, abs=1e-4)


def test_a_metal_with_an_odd_electron() -> None:
    atoms = bulk("Al", a=4.05)
    density = smooth(atoms, {"Al": 3.0}, 0.2)
    options = {"kpts": (3, 3, 3), "shape": (12, 12, 12)}
    cold = one_shot_crystal(atoms, density, "PBE", "gth-szv", **options)
    warm = one_shot_crystal(atoms, density, "PBE", "gth-szv", smearing=0.2, **options)
    for found in (cold, warm):
        assert found.gap == 0
        assert found.weights @ found.occupations.sum(axis=1) == pytest.approx(3)
    assert cold.energy == cold.free_energy
    assert warm.free_energy < warm.energy
    assert warm.energy == pytest.approx(cold.energy, abs=0.1)
    assert warm.fermi_level == pytest.approx(cold.fermi_level, abs=0.5)


def test_sodium_takes_the_pseudopotential_of_its_semicore_states() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    basis = "gth-dzvp-molopt-sr"
    density = smooth(atoms, {"Na": 9.0, "Cl": 7.0})
    assert one_shot_crystal(atoms, density, "PBE", basis, shape=(9, 9, 9)).cell.nelectron == 16
    with pytest.raises(ValueError, match="no pseudopotential 'gth-pbe-q3' for Na"):
        one_shot_crystal(atoms, smooth(atoms, {"Na": 3.0, "Cl": 7.0}), "PBE", basis)


# all electrons ---------------------------------------------------------------------------------


def test_isolated_atoms_are_molecules() -> None:
    """Helium in STO-3G, whose density is a sum of Gaussians: no error of a fit is left."""
    mean_field = kohn_sham(
        Atoms("He"), KohnSham("PBE", "sto-3g", density_fit=False, grid_level=3, conv_tol=1e-12)
    )
    mean_field.kernel()
    exponents = mean_field.mol.bas_exp(0)
    sums = sorted({float(a + b) for a in exponents for b in exponents})
    rho = density_from_mean_field(mean_field, Basis.from_shells({"He": [(0, sums)]}))
    atoms = bulk("He", "fcc", a=7.0)
    crystal = Density(atoms, rho.basis, rho.raw_coefficients)
    found = one_shot_crystal(atoms, crystal, "PBE", "sto-3g", kpts=(2, 2, 2))
    assert found.energy == pytest.approx(mean_field.e_tot * units.Hartree, abs=1e-4)
    # the potential of the crystal is zero on average, that of the atom far away
    assert np.ptp(found.orbital_energies) < 1e-3
    assert np.isnan(found.gap)
    with pytest.raises(ValueError, match="no uniform grid resolves its cores"):
        found.on_grid()


@pytest.mark.slow
def test_all_electrons_of_a_crystal(tmp_path: Path) -> None:
    """Helium under pressure, where atoms overlap, against PySCF's density-fitted integrals."""
    from pyscf.pbc import dft
    from pyscf.pbc.dft.gen_grid import UniformGrids

    atoms = bulk("He", "fcc", a=2.6)
    empty = Density(atoms, Basis.from_shells({"He": [(0, [1.0])]}), [0.0], normalize=False)
    cell = build_cell(atoms, empty, "6-31g", None, "GGA", (32, 32, 32))
    mean_field = dft.KRKS(cell, cell.make_kpts([2, 1, 1]), xc="PBE")
    mean_field = mean_field.density_fit(auxbasis="def2-universal-jkfit")
    mean_field.chkfile = mean_field._chkfile = None
    # PySCF does not close the temporary file that it opens here
    mean_field.with_df._cderi_to_save.close()
    mean_field.with_df._cderi_to_save = str(tmp_path / "integrals.h5")
    energy = mean_field.kernel() * units.Hartree
    values = mean_field.get_rho(grids=UniformGrids(cell)).reshape(cell.mesh) / units.Bohr**3
    density = GridDensity(atoms, Grid(values, np.zeros(3), atoms.cell.array), "all-electron")
    basis = grid_basis(density, largest=80.0, l_max=2)
    rho = Density(atoms, basis, fit_grid(density, basis).coefficients)
    found = one_shot_crystal(atoms, rho, "PBE", "6-31g", kpts=(2, 1, 1))
    assert found.energy == pytest.approx(energy, abs=3e-3)
    expected = np.array(mean_field.mo_energy) * units.Hartree
    np.testing.assert_allclose(found.orbital_energies, expected, atol=6e-3)


# refused ---------------------------------------------------------------------------------------


def test_what_is_refused(fitted: Density) -> None:
    atoms = fitted.atoms.copy()
    molecule = Atoms("Si2", atoms.positions)
    with pytest.raises(ValueError, match=r"atoms.pbc is .*use one_shot for molecules"):
        one_shot_crystal(molecule, fitted)
    with pytest.raises(ValueError, match=r"atoms.pbc is .*use one_shot_crystal for crystals"):
        one_shot(atoms, fitted)
    larger = bulk("Si", a=5.5)
    with pytest.raises(ValueError, match="give a density of this crystal"):
        one_shot_crystal(larger, fitted)
    moved = atoms.copy()
    moved.positions[1] += 0.1
    with pytest.raises(ValueError, match="other atoms than the structure"):
        one_shot_crystal(moved, fitted)
    magnetic = atoms.copy()
    magnetic.set_initial_magnetic_moments([1, -1])
    with pytest.raises(ValueError, match="initial magnetic moments"):
        one_shot_crystal(magnetic, fitted)
    charged = atoms.copy()
    charged.info["charge"] = 1
    ion = Density(charged, fitted.basis, fitted.raw_coefficients)
    with pytest.raises(ValueError, match="the cell has the charge 1"):
        one_shot_crystal(charged, ion)
    for options, message in (
        ({"xc": "B3LYP"}, "give an LDA or GGA functional"),
        ({"xc": "nonsense"}, "which PySCF does not know"),
        ({"basis": "nonsense"}, "basis is 'nonsense', which PySCF does not have for Si"),
        ({"pseudo": "gth-nothing"}, "no pseudopotential 'gth-nothing-q4' for Si"),
        ({"shape": (10, 10)}, r"shape is \(10, 10\)"),
        ({"smearing": -1.0}, "smearing is -1.0"),
        ({"kpts": (0, 1, 1)}, "kpts is"),
    ):
        with pytest.raises(ValueError, match=message):
            one_shot_crystal(atoms, fitted, **options)


def test_all_electron_densities_and_pseudopotentials_are_not_mixed() -> None:
    atoms = bulk("Si")
    basis = Basis.from_shells({"Si": [(0, [1.0])]})
    density = Density(atoms, basis, np.ones(2))
    with pytest.raises(ValueError, match="which belongs to pseudopotentials, but the density is"):
        one_shot_crystal(atoms, density, "PBE", "gth-dzvp")
    with pytest.raises(ValueError, match="pseudo is 'gth-pbe', but the density is all-electron"):
        one_shot_crystal(atoms, density, "PBE", "def2-svp", pseudo="gth-pbe")
    heavy = bulk("I", "sc", a=3.5)
    iodine = Density(heavy, Basis.from_shells({"I": [(0, [1.0])]}), [1.0])
    with pytest.raises(ValueError, match="'def2-svp' has an effective core potential for I"):
        one_shot_crystal(heavy, iodine, "PBE", "def2-svp")
    five = Basis.from_shells({"Si": [(0, [1.0])]}, kind="valence", core_charges={14: 5.0})
    with pytest.raises(ValueError, match=r"'gth-pbe-q5' for Si: the density has 5 valence"):
        one_shot_crystal(atoms, Density(atoms, five, np.ones(2)))


def test_paths_of_other_cells_and_dependent_bases(fitted: Density) -> None:
    found = one_shot_crystal(fitted.atoms, fitted, "PBE", "gth-szv", shape=(9, 9, 9))
    with pytest.raises(ValueError, match=r"give atoms.cell.bandpath"):
        found.band_structure(bulk("C").cell.bandpath("GX"))
    with pytest.raises(ValueError, match=r"kpts has the shape \(3,\)"):
        found.bands([0, 0, 0])
    diffuse = {"Si": [[0, [0.02, 1.0]], [0, [0.01, 1.0]]]}
    with pytest.raises(ValueError, match="linearly dependent in this crystal"):
        one_shot_crystal(fitted.atoms, fitted, "PBE", diffuse, shape=(9, 9, 9))
