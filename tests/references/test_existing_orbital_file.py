"""Occupied orbitals in npz files: a small one made here, and real ones where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units

from ase_rholearn.basis import Basis, even_tempered
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import (
    KohnSham,
    from_orbital_file,
    metric_matrix,
    read_orbital_file,
    reference,
    refit,
)
from ase_rholearn.references.pyscf.wavefunction import electrons

#: Files of PBE/def2-TZVP runs, beside the repository.
REAL = Path(__file__).parents[3] / "shared" / "data" / "organic-pbe-tzvp"

Save = Callable[..., Path]


@pytest.fixture
def save(mean_field: Any, water: Atoms, tmp_path: Path) -> Save:
    """Write the run of ``mean_field``, with arrays changed or (None) left out."""

    def call(**changes: Any) -> Path:
        occupied = mean_field.mo_coeff[:, mean_field.mo_occ > 0]
        arrays = {
            "numbers": water.numbers.astype(np.uint8),
            "positions": water.positions,
            "energy": mean_field.e_tot,
            "gradient": np.arange(9.0).reshape(3, 3),
            "dipole_debye": mean_field.dip_moment(verbose=0),
            "mo_occ_coeff": occupied.astype(np.float32),
            "mo_energy": mean_field.mo_energy,
            "smiles": "O",
            "source": "test",
            "temperature": 300,
            **changes,
        }
        path = tmp_path / "w.npz"
        np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
        return path

    return call


def hartree_norm(made: Reference, expected: Reference, basis: Basis) -> float:
    error = made.coefficients - expected.coefficients
    return float(np.sqrt(abs(error @ metric_matrix(made.atoms, basis, "coulomb") @ error)))


def test_file(
    save: Save,
    small_basis: Basis,
    level: KohnSham,
    water_reference: Reference,
    mean_field: Any,
    no_scf: None,
) -> None:
    made = from_orbital_file(save(), small_basis, level=level, converged=True, keep_orbitals=True)
    assert made.id == water_reference.id
    assert hartree_norm(made, water_reference, small_basis) < 1e-5
    np.testing.assert_allclose(made.dipole, water_reference.dipole, atol=1e-5)
    assert made.energy == pytest.approx(mean_field.e_tot * units.Hartree)
    np.testing.assert_allclose(made.forces.ravel(), -np.arange(9) * units.Hartree / units.Bohr)
    # plain values, which JSON takes
    assert made.atoms.info == {"smiles": "O", "source": "test", "temperature": 300}
    assert {type(value) for value in made.atoms.info.values()} == {str, int}
    assert made.provenance == {"file": "w.npz"}
    assert made.converged is True


def test_without_a_level_of_theory(save: Save, small_basis: Basis) -> None:
    made = from_orbital_file(save(), small_basis, "def2-svp", metric="overlap")
    settings = {k: v for k, v in made.settings.items() if k != "basis"}
    assert settings == {
        "code": "pyscf",
        "source": "orbitals",
        "orbital_basis": "def2-svp",
        "metric": "overlap",
    }
    with pytest.raises(ValueError, match=r"orbital_basis is missing: files of orbitals do not"):
        from_orbital_file(save(), small_basis)


def test_only_what_is_needed(save: Save, small_basis: Basis) -> None:
    optional = ("energy", "gradient", "dipole_debye", "mo_energy", "smiles", "source")
    made = from_orbital_file(save(**dict.fromkeys(optional)), small_basis, "def2-svp")
    assert made.energy is None
    assert made.forces is None
    assert made.atoms.info == {"temperature": 300}


def test_single_precision_loses_no_electrons(save: Save, mean_field: Any) -> None:
    """As they are, the orbitals hold another number of electrons; made orthonormal, the right."""
    path = save()
    raw = np.load(path)["mo_occ_coeff"].astype(float) * np.sqrt(2)
    made = read_orbital_file(path, "def2-svp")
    assert abs(electrons(made.molecule, raw) - 10) > 1e-8
    assert electrons(made.molecule, made.orbitals) == pytest.approx(10, abs=1e-12)
    exact = mean_field.make_rdm1()
    np.testing.assert_allclose(made.orbitals @ made.orbitals.T, exact, atol=1e-6)


def test_refit_makes_orbitals_orthonormal_too(
    water_reference: Reference, small_basis: Basis
) -> None:
    """Kept orbitals have single precision; the fit of them is the fit of the run."""
    again = refit(water_reference, small_basis)
    assert hartree_norm(again, water_reference, small_basis) < 1e-6
    assert again.fit["electron_error"] == pytest.approx(
        water_reference.fit["electron_error"], abs=1e-6
    )
    np.testing.assert_array_equal(again.occupied_orbitals, water_reference.occupied_orbitals)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mo_occ_coeff": None}, r"w\.npz has no mo_occ_coeff: files of orbitals hold numbers,"),
        ({"positions": None, "numbers": None}, r"w\.npz has no numbers, positions"),
        ({"charge": 2}, r"shape \(24, 5\), but 'def2-svp' and a closed shell of 8 electrons need"),
        ({"charge": 1}, r"H2O with charge 1 has 9 electrons, an open shell"),
        ({"gradient": np.zeros((2, 3))}, r"gradient has shape \(2, 3\), the structure 3 atoms"),
        (
            {"dipole_debye": np.array([0.0, 0, 3])},
            r"dipole_debye is \[0.*\], but the orbitals",
        ),
        ({"mo_occ_coeff": np.ones((24, 5))}, r"orbitals of .*w\.npz are not orthonormal in its"),
        ({"mo_occ_coeff": np.full((24, 5), np.nan)}, r"orbitals of .*w\.npz are not orthonormal"),
    ],
)
def test_files_that_cannot_be_fitted(save: Save, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_orbital_file(save(**changes), "def2-svp")


def test_another_orbital_basis(save: Save) -> None:
    with pytest.raises(ValueError, match=r"shape \(24, 5\), but 'sto-3g' .* need \(7, 5\): check"):
        read_orbital_file(save(), "sto-3g")


def test_functions_in_another_order(save: Save, mean_field: Any) -> None:
    """As another program has them: y, z, x instead of PySCF's x, y, z."""
    labels = mean_field.mol.ao_labels(fmt=None)
    order = list(range(len(labels)))
    for row, label in enumerate(labels):
        if label[2].endswith("p") and label[3] == "x":
            order[row : row + 3] = row + 1, row + 2, row
    occupied = mean_field.mo_coeff[:, mean_field.mo_occ > 0].astype(np.float32)
    with pytest.raises(ValueError, match=r"w\.npz are not orthonormal .* order of its functions"):
        read_orbital_file(save(mo_occ_coeff=occupied[order]), "def2-svp")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.npz is not a \.npz file, or it is damaged"):
        read_orbital_file(tmp_path / "bad.npz", "def2-svp")


def test_truncated_file(save: Save) -> None:
    path = save()
    data = path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(ValueError, match=r"w\.npz is not a \.npz file, or it is damaged"):
            read_orbital_file(path, "def2-svp")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file of orbitals .*none\.npz"):
        read_orbital_file(tmp_path / "none.npz", "def2-svp")


@pytest.mark.skipif(not REAL.exists(), reason="the files are not here")
@pytest.mark.parametrize("number", [0, 30])
def test_real_files(number: int) -> None:
    """The dipole of each file is compared with that of its orbitals on reading."""
    path = REAL / f"{number:05d}.npz"
    atoms = read_orbital_file(path, "def2-tzvp").atoms
    basis = even_tempered(sorted(set(atoms.symbols)), beta=2.5)
    made = from_orbital_file(path, basis, level=KohnSham())
    assert abs(made.fit["electron_error"]) < 0.01
    assert made.atoms.info["smiles"]
    assert np.abs(made.forces.sum(axis=0)).max() < 0.02  # no grid response in the files


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the files are not here")
def test_real_file_is_what_a_run_gives() -> None:
    """The smallest molecule of the set, computed again."""
    path = REAL / "00030.npz"
    level = KohnSham(conv_tol=1e-8, forces=False)
    atoms = read_orbital_file(path, "def2-tzvp").atoms
    basis = even_tempered(sorted(set(atoms.symbols)), beta=2.5)
    made = from_orbital_file(path, basis, level=level)
    computed = reference(atoms, basis, level)
    assert made.id == computed.id
    assert hartree_norm(made, computed, basis) < 1e-4
    assert made.energy == pytest.approx(computed.energy, abs=1e-5)
    np.testing.assert_allclose(made.dipole, computed.dipole, atol=1e-4)
