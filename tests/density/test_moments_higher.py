"""Quadrupole and octupole moments."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule

from ase_rholearn import Basis, Density


@pytest.fixture
def methanol(basis: Basis, random_density: Callable[..., Density]) -> Density:
    atoms = molecule("CH3OH")
    atoms.rotate(70, (3, 1, 2))
    atoms.info["charge"] = 1
    return random_density(atoms, basis)


@pytest.mark.parametrize("origin", [None, [0.4, -1.0, 2.0]])
def test_plain_moments_are_pyscfs(methanol: Density, origin: list[float] | None) -> None:
    pyscf = pytest.importorskip("pyscf")
    from ase_rholearn.basis import to_pyscf_order
    from ase_rholearn.references.pyscf.integrals import auxiliary_molecule, baseline_molecule

    atoms = methanol.atoms
    centre = atoms.numbers @ atoms.positions / atoms.numbers.sum()
    place = centre if origin is None else np.array(origin)
    auxiliary = auxiliary_molecule(atoms, methanol.basis)
    free, amplitudes = baseline_molecule(atoms, methanol.basis)
    functions = pyscf.gto.conc_mol(auxiliary, free)
    own = to_pyscf_order(methanol.basis, atoms.numbers, methanol.coefficients)
    coefficients = np.concatenate([own, amplitudes])
    # the moment of a function is its integral with a constant: a Gaussian without decay
    constant = pyscf.gto.M(
        atom=[("ghost-H", (0, 0, 0))], basis={"ghost-H": [[0, [1e-14, 1.0]]]}, unit="B", verbose=0
    )
    scale = np.sqrt(4 * np.pi) / pyscf.gto.gto_norm(0, 1e-14)
    positions = atoms.positions - place
    for name, moment, power in (
        ("int1e_rr", methanol.quadrupole(traceless=False, origin=origin), 2),
        ("int1e_rrr", methanol.octupole(traceless=False, origin=origin), 3),
    ):
        both = pyscf.gto.conc_mol(functions, constant)
        n = functions.nbas
        with both.with_common_orig(place / units.Bohr):
            integrals = both.intor(name, shls_slice=(0, n, n, n + 1))[..., 0]
        shape = (3,) * power
        electrons = (integrals @ coefficients).reshape(shape) * scale * units.Bohr**power
        indices = ["ai", "aj", "ak"][:power]
        nuclei = np.einsum(
            f"a,{','.join(indices)}->{'ijk'[:power]}", atoms.numbers, *[positions] * power
        )
        np.testing.assert_allclose(moment, nuclei - electrons, rtol=1e-8, atol=1e-7)


def test_traceless_moments(methanol: Density) -> None:
    plain = methanol.quadrupole(traceless=False)
    theta = methanol.quadrupole()
    assert np.trace(theta) == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(theta, 0.5 * (3 * plain - np.trace(plain) * np.eye(3)))
    omega = methanol.octupole()
    np.testing.assert_allclose(np.einsum("iij->j", omega), np.zeros(3), atol=1e-9)
    for order in permutations(range(3)):
        np.testing.assert_allclose(omega, omega.transpose(order), atol=1e-10)


def test_point_charges(water: Atoms) -> None:
    """Spherical atoms that carry charges: traceless moments are those of the charges."""
    basis = Basis.from_shells({"H": [(0, [1.0])], "O": [(0, [1.0])]})
    charges = np.array([-0.7, 0.35, 0.35])
    rho = Density(water, basis, (water.numbers - charges) / basis.electrons([8])[0])
    origin = np.array([0.3, 0.2, -0.6])
    r = water.positions - origin
    second = np.einsum("a,ai,aj->ij", charges, r, r)
    expected = 1.5 * second - 0.5 * np.trace(second) * np.eye(3)
    np.testing.assert_allclose(rho.quadrupole(origin=origin), expected, atol=1e-10)
    # one component from Buckingham's formula
    xyz = 2.5 * np.einsum("a,a,a,a->", charges, *r.T)
    assert rho.octupole(origin=origin)[0, 1, 2] == pytest.approx(xyz, abs=1e-10)


def test_moments_make_the_far_potential(
    water: Atoms, basis: Basis, random_density: Callable[..., Density]
) -> None:
    rho = random_density(water, basis)
    origin = water.numbers @ water.positions / 10
    r = np.array([[60.0, -20, 30], [-10, 50, 20]])
    length = np.linalg.norm(r, axis=1)
    expected = (
        r @ rho.dipole() / length**3
        + np.einsum("ij,ni,nj->n", rho.quadrupole(), r, r) / length**5
        + np.einsum("ijk,ni,nj,nk->n", rho.octupole(), r, r, r) / length**7
    ) * (units.Hartree * units.Bohr)
    np.testing.assert_allclose(rho.potential(r + origin), expected, rtol=1e-5)


def test_default_origin_moves_with_the_molecule(methanol: Density) -> None:
    atoms = methanol.atoms.copy()
    atoms.positions += [10, -20, 30]
    moved = Density(atoms, methanol.basis, methanol.raw_coefficients)
    np.testing.assert_allclose(moved.quadrupole(), methanol.quadrupole(), atol=1e-8)
    np.testing.assert_allclose(moved.octupole(), methanol.octupole(), atol=1e-8)


def test_refusals(methanol: Density) -> None:
    with pytest.raises(ValueError, match="origin is "):
        methanol.quadrupole(origin=[0, np.nan, 0])
    with pytest.raises(ValueError, match="origin is "):
        methanol.octupole(origin=[0, 1])
    atoms = methanol.atoms.copy()
    atoms.set_cell([9, 9, 9])
    atoms.pbc = [False, True, False]
    periodic = Density(atoms, methanol.basis, methanol.raw_coefficients)
    with pytest.raises(ValueError, match="moments of a periodic structure are not defined"):
        periodic.quadrupole()
