"""The fit against integrals and solvers of PySCF and numpy, put together here from scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.data import chemical_symbols

from ase_rholearn.basis import Basis
from ase_rholearn.density import Density
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import KohnSham, fit_density, metric_matrix, refit
from ase_rholearn.references.pyscf import integrals as integrals_module
from ase_rholearn.references.pyscf.fit import density_projections, solve_metric
from ase_rholearn.references.pyscf.integrals import baseline_projections, shell_blocks

METRICS = ("coulomb", "overlap")


def auxiliary_and_order(atoms: Atoms, basis: Basis) -> tuple[Any, list[int]]:
    """The basis as a PySCF molecule, and where each of our functions is in it."""
    from pyscf import gto

    shells = {
        chemical_symbols[z]: [[s.l, [s.exponents[0], 1.0]] for s in basis.shells[z]]
        for z in set(atoms.numbers)
    }
    molecule = gto.M(
        atom=[(a.symbol, a.position / units.Bohr) for a in atoms],
        unit="B",
        basis=shells,
        spin=None,
        verbose=0,
    )
    order: list[int] = []
    for shell in range(molecule.nbas):
        start = molecule.ao_loc[shell]
        # y, z, x of PySCF's x, y, z; other l agree
        inside = [1, 2, 0] if molecule.bas_angular(shell) == 1 else range(molecule.ao_loc[-1])
        size = 2 * molecule.bas_angular(shell) + 1
        order += [start + k for k in list(inside)[:size]]
    return molecule, order


def integrals(
    atoms: Atoms, basis: Basis, mean_field: Any, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Metric and projections of the total density, in our order."""
    from pyscf import df

    auxiliary, order = auxiliary_and_order(atoms, basis)
    three = {"coulomb": "int3c2e", "overlap": "int3c1e"}[metric]
    two = {"coulomb": "int2c2e", "overlap": "int1e_ovlp"}[metric]
    tensor = df.incore.aux_e2(mean_field.mol, auxiliary, three)
    projections = np.einsum("pqk,pq->k", tensor, mean_field.make_rdm1())
    return auxiliary.intor(two)[np.ix_(order, order)], projections[order]


def baseline_by_quadrature(atoms: Atoms, basis: Basis, mean_field: Any, metric: str) -> np.ndarray:
    """Projections of the atomic densities (or of their potential) on a fine grid."""
    from pyscf import dft
    from scipy.special import erf

    grids = dft.gen_grid.Grids(mean_field.mol)
    grids.level = 5
    grids.build()
    values = np.zeros(len(grids.coords))
    for atom in atoms:
        r = np.linalg.norm(grids.coords - atom.position / units.Bohr, axis=1)
        density = basis.atomic_densities[atom.number]
        for a, height in zip(density.exponents, density.amplitudes, strict=True):
            if metric == "overlap":
                values += height * np.exp(-a * r**2)
            else:
                values += height * (np.pi / a) ** 1.5 * erf(np.sqrt(a) * r) / r
    auxiliary, order = auxiliary_and_order(atoms, basis)
    functions = dft.numint.eval_ao(auxiliary, grids.coords)
    return (functions.T @ (grids.weights * values))[order]


@pytest.mark.parametrize("metric", METRICS)
def test_metric_matrix(water: Atoms, small_basis: Basis, mean_field: Any, metric: str) -> None:
    expected, _ = integrals(water, small_basis, mean_field, metric)
    np.testing.assert_allclose(metric_matrix(water, small_basis, metric), expected, atol=1e-11)


@pytest.mark.parametrize("metric", METRICS)
def test_baseline_projections(
    water: Atoms, small_basis: Basis, mean_field: Any, metric: str
) -> None:
    expected = baseline_by_quadrature(water, small_basis, mean_field, metric)
    computed = baseline_projections(water, small_basis, metric)
    np.testing.assert_allclose(computed, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("metric", METRICS)
def test_fit_solves_the_normal_equations(
    water: Atoms, small_basis: Basis, mean_field: Any, water_reference: Reference, metric: str
) -> None:
    """Compared as densities: coefficients of nearly dependent functions mean little alone."""
    matrix, projections = integrals(water, small_basis, mean_field, metric)
    projections -= baseline_projections(water, small_basis, metric)
    expected = np.linalg.lstsq(matrix, projections, rcond=None)[0]
    orbitals = mean_field.mo_coeff[:, mean_field.mo_occ > 0] * np.sqrt(2)
    fitted = fit_density(water, small_basis, mean_field.mol, orbitals, metric=metric)
    error = fitted - expected
    assert error @ matrix @ error < 1e-14 * (expected @ matrix @ expected)
    if metric == "coulomb":
        # and the whole route, with its own self-consistent run, ends there as well
        error = water_reference.coefficients - expected
        assert error @ matrix @ error < 1e-9 * (expected @ matrix @ expected)


def test_blocks_of_integrals_do_not_change_the_projections(
    water: Atoms, small_basis: Basis, mean_field: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large molecules need several blocks; a small one must say the same with many."""
    orbitals = mean_field.mo_coeff[:, mean_field.mo_occ > 0] * np.sqrt(2)
    whole = density_projections(water, small_basis, mean_field.mol, orbitals)
    monkeypatch.setattr(integrals_module, "_BLOCK_SIZE", 7 * len(orbitals) ** 2)
    pieces = density_projections(water, small_basis, mean_field.mol, orbitals)
    np.testing.assert_allclose(pieces, whole, atol=1e-13)


@pytest.mark.parametrize("n_pairs", [1, 2**20, 2**24, 2**30])
def test_shell_blocks_cover_every_shell_once(n_pairs: int) -> None:
    starts = np.cumsum([0, 1, 3, 3, 5, 1, 9, 7])
    blocks = shell_blocks(starts, n_pairs)
    assert [k for first, last in blocks for k in range(first, last)] == list(range(7))


def test_dependent_functions_still_give_the_density() -> None:
    """A basis with one function twice: the metric is singular, the projections are met."""
    matrix = np.array([[1.0, 0.3, 1.0], [0.3, 1.0, 0.3], [1.0, 0.3, 1.0]])
    projections = np.array([1.0, 0.2, 1.0])
    solution = solve_metric(matrix, projections)
    np.testing.assert_allclose(matrix @ solution, projections, atol=1e-12)
    assert np.abs(solution).max() < 2


def test_deformation_density_holds_the_electrons(
    water_reference: Reference, small_basis: Basis
) -> None:
    """Without a constraint on the charge, a Coulomb fit still comes close."""
    rho = Density(water_reference.atoms, small_basis, water_reference.coefficients, normalize=False)
    assert rho.number_of_electrons == pytest.approx(10, abs=2e-3)
    assert water_reference.fit["electron_error"] == pytest.approx(rho.number_of_electrons - 10)
    # the baseline alone holds all of them, so that the deformation adds almost none
    assert small_basis.baseline_electrons([8, 1, 1]).sum() == pytest.approx(10, abs=1e-9)


def test_fit_is_close_to_the_density(
    water_reference: Reference, small_basis: Basis, mean_field: Any
) -> None:
    """At points in space: the one check that all conventions meet, to what this basis can."""
    from pyscf import dft

    points = np.random.default_rng(0).uniform(-1.5, 1.5, (300, 3)) + 0.2
    rho = Density(water_reference.atoms, small_basis, water_reference.coefficients)
    values = dft.numint.eval_ao(mean_field.mol, points / units.Bohr)
    exact = np.einsum("gp,pq,gq->g", values, mean_field.make_rdm1(), values) / units.Bohr**3
    assert np.abs(rho.evaluate(points) - exact).sum() < 0.04 * exact.sum()


def test_refit_needs_no_run(
    water_reference: Reference, small_basis: Basis, level: KohnSham, no_scf: None
) -> None:
    again = refit(water_reference, small_basis)
    assert again.id == water_reference.id
    # orbitals are kept in single precision
    np.testing.assert_allclose(again.coefficients, water_reference.coefficients, atol=1e-4)
    other = refit(water_reference, small_basis, metric="overlap")
    assert other.settings["metric"] == "overlap"
    assert other.id != water_reference.id


def test_refit_without_orbitals(water_reference: Reference, small_basis: Basis) -> None:
    bare = Reference(water_reference.atoms, water_reference.coefficients, water_reference.settings)
    with pytest.raises(ValueError, match=r"no orbitals: generate it with keep_orbitals=True"):
        refit(bare, small_basis)


def test_unknown_metric(water: Atoms, small_basis: Basis, mean_field: Any) -> None:
    orbitals = mean_field.mo_coeff[:, :5]
    with pytest.raises(ValueError, match=r'metric is \'L1\': give "coulomb" or "overlap"'):
        fit_density(water, small_basis, mean_field.mol, orbitals, metric="L1")


def test_molecule_of_another_structure(water: Atoms, small_basis: Basis, mean_field: Any) -> None:
    """Orbitals of one geometry and functions of another would give a silent nonsense."""
    moved = water.copy()
    moved.positions[1, 0] += 0.01
    orbitals = mean_field.mo_coeff[:, :5]
    for other in (moved, water[[1, 0, 2]], water[:2]):
        with pytest.raises(ValueError, match=r"molecule has other atoms than the structure \("):
            fit_density(other, small_basis, mean_field.mol, orbitals)
