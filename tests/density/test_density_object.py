"""What a Density accepts, refuses and keeps."""

from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from ase_rholearn import Basis, Density
from ase_rholearn.basis import from_tensormap


def test_changes_of_the_arguments_do_not_reach_the_density(water: Atoms, basis: Basis) -> None:
    coefficients = np.zeros(basis.size(water.numbers))
    density = Density(water, basis, coefficients)
    before = density.evaluate([[0, 0, 0]])
    water.positions += 1.0
    water.info["charge"] = 2
    coefficients += 1.0
    np.testing.assert_array_equal(density.evaluate([[0, 0, 0]]), before)
    assert density.charge == 0


def duplicates(density: Density) -> list[Density]:
    return [
        density,
        copy.copy(density),
        copy.deepcopy(density),
        pickle.loads(pickle.dumps(density)),
    ]


def test_arrays_are_read_only(water_density: Density) -> None:
    """In copies too: pickle forgets the flag of an array."""
    for density in duplicates(water_density):
        for array in (
            density.coefficients,
            density.raw_coefficients,
            density.atoms.positions,
            density.atoms.numbers,
            density.atoms.cell.array,
            density.atoms.pbc,
        ):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
        with pytest.raises(ValueError, match="read-only"):
            density.atoms.positions += 1.0
        free = density.atoms.copy()
        free.positions += 1.0  # a copy is the caller's
        free.cell[0, 0] = 4.0


def test_copies_are_equal(water: Atoms, small_basis: Basis) -> None:
    water.info["charge"] = 1
    coefficients = np.random.default_rng(0).normal(size=small_basis.size(water.numbers))
    for normalize in (True, False):
        density = Density(water, small_basis, coefficients, normalize=normalize)
        for other in duplicates(density):
            np.testing.assert_array_equal(other.coefficients, density.coefficients)
            np.testing.assert_array_equal(other.raw_coefficients, density.raw_coefficients)
            assert other.basis == density.basis
            assert other.charge == 1
            assert other.normalization == density.normalization


def test_a_density_of_a_density_s_atoms(water_density: Density) -> None:
    again = Density(water_density.atoms, water_density.basis, water_density.raw_coefficients)
    np.testing.assert_array_equal(again.coefficients, water_density.coefficients)


def test_text(water_density: Density) -> None:
    size = len(water_density.coefficients)
    assert repr(water_density) == f"Density('H2O', {size} functions, 10.000000 electrons)"


def test_tensormap(water_density: Density) -> None:
    tensor = water_density.to_tensormap()
    numbers = [water_density.atoms.numbers]
    (vector,) = from_tensormap(water_density.basis, numbers, tensor)
    np.testing.assert_array_equal(vector, water_density.coefficients)


# refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "atoms has no atoms: give a structure"),
        (Atoms("H", [[0, np.nan, 0]]), r"atoms.positions of atom 0 is \[0.0, nan, 0.0\]"),
        (Atoms("OH", [[0, 0, 0], [0, 0, 0.1]]), "atoms 0 and 1 overlap, 0.1 Angstrom apart"),
        (Atoms("OX", [[0, 0, 0], [0, 0, 1]]), r"dummy species \(X\) at atom 1"),
        (Atoms("N"), "the basis does not know the species N: it has H, C, O"),
        (Atoms("H", pbc=True), "set a cell, or pbc=False for a molecule"),
        (Atoms("H", info={"charge": 0.5}), "is 0.5: give an integer charge"),
        (Atoms("H", info={"charge": 3}), "total charge is 3 but the nuclei have only 1: correct"),
    ],
)
def test_bad_atoms(atoms: Atoms, message: str, basis: Basis) -> None:
    size = sum(basis.sizes.get(int(z), 0) for z in atoms.numbers)
    for normalize in (True, False):
        with pytest.raises(ValueError, match=message):
            Density(atoms, basis, np.zeros(size), normalize=normalize)


def test_bad_types(water: Atoms, basis: Basis) -> None:
    with pytest.raises(TypeError, match=r"atoms is a str: give an ase.Atoms object"):
        Density("water.xyz", basis, [])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"basis is a str: give an ase_rholearn.Basis"):
        Density(water, "weigend", [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c[:-1],
            r"coefficients has shape \(\d+,\) but this basis has \d+ functions on 3",
        ),
        (lambda c: c[:, None], "is it the basis that the coefficients belong to"),
        (lambda c: c * np.nan, r"coefficients contains \d+ NaN or infinity"),
    ],
)
def test_bad_coefficients(
    change: Callable[[np.ndarray], np.ndarray], message: str, water: Atoms, basis: Basis
) -> None:
    with pytest.raises(ValueError, match=message):
        Density(water, basis, change(np.zeros(basis.size(water.numbers))))


def test_basis_without_s_functions_cannot_be_normalised() -> None:
    basis = Basis.from_shells({"H": [(1, [1.0])]}, name="p only")
    with pytest.raises(ValueError, match=r"basis 'p only' has no s functions .* normalize=False"):
        Density(Atoms("H"), basis, np.zeros(3))
    Density(Atoms("H"), basis, np.zeros(3), normalize=False)


@pytest.mark.parametrize("method", ["evaluate", "gradient", "laplacian"])
@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros(3), r"points has shape \(3,\): give \(n, 3\) in Angstrom"),
        (np.zeros((4, 2)), r"points has shape \(4, 2\)"),
        ([[0.0, np.inf, 0.0]], "points contains NaN or infinity: give finite coordinates"),
    ],
)
def test_bad_points(water_density: Density, method: str, points: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(water_density, method)(points)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan")])
def test_bad_tolerance(water_density: Density, tolerance: float) -> None:
    with pytest.raises(ValueError, match=f"tolerance is {tolerance}: give a positive density"):
        water_density.evaluate([[0, 0, 0]], tolerance=tolerance)


# files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalize", [True, False])
def test_npz_round_trip_is_bitwise(tmp_path: Path, basis: Basis, normalize: bool) -> None:
    atoms = molecule("CH3OH")
    atoms.set_cell([[9, 0, 0], [1, 8, 0], [0, 0, 7]])
    atoms.pbc = (True, False, True)
    atoms.info["charge"] = -1
    coefficients = np.random.default_rng(0).normal(size=basis.size(atoms.numbers))
    density = Density(atoms, basis, coefficients, normalize=normalize)
    density.write(tmp_path / "rho.npz")
    other = Density.read(tmp_path / "rho.npz")
    np.testing.assert_array_equal(other.raw_coefficients, density.raw_coefficients)
    np.testing.assert_array_equal(other.coefficients, density.coefficients)
    np.testing.assert_array_equal(other.atoms.positions, atoms.positions)
    np.testing.assert_array_equal(other.atoms.cell.array, atoms.cell.array)
    np.testing.assert_array_equal(other.atoms.pbc, atoms.pbc)
    assert other.basis == basis
    assert other.charge == -1


@pytest.mark.parametrize("name", ["rho", "rho.chk", "rho.npz.gz"])
def test_unknown_suffix(water_density: Density, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"path is '.*{name}': give a name that ends in .cube"):
        water_density.write(tmp_path / name)


@pytest.mark.parametrize("suffix", [".cube", ".npz"])
def test_unwritable_path(water_density: Density, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("nowhere", "file"):
        message = f"cannot write .*{folder}/rho{suffix}: .* give a folder that exists and can"
        with pytest.raises(OSError, match=message):
            water_density.write(tmp_path / folder / f"rho{suffix}", spacing=0.5)
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder: give the name of a file"):
        water_density.write(tmp_path / f"folder{suffix}", spacing=0.5)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing.npz"):
        Density.read(tmp_path / "nothing.npz")


def test_damaged_files(water_density: Density, tmp_path: Path) -> None:
    water_density.write(tmp_path / "rho.npz")
    whole = (tmp_path / "rho.npz").read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", header=np.frombuffer(b'{"schema": 1}', dtype=np.uint8))
    damaged = [
        b"",
        b"no density",
        (tmp_path / "array.npy").read_bytes(),
        (tmp_path / "other.npz").read_bytes(),
        *(whole[: len(whole) * k // 7] for k in range(1, 7)),
        *(whole[:k] + bytes([whole[k] ^ 0xFF]) + whole[k + 1 :] for k in range(60, 600, 60)),
    ]
    path = tmp_path / "bad.npz"
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"bad.npz is not a density file .* give a .npz file"):
            Density.read(path)
    with pytest.raises(ValueError, match="is not a density file"):
        Density.read(tmp_path)


def test_file_of_a_newer_version(water_density: Density, tmp_path: Path) -> None:
    water_density.write(tmp_path / "rho.npz")
    with np.load(tmp_path / "rho.npz") as data:
        arrays = dict(data)
    header = json.loads(bytes(arrays["header"]))
    header["schema"] = 7
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(tmp_path / "new.npz", **arrays)
    with pytest.raises(ValueError, match=r"new.npz has schema 7, this version reads 1: update"):
        Density.read(tmp_path / "new.npz")


def test_relative_paths_and_text(
    water_density: Density, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    water_density.write("rho.npz")
    assert os.listdir() == ["rho.npz"]
    assert Density.read("rho.npz").charge == 0
