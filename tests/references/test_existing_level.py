"""Wavefunctions whose level of theory the user states: settings and ids of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units

from ase_rholearn.basis import Basis
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import (
    KohnSham,
    PySCF,
    Wavefunction,
    fit_wavefunction,
    from_checkpoint,
    metric_matrix,
    orbital_molecule,
    read_checkpoint,
    reference,
)
from ase_rholearn.references.pyscf import products as products_module
from ase_rholearn.references.pyscf import run as run_module
from ase_rholearn.references.pyscf.products import numpy_products
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.references.pyscf.wavefunction import electrons

HYDROGEN = Atoms("H2", [[0.1, 0.2, -1.23456789], [0, 0, 0.74]])


def hartree_norm(made: Reference, expected: Reference, basis: Basis) -> float:
    error = made.coefficients - expected.coefficients
    return float(np.sqrt(abs(error @ metric_matrix(made.atoms, basis, "coulomb") @ error)))


def test_checkpoint_at_a_level_is_the_run(
    mean_field: Any,
    checkpoint: Path,
    small_basis: Basis,
    level: KohnSham,
    water_reference: Reference,
    no_scf: None,
) -> None:
    made = from_checkpoint(checkpoint, small_basis, level=level, converged=True, keep_orbitals=True)
    assert made.id == water_reference.id
    assert dict(made.settings) == dict(water_reference.settings)
    assert hartree_norm(made, water_reference, small_basis) < 1e-5
    assert orbital_molecule(made).nao == len(made.occupied_orbitals)
    assert made.provenance == {"file": "water.chk"}


def test_id_does_not_depend_on_provenance(
    mean_field: Any, checkpoint: Path, small_basis: Basis, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.chk"
    copy.write_bytes(checkpoint.read_bytes())
    assert from_checkpoint(copy, small_basis).id == from_checkpoint(checkpoint, small_basis).id


def test_positions_typed_in_angstrom(
    small_basis: Basis, tmp_path: Path, run_scf: Callable[..., None]
) -> None:
    """PySCF's bohr is not ASE's: twelve digits come back all the same."""
    from pyscf import gto, scf

    atoms = HYDROGEN.copy()
    atoms.positions *= 30  # where the two differ by more than ids allow
    molecule = gto.M(atom=[(a.symbol, a.position) for a in atoms], basis="sto-3g", verbose=0)
    run_scf(scf.RHF(molecule), tmp_path / "h2.chk")
    made = read_checkpoint(tmp_path / "h2.chk")
    np.testing.assert_allclose(made.atoms.positions, atoms.positions, rtol=0, atol=1e-11)
    # and the orbitals are where the nuclei are
    np.testing.assert_allclose(
        made.molecule.atom_coords() * units.Bohr, atoms.positions, rtol=0, atol=1e-11
    )


def test_basis_in_another_order(
    mean_field: Any, water: Atoms, small_basis: Basis, level: KohnSham, water_reference: Reference
) -> None:
    """Shells of other programs come in other orders; the density is the same."""
    from pyscf import gto

    entries = {
        symbol: gto.format_basis({symbol: shells})[symbol][::-1]
        for symbol, shells in mean_field.mol._basis.items()
    }
    turned = mean_field.mol.copy()
    turned._basis = entries
    turned.basis = {}
    turned.build(False, False)
    cross = gto.mole.intor_cross("int1e_ovlp", turned, mean_field.mol)
    scaled = mean_field.mo_coeff[:, mean_field.mo_occ > 0] * np.sqrt(2)
    orbitals = np.linalg.solve(turned.intor("int1e_ovlp"), cross @ scaled)
    assert not np.allclose(orbitals, scaled, atol=1e-3)
    given = Wavefunction(water, turned, orbitals, source="orbitals", name="turned")
    np.testing.assert_allclose(given.in_basis("def2-svp").orbitals, scaled, atol=1e-8)
    made = fit_wavefunction(given, small_basis, level=level)
    assert hartree_norm(made, water_reference, small_basis) < 1e-5


def test_another_basis_than_stated(
    mean_field: Any, checkpoint: Path, small_basis: Basis, level: KohnSham
) -> None:
    message = r"water\.chk is not in the basis 'def2-tzvp': that holds only 9\.9\d+ of its 10\.0000"
    with pytest.raises(ValueError, match=message):
        from_checkpoint(checkpoint, small_basis, level=KohnSham(orbital_basis="def2-tzvp"))
    with pytest.raises(ValueError, match=r"metric is 'overlap' but level\.metric is 'coulomb'"):
        from_checkpoint(checkpoint, small_basis, level=level, metric="overlap")


# runs ----------------------------------------------------------------------------------


def test_memory_limit_reaches_pyscf(level: KohnSham, monkeypatch: pytest.MonkeyPatch) -> None:
    made = kohn_sham(HYDROGEN, level, 1234.0)
    assert {made.max_memory, made.with_df.max_memory, made.mol.max_memory} == {1234.0}
    seen = []

    def refuse(atoms: Atoms, settings: KohnSham, max_memory: float | None = None) -> Any:
        seen.append(max_memory)
        raise RuntimeError

    monkeypatch.setattr(run_module, "kohn_sham", refuse)
    basis = Basis.from_shells({"H": [(0, [1.0])]})
    with pytest.raises(RuntimeError):
        PySCF(basis, level, max_memory=777.0).reference(HYDROGEN)
    assert seen == [777.0]


def test_memory_limit_changes_nothing() -> None:
    """So little that the density-fitting integrals go to a file."""
    basis = Basis.from_shells({"H": [(0, [2.0, 0.5])]})
    level = KohnSham("PBE", "def2-svp", grid_level=1)
    small = reference(HYDROGEN, basis, level, max_memory=1)
    free = reference(HYDROGEN, basis, level)
    assert small.id == free.id
    np.testing.assert_allclose(small.coefficients, free.coefficients, atol=1e-9)
    np.testing.assert_allclose(small.forces, free.forces, atol=1e-8)


def test_products_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every form in which PySCF asks for a product gives what its own library gives."""
    from pyscf.lib import numpy_helper

    monkeypatch.setattr(products_module.Path, "glob", lambda *_: iter([Path("libopenblas.so")]))
    random = np.random.default_rng(0)
    own = numpy_helper._dgemm
    for order_a in "CF":
        for order_b in "CF":
            a = np.asarray(random.normal(size=(7, 5)), order=order_a)
            b = np.asarray(random.normal(size=(5, 6)), order=order_b)
            start = random.normal(size=(7, 6))
            for alpha, beta in ((1, 0), (1, 1), (-0.5, 0), (2, 0.3)):
                expected = numpy_helper.ddot(a, b, alpha, start.copy(), beta)
                with numpy_products():
                    assert numpy_helper._dgemm is not own
                    out = start.copy()
                    made = numpy_helper.ddot(a, b, alpha, out, beta)
                assert made is out
                np.testing.assert_allclose(made, expected, atol=1e-14)
    assert numpy_helper._dgemm is own


def test_products_of_parts_of_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """PySCF's own function knows offsets; it goes on doing those."""
    from pyscf.lib import numpy_helper

    monkeypatch.setattr(products_module.Path, "glob", lambda *_: iter([Path("libopenblas.so")]))
    a, b = np.arange(12.0).reshape(3, 4), np.arange(8.0).reshape(4, 2)
    with numpy_products():
        part = numpy_helper._dgemm("N", "N", 3, 2, 3, a, b, np.zeros((3, 2)), 1, 0, 1, 2, 0)
    np.testing.assert_allclose(part, a[:, 1:] @ b[1:])


def test_other_builds_of_pyscf_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyscf.lib import numpy_helper

    monkeypatch.setattr(products_module.Path, "glob", lambda *_: iter([]))
    own = numpy_helper._dgemm
    with numpy_products():
        assert numpy_helper._dgemm is own


def test_orbitals_hold_their_electrons(mean_field: Any) -> None:
    scaled = mean_field.mo_coeff[:, mean_field.mo_occ > 0] * np.sqrt(2)
    assert electrons(mean_field.mol, scaled) == pytest.approx(10, abs=1e-9)
