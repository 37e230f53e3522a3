"""Energies of a fitted density as functions of its coefficients, and potentials in space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms, units

from ase_rholearn.basis import Basis, even_tempered
from ase_rholearn.density import Density
from ase_rholearn.references.pyscf import KohnSham, atomic_densities, density_from_mean_field
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.scf.functionals import (
    Expansion,
    Quadrature,
    Tapered,
    external_energy,
    functional,
    hartree_energy,
    local_energy,
    potential,
    potential_at_points,
    potential_matrix,
)

WATER = Atoms("OHH", [[0.3, -0.2, 0.1], [1.2, -0.1, 0.3], [0.0, 0.5, 0.75]])


@pytest.fixture(scope="module")
def run() -> Any:
    settings = KohnSham("PBE", "def2-svp", density_fit=False, grid_level=0, conv_tol=1e-10)
    mean_field = kohn_sham(WATER, settings)
    mean_field.kernel()
    return mean_field


@pytest.fixture(scope="module")
def rho(run: Any) -> Density:
    basis = even_tempered(["H", "O"], beta=2.5, orbital_basis="def2-svp")
    basis = basis.with_atomic_densities(atomic_densities([1, 8], orbital_basis="def2-svp"))
    fitted = density_from_mean_field(run, basis)
    return Density(WATER, basis, fitted.raw_coefficients, normalize=False)


@pytest.fixture(scope="module")
def grid(run: Any) -> Quadrature:
    """PySCF's."""
    return Quadrature(run.grids.coords, run.grids.weights)


def coefficients(rho: Density) -> torch.Tensor:
    return torch.tensor(rho.coefficients, requires_grad=True)


def orbital_rows(run: Any, grid: Quadrature) -> tuple[np.ndarray, torch.Tensor]:
    """Orbitals (4, n, m), and the density of the run with its gradient (4, n)."""
    from pyscf.dft.numint import NumInt

    functions = NumInt().eval_ao(run.mol, grid.points, deriv=1)
    density = NumInt().eval_rho(run.mol, functions, run.make_rdm1(), xctype="GGA")
    return functions, torch.tensor(density[:4])


@pytest.mark.parametrize("name", ["LDA,PW", "PBE"])
def test_energy_and_matrix_of_orbitals(run: Any, grid: Quadrature, name: str) -> None:
    """With the density of orbitals, PySCF's own numbers."""
    one = functional(name)
    functions, rows = orbital_rows(run, grid)
    found = potential(one, rows[0], (rows[1:] ** 2).sum(dim=0))
    slope = rows[1:].numpy() if one.needs_gradient else None
    matrix = potential_matrix(functions, grid.weights, found, slope)
    _, energy, expected = run._numint.nr_rks(run.mol, run.grids, name, run.make_rdm1())
    assert grid.weights @ found.energy_density.numpy() == pytest.approx(energy, abs=1e-9)
    np.testing.assert_allclose(matrix, expected, atol=1e-9)


def test_energies_of_the_fit(run: Any, rho: Density, grid: Quadrature) -> None:
    """Close to those of the orbitals; a Coulomb fit is of second order in the Hartree energy."""
    c, matrix = torch.tensor(rho.coefficients), run.make_rdm1()
    hartree = 0.5 * np.einsum("ij,ij", matrix, run.get_j(dm=matrix))
    nuclei = np.einsum("ij,ij", matrix, run.mol.intor("int1e_nuc"))
    exchange = run._numint.nr_rks(run.mol, run.grids, "PBE", matrix)[1]
    energy = local_energy(WATER, rho.basis, functional("PBE"), quadrature=grid)(c)
    assert float(hartree_energy(WATER, rho.basis)(c)) == pytest.approx(hartree, abs=1e-4)
    assert float(external_energy(WATER, rho.basis)(c)) == pytest.approx(nuclei, abs=5e-2)
    assert float(energy) == pytest.approx(exchange, abs=2e-3)


@pytest.mark.parametrize("baseline", [False, True])
def test_coulomb_energies_are_those_of_the_density(rho: Density, baseline: bool) -> None:
    """Written as polynomials of the coefficients, and in closed form by other code."""
    basis = rho.basis
    if not baseline:
        basis = Basis(basis.shells, {}, name="functions alone")
    density = Density(WATER, basis, rho.coefficients, normalize=False)
    c = torch.tensor(rho.coefficients)
    hartree = hartree_energy(WATER, basis)(c)
    attraction = external_energy(WATER, basis)(c)
    assert float(hartree) == pytest.approx(density.hartree_energy() / units.Hartree, abs=1e-9)
    distances = WATER.get_all_distances() / units.Bohr
    pairs = np.outer(WATER.numbers, WATER.numbers)[np.triu_indices(3, 1)]
    repulsion = (pairs / distances[np.triu_indices(3, 1)]).sum()
    total = density.electrostatic_energy() / units.Hartree
    assert float(hartree + attraction) + repulsion == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("name", ["LDA,PW", "PBE", "LDA_K_TF", "GGA_K_VW"])
def test_gradient_by_coefficients(rho: Density, name: str) -> None:
    energy = local_energy(WATER, rho.basis, Tapered(functional(name)), level=0)
    c = coefficients(rho)
    gradient = torch.autograd.grad(energy(c), c)[0]
    rng = np.random.default_rng(0)
    # small against the taper: a change of 1e-5 e/bohr^3 is a large one there
    direction, step = torch.tensor(rng.normal(size=len(c))), 1e-7
    with torch.no_grad():
        slope = (energy(c + step * direction) - energy(c - step * direction)) / (2 * step)
    assert float(gradient @ direction) == pytest.approx(float(slope), rel=1e-5, abs=1e-5)


def test_second_derivative_by_coefficients(rho: Density) -> None:
    """The kernel on a change of the density, projected, by differentiating twice."""
    energy = local_energy(WATER, rho.basis, Tapered(functional("PBE")), level=0)
    c = coefficients(rho)
    direction, step = torch.zeros_like(c), 1e-4
    direction[[5, 40]] = 1.0

    def slope(at: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(energy(at), at)[0]

    gradient = torch.autograd.grad(energy(c), c, create_graph=True)[0]
    product = torch.autograd.grad(gradient, c, direction)[0]
    difference = (slope(c + step * direction) - slope(c - step * direction)) / (2 * step)
    torch.testing.assert_close(product, difference, rtol=1e-5, atol=1e-6)


def test_projections_are_the_transposed_map(rho: Density) -> None:
    points = np.random.default_rng(0).normal(scale=2, size=(50, 3))
    expansion = Expansion(WATER, rho.basis, points)
    fields = np.random.default_rng(1).normal(size=(4, 50))
    forward = (fields * expansion.values(rho.coefficients)).sum()
    assert expansion.projections(fields) @ rho.coefficients == pytest.approx(forward, rel=1e-10)


def test_expansion_is_the_density(rho: Density) -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    rows = Expansion(WATER, rho.basis, points / units.Bohr)(torch.tensor(rho.coefficients))
    np.testing.assert_allclose(rows[0], rho.evaluate(points) * units.Bohr**3, atol=1e-10)
    np.testing.assert_allclose(rows[1:].T, rho.gradient(points) * units.Bohr**4, atol=1e-10)


@pytest.mark.parametrize(("name", "tolerance"), [("LDA,PW", 1e-9), ("PBE", 2e-4)])
def test_potential_in_space(rho: Density, name: str, tolerance: float) -> None:
    """Integrated with each function it is the gradient, which has no second derivatives.

    For PBE by parts, which a quadrature obeys to its own error only.
    """
    one, grid = Tapered(functional(name)), Quadrature.of(WATER, 2)
    values = potential_at_points(one, rho, grid.points)
    expansion = Expansion(WATER, rho.basis, grid.points, gradient=False)
    c = coefficients(rho)
    energy = local_energy(WATER, rho.basis, one, quadrature=grid)
    gradient = torch.autograd.grad(energy(c), c)[0]
    projected = expansion.projections((values * grid.weights)[None])
    np.testing.assert_allclose(projected, gradient, atol=tolerance)


def test_what_the_taper_costs(rho: Density) -> None:
    """0.03 mHartree for free atoms, less for the molecule."""
    c = torch.tensor(rho.coefficients)
    whole, tapered = (
        local_energy(WATER, rho.basis, one, level=1)(c)
        for one in (functional("PBE"), Tapered(functional("PBE")))
    )
    assert 0 < float(tapered - whole) < 5e-5


def test_bad_input(rho: Density) -> None:
    crystal = WATER.copy()
    crystal.cell, crystal.pbc = [5, 5, 5], True
    with pytest.raises(ValueError, match=r"atoms.pbc is \[True, True, True\]: functionals are"):
        local_energy(crystal, rho.basis, functional("PBE"))
    energy = local_energy(WATER, rho.basis, functional("PBE"), level=0)
    with pytest.raises(ValueError, match=r"coefficients is torch.float32 of shape \(3,\): give"):
        energy(torch.zeros(3))
    with pytest.raises(ValueError, match=r"points has shape \(4, 3\) and weights \(3,\): give"):
        Quadrature(np.zeros((4, 3)), np.zeros(3))
    valence = Basis.from_shells({"O": [(0, [1.0])]}, kind="valence", core_charges={8: 6})
    with pytest.raises(ValueError, match="basis is valence: the external energy needs"):
        external_energy(Atoms("O"), valence)
