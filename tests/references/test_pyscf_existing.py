"""Densities of wavefunctions that exist already: in memory, or in a checkpoint file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units

from ase_rholearn.basis import Basis
from ase_rholearn.references import NotConvergedError, Reference
from ase_rholearn.references.pyscf import (
    KohnSham,
    density_from_mean_field,
    from_checkpoint,
    from_orbitals,
    orbital_molecule,
)


@pytest.fixture
def orbitals(mean_field: Any) -> np.ndarray:
    return mean_field.mo_coeff[:, mean_field.mo_occ > 0] * np.sqrt(2)


def test_orbitals_in_memory(
    water: Atoms,
    small_basis: Basis,
    orbitals: np.ndarray,
    water_reference: Reference,
    level: KohnSham,
    no_scf: None,
) -> None:
    made = from_orbitals(water, small_basis, level.orbital_basis, orbitals, converged=True)
    np.testing.assert_allclose(made.coefficients, water_reference.coefficients, atol=1e-4)
    np.testing.assert_allclose(made.dipole, water_reference.dipole, atol=1e-5)
    assert made.converged is True
    assert made.energy is None


def test_kept_orbitals_can_be_used_again(
    water: Atoms, small_basis: Basis, orbitals: np.ndarray, level: KohnSham
) -> None:
    """Evaluation builds the molecule from the settings alone."""
    made = from_orbitals(water, small_basis, level.orbital_basis, orbitals, keep_orbitals=True)
    assert orbital_molecule(made).nao == len(orbitals)


def test_checkpoint(
    mean_field: Any, checkpoint: Path, small_basis: Basis, water_reference: Reference, no_scf: None
) -> None:
    made = from_checkpoint(checkpoint, small_basis)
    np.testing.assert_allclose(made.coefficients, water_reference.coefficients, atol=1e-4)
    np.testing.assert_allclose(made.atoms.positions, water_reference.atoms.positions, atol=1e-9)
    np.testing.assert_allclose(made.dipole, water_reference.dipole, atol=1e-5)
    assert made.energy == pytest.approx(mean_field.e_tot * units.Hartree)
    # PySCF's files do not say, so that this one enters no data set unless the user says
    assert made.converged is None
    assert from_checkpoint(checkpoint, small_basis, converged=True).converged is True


def test_mean_field_in_memory(
    mean_field: Any, small_basis: Basis, water_reference: Reference, no_scf: None
) -> None:
    rho = density_from_mean_field(mean_field, small_basis)
    np.testing.assert_allclose(rho.raw_coefficients, water_reference.coefficients, atol=1e-4)


def test_charge_of_a_checkpoint(
    small_basis: Basis, tmp_path: Path, run_scf: Callable[..., None]
) -> None:
    from pyscf import gto, scf

    molecule = gto.M(atom="O 0 0 0; H 0 0 0.97", basis="sto-3g", charge=-1, verbose=0)
    run_scf(scf.RHF(molecule), tmp_path / "oh.chk")
    made = from_checkpoint(tmp_path / "oh.chk", small_basis)
    assert made.atoms.info["charge"] == -1
    # another unit of length than bohr in the molecule changes nothing
    np.testing.assert_allclose(made.atoms.positions[1, 2], 0.97, atol=1e-6)


def test_orbitals_of_another_basis(water: Atoms, small_basis: Basis, orbitals: np.ndarray) -> None:
    message = r"occupied_orbitals has shape \(24, 5\) but 'sto-3g' has 7 functions .*\(nao, nocc\)"
    with pytest.raises(ValueError, match=message):
        from_orbitals(water, small_basis, "sto-3g", orbitals)


def test_orbitals_that_are_not_scaled(
    water: Atoms, small_basis: Basis, orbitals: np.ndarray, level: KohnSham
) -> None:
    message = r"hold 5.0000 electrons, the structure has 10: scale them .* check the charge"
    with pytest.raises(ValueError, match=message):
        from_orbitals(water, small_basis, level.orbital_basis, orbitals / np.sqrt(2))


def test_missing_checkpoint(small_basis: Basis, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint file .*none\.chk"):
        from_checkpoint(tmp_path / "none.chk", small_basis)


@pytest.mark.parametrize("damage", ["half", "empty", "text", "no orbitals"])
def test_damaged_checkpoint(
    mean_field: Any, checkpoint: Path, small_basis: Basis, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "bad.chk"
    data = checkpoint.read_bytes()
    path.write_bytes({"half": data[: len(data) // 2], "text": b"mo_coeff"}.get(damage, b""))
    if damage == "no orbitals":
        from pyscf import lib

        path.unlink()
        lib.chkfile.save_mol(mean_field.mol, str(path))
    message = r"bad\.chk is not a PySCF checkpoint with orbitals, or it is damaged: run the SCF"
    with pytest.raises(ValueError, match=message):
        from_checkpoint(path, small_basis)


def test_checkpoint_of_species_that_the_basis_lacks(mean_field: Any, checkpoint: Path) -> None:
    hydrogen = Basis.from_shells({"H": [(0, [1.0])]})
    with pytest.raises(ValueError, match=r"does not know the species O: it has H"):
        from_checkpoint(checkpoint, hydrogen)


def test_open_shell_run(small_basis: Basis, run_scf: Callable[..., None]) -> None:
    from pyscf import gto, scf

    molecule = gto.M(atom="H 0 0 0; H 0 0 0.74", basis="sto-3g", spin=2, verbose=0)
    for method in (scf.UHF, scf.ROHF):
        mean_field = method(molecule)
        run_scf(mean_field)
        with pytest.raises(ValueError, match=r"mean_field is an open-shell run: only closed"):
            density_from_mean_field(mean_field, small_basis)


def test_cartesian_orbitals(small_basis: Basis, run_scf: Callable[..., None]) -> None:
    from pyscf import gto, scf

    molecule = gto.M(atom="H 0 0 0; H 0 0 0.74", basis="sto-3g", cart=True, verbose=0)
    mean_field = scf.RHF(molecule)
    run_scf(mean_field)
    with pytest.raises(ValueError, match=r"mean_field: only molecules with spherical orbitals"):
        density_from_mean_field(mean_field, small_basis)


def test_run_that_has_not_converged(small_basis: Basis) -> None:
    from pyscf import gto, scf

    mean_field = scf.RHF(gto.M(atom="H 0 0 0; H 0 0 0.74", basis="sto-3g", verbose=0))
    mean_field._chkfile = None  # a temporary file that PySCF does not close
    with pytest.raises(NotConvergedError, match=r"mean_field has not converged: run its kernel"):
        density_from_mean_field(mean_field, small_basis)
