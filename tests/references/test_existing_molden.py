"""Molden files: of PySCF, of programs with other ways, and those that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from math import pi, prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units

from ase_rholearn.basis import Basis
from ase_rholearn.references.pyscf import (
    KohnSham,
    from_checkpoint,
    from_molden,
    from_orbitals,
    metric_matrix,
    orbital_molecule,
    read_molden,
)

#: s to g functions on oxygen, contractions among them.
BASIS = "cc-pvqz"


def build(atoms: Atoms, basis: str = BASIS, **options: Any) -> Any:
    from pyscf import gto

    geometry = [(a.symbol, a.position / units.Bohr) for a in atoms]
    return gto.M(atom=geometry, unit="B", basis=basis, verbose=0, **options)


def some_orbitals(molecule: Any, count: int) -> np.ndarray:
    """Orthonormal orbitals that need every function: no SCF is needed to test a reader."""
    values, vectors = np.linalg.eigh(molecule.intor("int1e_ovlp"))
    drawn = np.random.default_rng(0).normal(size=(molecule.nao, count))
    return vectors / np.sqrt(values) @ np.linalg.qr(drawn)[0]


def write(
    path: Path, molecule: Any, orbitals: np.ndarray, occupations: np.ndarray | None = None
) -> Path:
    from pyscf.tools import molden

    if occupations is None:
        occupations = np.full(orbitals.shape[1], 2.0)
    molden.from_mo(molecule, str(path), orbitals, occ=occupations)
    return path


@pytest.fixture(scope="session")
def orbitals(water: Atoms) -> np.ndarray:
    return some_orbitals(build(water), 5)


@pytest.fixture(scope="session")
def molden_file(
    water: Atoms, orbitals: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write(tmp_path_factory.mktemp("molden") / "w.molden", build(water), orbitals)


@pytest.fixture(scope="session")
def expected(water: Atoms, small_basis: Basis, orbitals: np.ndarray) -> Any:
    return from_orbitals(water, small_basis, BASIS, orbitals * np.sqrt(2), keep_orbitals=True)


def same_density(made: Any, expected: Any, basis: Basis, tolerance: float) -> None:
    """Difference of two fits, measured by its Hartree energy."""
    error = made.coefficients - expected.coefficients
    matrix = metric_matrix(expected.atoms, basis, "coulomb")
    assert np.sqrt(abs(error @ matrix @ error)) < tolerance
    np.testing.assert_allclose(made.dipole, expected.dipole, atol=tolerance)


def norm(l: int, a: float) -> float:
    """Of x^l exp(-a r^2), up to a factor that all exponents of an l share."""
    return (2 * a / pi) ** 0.75 * (4 * a) ** (l / 2) / prod(range(1, 2 * l, 2)) ** 0.5


def with_raw_primitives(text: str) -> str:
    """The contractions as ORCA and old Psi4 write them."""
    lines, l, left = [], 0, 0
    for line in text.splitlines():
        words = line.split()
        if left:
            a, c = map(float, words)
            line, left = f" {a:.14g} {c * norm(l, a):.14g}", left - 1
        elif len(words) == 3 and words[0] in "spdfg":
            l, left = "spdfg".index(words[0]), int(words[1])
        lines.append(line)
    return "\n".join(lines)


def test_file_of_a_run(
    mean_field: Any, checkpoint: Path, water: Atoms, small_basis: Basis, tmp_path: Path
) -> None:
    """All orbitals, occupied or not, as PySCF writes them."""
    from pyscf.tools import molden

    molden.from_scf(mean_field, str(tmp_path / "w.molden"))
    made = from_molden(tmp_path / "w.molden", small_basis)
    same_density(made, from_checkpoint(checkpoint, small_basis), small_basis, 1e-8)
    np.testing.assert_allclose(made.atoms.positions, water.positions, atol=1e-9)
    assert made.provenance == {"file": "w.molden"}
    assert made.converged is None
    assert made.energy is None


def test_every_function(molden_file: Path, small_basis: Basis, expected: Any) -> None:
    made = from_molden(molden_file, small_basis, converged=True)
    same_density(made, expected, small_basis, 1e-8)
    assert made.settings["source"] == "molden"
    assert made.converged is True


def test_level_of_theory(molden_file: Path, small_basis: Basis, expected: Any) -> None:
    """With it, the orbitals are those of a named basis and can be used again."""
    level = KohnSham(orbital_basis=BASIS)
    made = from_molden(molden_file, small_basis, level=level, keep_orbitals=True)
    same_density(made, expected, small_basis, 1e-8)
    assert {k: v for k, v in made.settings.items() if k != "basis"} == level.to_dict()
    assert orbital_molecule(made).nao == len(made.occupied_orbitals)
    np.testing.assert_allclose(made.occupied_orbitals, expected.occupied_orbitals, atol=1e-6)
    with pytest.raises(ValueError, match=r"w\.molden is not in the basis 'def2-svp': that holds"):
        from_molden(molden_file, small_basis, level=KohnSham(orbital_basis="def2-svp"))


def test_positions_in_angstrom(
    molden_file: Path, water: Atoms, small_basis: Basis, expected: Any, tmp_path: Path
) -> None:
    """They come back as they are in the file, so that ids do not change."""
    lines = molden_file.read_text().splitlines()
    start = lines.index("[Atoms] (AU)")
    lines[start] = "[Atoms] Angs"
    for k, atom in enumerate(water):
        x, y, z = atom.position
        lines[start + 1 + k] = f"{atom.symbol} {k + 1} {atom.number} {x:.3f} {y:.3f} {z:.3f}"
    path = tmp_path / "a.molden"
    path.write_text("\n".join(lines))
    made = from_molden(path, small_basis)
    np.testing.assert_array_equal(made.atoms.positions, water.positions)
    same_density(made, expected, small_basis, 1e-7)


def test_primitives_without_norm(
    molden_file: Path, small_basis: Basis, expected: Any, tmp_path: Path
) -> None:
    path = tmp_path / "psi4.molden"
    path.write_text(with_raw_primitives(molden_file.read_text()))
    same_density(from_molden(path, small_basis), expected, small_basis, 1e-7)


def test_signs_of_orca(
    water: Atoms, orbitals: np.ndarray, small_basis: Basis, expected: Any, tmp_path: Path
) -> None:
    """f and g functions of |m| = 3 and 4 have the other sign, which bonds give away."""
    molecule = build(water)
    flipped = orbitals.copy()
    for row, label in enumerate(molecule.ao_labels(fmt=None)):
        if label[2][1] in "fg" and label[3].endswith(("3", "4")):
            flipped[row] *= -1
    assert not np.allclose(flipped, orbitals)
    path = write(tmp_path / "orca.molden", molecule, flipped)
    path.write_text(with_raw_primitives(path.read_text()))
    same_density(from_molden(path, small_basis), expected, small_basis, 1e-7)


def test_charge(small_basis: Basis, tmp_path: Path) -> None:
    """Molden files do not record it; what they hold must fit what the user says."""
    hydroxide = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]])
    molecule = build(hydroxide, "6-31g", charge=-1)
    path = write(tmp_path / "oh.molden", molecule, some_orbitals(molecule, 5))
    made = read_molden(path, charge=-1)
    assert made.atoms.info == {"charge": -1}
    assert made.molecule.nelectron == 10
    with pytest.raises(ValueError, match=r"oh\.molden holds 10\.0000 electrons, nuclei of 9 and"):
        read_molden(path)


def test_missing_file(small_basis: Basis, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no Molden file .*none\.molden"):
        from_molden(tmp_path / "none.molden", small_basis)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.03, 0.1, 0.5, 0.9, 0.995])
def test_truncated_file(molden_file: Path, tmp_path: Path, share: float) -> None:
    text = molden_file.read_text()
    path = tmp_path / "cut.molden"
    path.write_text(text[: int(share * len(text))])
    with pytest.raises(ValueError, match=r"cut\.molden .*(truncated|not a Molden file)"):
        read_molden(path)


def test_truncated_between_orbitals(molden_file: Path, tmp_path: Path) -> None:
    """What is left is a sound file of an ion that nobody computed."""
    text = molden_file.read_text()
    path = tmp_path / "cut.molden"
    path.write_text(text[: text.rindex(" Sym=")])
    with pytest.raises(ValueError, match=r"holds 8\.0000 electrons.*truncated \(xTB, for one"):
        read_molden(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[Molden Format]", "[Format]", r"is not a Molden file: it does not begin with"),
        ("[GTO]", "[STO]", r"has Slater functions: only Gaussians"),
        ("[5d]", "[core]\n1 : 2\n[5d]", r"has a section \[CORE\], that is effective cores"),
        ("O   1   8 ", "O   1   6 ", r"gives the nucleus of O the charge 6, that is an effective"),
        ("[5d]\n[7f]\n[9g]", "", r"has Cartesian d functions: only spherical"),
        ("[7f]", "[10f]", r"has Cartesian f functions"),
        ("[5d]\n[7f]\n[9g]", "[5D]\n[7F]", r"has Cartesian g functions"),
        ("Spin= Alpha", "Spin= Beta", r"is an open-shell run: only closed shells"),
        ("Occup=    2.0", "Occup=    1.0", r"is an open-shell run: only closed shells"),
        ("Occup=    2.0", "Occup=    1.6", r"holds 8\.0000 electrons"),
    ],
)
def test_files_that_cannot_be_fitted(
    molden_file: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = molden_file.read_text()
    assert old in text
    (tmp_path / "bad.molden").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=rf"bad\.molden {message}"):
        read_molden(tmp_path / "bad.molden")


def test_binary_file(tmp_path: Path) -> None:
    (tmp_path / "b.molden").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"b\.molden is not a Molden file: it is not text"):
        read_molden(tmp_path / "b.molden")


def test_unknown_way_to_write_functions(water: Atoms, orbitals: np.ndarray, tmp_path: Path) -> None:
    """Functions that were left out, for one: PySCF drops those beyond g."""
    strange = orbitals.copy()
    strange[::7] *= 0.5
    path = write(tmp_path / "odd.molden", build(water), strange)
    message = r"odd\.molden are orthonormal only to .* \(the format, .*, ORCA\).*iodata-convert"
    with pytest.raises(ValueError, match=message):
        read_molden(path)


def test_cartesian_orbitals(water: Atoms, tmp_path: Path) -> None:
    molecule = build(water, cart=True)
    path = write(tmp_path / "cart.molden", molecule, some_orbitals(molecule, 5))
    with pytest.raises(ValueError, match=r"cart\.molden has Cartesian d functions"):
        read_molden(path)


def test_unrestricted_run(small_basis: Basis, tmp_path: Path, run_scf: Callable[..., None]) -> None:
    from pyscf import scf
    from pyscf.tools import molden

    mean_field = scf.UHF(build(Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), "sto-3g"))
    run_scf(mean_field)
    molden.from_scf(mean_field, str(tmp_path / "u.molden"))
    with pytest.raises(ValueError, match=r"u\.molden is an open-shell run"):
        from_molden(tmp_path / "u.molden", small_basis)
