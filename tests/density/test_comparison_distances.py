"""Distances and similarities of densities against PySCF and grids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import molecule
from scipy.spatial.transform import Rotation

from ase_rholearn import Basis, Density
from ase_rholearn.basis import harmonic_rotations, solid_harmonics, to_pyscf_order
from ase_rholearn.density.comparison import coulomb_distance, l2_distance, similarity

CELL = [[3.4, 0, 0], [0.5, 3.6, 0], [0.3, -0.4, 3.9]]
UNITS = {"overlap": units.Bohr**-3, "coulomb": units.Hartree}
DISTANCES = {"overlap": l2_distance, "coulomb": coulomb_distance}


def pyscf_functions(rho: Density) -> tuple[Any, np.ndarray]:
    """Functions and atomic densities as one molecule, and their coefficients."""
    pyscf = pytest.importorskip("pyscf")
    from ase_rholearn.references.pyscf.integrals import auxiliary_molecule, baseline_molecule

    auxiliary = auxiliary_molecule(rho.atoms, rho.basis)
    coefficients = to_pyscf_order(rho.basis, rho.atoms.numbers, rho.coefficients)
    if not rho.basis.atomic_densities:
        return auxiliary, coefficients
    free, amplitudes = baseline_molecule(rho.atoms, rho.basis)
    return pyscf.gto.conc_mol(auxiliary, free), np.concatenate([coefficients, amplitudes])


def pyscf_product(first: Density, second: Density, operator: str) -> float:
    """In e^2/Angstrom^3 or eV."""
    pyscf = pytest.importorskip("pyscf")
    (a, x), (b, y) = pyscf_functions(first), pyscf_functions(second)
    name = "int1e_ovlp" if operator == "overlap" else "int2c2e"
    return float(x @ pyscf.gto.intor_cross(name, a, b) @ y) * UNITS[operator]


@pytest.fixture
def molecules(basis: Basis, random_density: Callable[..., Density]) -> list[Density]:
    """The same twice, moved, and another."""
    water = molecule("H2O")
    moved = water.copy()
    moved.rotate(50, (1, 2, 3))
    moved.positions += [0.2, 0.1, -0.4]
    methanol = molecule("CH3OH")
    return [
        random_density(atoms, basis, seed=seed)
        for seed, atoms in enumerate((water, water, moved, methanol))
    ]


@pytest.mark.parametrize("operator", ["overlap", "coulomb"])
@pytest.mark.parametrize("other", [1, 2, 3])
def test_molecules_are_pyscfs(molecules: list[Density], operator: str, other: int) -> None:
    """One structure, two of them, and different molecules: functions up to l = 4."""
    first, second = molecules[0], molecules[other]
    aa, ab, bb = (
        pyscf_product(x, y, operator)
        for x, y in ((first, first), (first, second), (second, second))
    )
    distance = DISTANCES[operator](first, second)
    assert distance == pytest.approx(np.sqrt(aa + bb - 2 * ab), rel=1e-7)
    carbo = similarity(first, second, operator=operator)
    assert carbo == pytest.approx(ab / np.sqrt(aa * bb), rel=1e-9)
    hodgkin = similarity(first, second, operator=operator, index="hodgkin")
    assert hodgkin == pytest.approx(2 * ab / (aa + bb), rel=1e-9)
    assert hodgkin <= carbo


def test_contracted_functions_and_far_atoms(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    atoms = Atoms("OCH", [[0, 0, 0], [0, 0, 0.6], [0, 0, 9.0]])
    first, second = (random_density(atoms, small_basis, seed=seed) for seed in (0, 1))
    for operator, distance in DISTANCES.items():
        products = [pyscf_product(*pair, operator) for pair in ((first, first), (second, second))]
        expected = sum(products) - 2 * pyscf_product(first, second, operator)
        assert distance(first, second) == pytest.approx(np.sqrt(expected), rel=1e-9)


def test_metric(molecules: list[Density]) -> None:
    """Zero, symmetry, the triangle, and the same by the grid."""
    a, b, c = molecules[0], molecules[2], molecules[3]
    for distance in DISTANCES.values():
        assert distance(a, a) == 0
        assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-12)
        assert distance(a, c) < distance(a, b) + distance(b, c)
    first, second = molecules[:2]
    grid = (first - second).on_grid(0.1, margin=3.5)
    expected = np.sqrt((grid.values**2).sum() * grid.voxel_volume)
    assert l2_distance(first, second) == pytest.approx(expected, rel=2e-3)


def test_common_atoms_cancel(molecules: list[Density]) -> None:
    """Atoms in another order, which hides that the coefficients suffice."""
    first, second = molecules[:2]
    parts = np.split(second.coefficients, second.basis.offsets([8, 1, 1])[1:-1])
    order = [2, 0, 1]
    copied = Density(second.atoms[order], second.basis, np.concatenate([parts[k] for k in order]))
    for distance in DISTANCES.values():
        expected = distance(first, second)
        assert distance(first, copied) == pytest.approx(expected, rel=1e-9)
        assert distance(second, copied) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("pbc", [True, (True, False, True)])
@pytest.mark.parametrize("moved", [False, True])
def test_crystals_are_the_grid(
    small_basis: Basis, random_density: Callable[..., Density], pbc: object, moved: bool
) -> None:
    """Periods shorter than the functions; smooth, so that the sum over a grid is exact."""
    smooth = small_basis.with_atomic_densities({})
    atoms = Atoms("OH", [[0, 0, 0], [0.9, 0.3, 0]], cell=CELL, pbc=pbc)
    first = random_density(atoms, smooth, seed=1)
    if moved:
        atoms.positions[1] += [0.1, -0.2, 0.3]
    second = random_density(atoms, smooth, seed=2)
    grid = (first - second).on_grid(0.12, margin=5.0)
    expected = np.sqrt((grid.values**2).sum() * grid.voxel_volume)
    assert l2_distance(first, second) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("moved", [False, True])
def test_coulomb_distance_of_crystals(
    small_basis: Basis, random_density: Callable[..., Density], moved: bool
) -> None:
    """Against Parseval's sum on a fine grid."""
    smooth = small_basis.with_atomic_densities({})
    atoms = Atoms("OH", [[0, 0, 0], [0.9, 0.3, 0]], cell=CELL, pbc=True)
    first = random_density(atoms, smooth, seed=1)
    if moved:
        atoms.positions[1] += [0.1, -0.2, 0.3]
    second = random_density(atoms, smooth, seed=2)
    grid = (first - second).on_grid(0.12)
    n = np.stack(
        np.meshgrid(*(np.fft.fftfreq(k, 1 / k) for k in grid.shape), indexing="ij"), axis=-1
    )
    frequencies = n @ (2 * np.pi * np.linalg.inv(atoms.cell.array).T)
    g2 = (frequencies**2).sum(axis=-1)
    g2[0, 0, 0] = np.inf
    transform = np.fft.fftn(grid.values) * grid.voxel_volume
    square = (np.abs(transform) ** 2 / g2).sum() * 4 * np.pi / atoms.get_volume()
    expected = np.sqrt(square * units.Hartree * units.Bohr)
    assert coulomb_distance(first, second) == pytest.approx(expected, rel=1e-8)


def test_distance_of_a_supercell(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    """Squares are extensive, cores and atomic densities included."""
    shells = {z: small_basis.shells[z][:4] for z in (1, 8)}
    fewer = Basis(shells, {z: small_basis.atomic_densities[z] for z in shells})
    atoms = Atoms("OH", [[0, 0, 0], [0.9, 0.3, 0]], cell=CELL, pbc=True)
    pair = [random_density(atoms, fewer, seed=seed) for seed in (1, 2)]
    moved = atoms.copy()
    moved.positions[1] += 0.05
    pair.append(random_density(moved, fewer, seed=2))
    large = [
        Density(rho.atoms.repeat((2, 1, 1)), fewer, np.tile(rho.coefficients, 2)) for rho in pair
    ]
    for distance in DISTANCES.values():
        for other in (1, 2):
            expected = np.sqrt(2) * distance(pair[0], pair[other])
            assert distance(large[0], large[other]) == pytest.approx(expected, rel=1e-9)
    assert similarity(large[0], large[2]) == pytest.approx(similarity(pair[0], pair[2]), rel=1e-9)


def test_molecule_in_a_large_cell(
    small_basis: Basis, random_density: Callable[..., Density]
) -> None:
    atoms = molecule("H2O", cell=[16, 16, 16])
    open_pair = [random_density(atoms, small_basis, seed=seed) for seed in (1, 2)]
    atoms.pbc = True
    pair = [random_density(atoms, small_basis, seed=seed) for seed in (1, 2)]
    assert l2_distance(*pair) == pytest.approx(l2_distance(*open_pair), rel=1e-9)
    # the images are dipoles
    assert coulomb_distance(*pair) == pytest.approx(coulomb_distance(*open_pair), rel=2e-2)


def test_rotations_of_harmonics() -> None:
    rng = np.random.default_rng(0)
    matrix = -Rotation.random(rng=rng).as_matrix()
    points = torch.from_numpy(rng.normal(size=(20, 3)))
    before, after = (solid_harmonics(v, 6) for v in (points, points @ torch.from_numpy(matrix).T))
    for l, wigner in enumerate(harmonic_rotations(torch.from_numpy(matrix), 6)):
        own = slice(l * l, (l + 1) ** 2)
        np.testing.assert_allclose(after[:, own], before[:, own] @ wigner.T, atol=1e-10)
        np.testing.assert_allclose(wigner @ wigner.T, np.eye(2 * l + 1), atol=1e-12)


def test_errors(small_basis: Basis, random_density: Callable[..., Density]) -> None:
    atoms = Atoms("OH", [[0, 0, 0], [0.9, 0.3, 0]], cell=CELL, pbc=True)
    crystal = random_density(atoms, small_basis)
    ion = random_density(atoms[:1], small_basis)
    with pytest.raises(ValueError, match=r"differ by 1 electrons.*give densities of equal numbers"):
        coulomb_distance(crystal, ion)
    assert l2_distance(crystal, ion) > 0
    atoms.pbc = (True, True, False)
    slab = random_density(atoms, small_basis)
    with pytest.raises(ValueError, match="slabs and wires are not implemented"):
        coulomb_distance(slab, slab)
    for distance in (l2_distance, coulomb_distance, similarity):
        with pytest.raises(ValueError, match="different periods"):
            distance(crystal, slab)
    with pytest.raises(ValueError, match="infinite: give densities"):
        similarity(crystal, crystal, operator="coulomb")
    with pytest.raises(ValueError, match="index is 'tanimoto': give"):
        similarity(crystal, crystal, index="tanimoto")
    with pytest.raises(ValueError, match="operator is 'kinetic': give"):
        similarity(crystal, crystal, operator="kinetic")
