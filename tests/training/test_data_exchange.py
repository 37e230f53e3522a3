"""Data sets in formats of other programs, and back."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import read
from data_examples import BASIS, SETTINGS, example, filled, flip
from metatensor.torch import Labels, TensorBlock, TensorMap, load_buffer
from metatomic.torch import load_system

from ase_rholearn.basis import Basis, from_pyscf
from ase_rholearn.references import settings_with_basis
from ase_rholearn.training import DataSet
from ase_rholearn.training.data import export
from ase_rholearn.training.data.diskdataset import import_zip, irreps, target_options

ION = Atoms("OH", [[0, 0, 0], [0, 0, 1]], info={"charge": -1})
CRYSTAL = Atoms("OH", [[0, 0, 0], [0, 0, 1]], cell=bulk("Cu").cell, pbc=True)


def with_two_atoms(atoms: Atoms, **changes: Any) -> Any:
    values = np.random.default_rng(5).normal(size=BASIS.size(atoms.numbers))
    return example(0, ("energy", "forces"), atoms=atoms, coefficients=values, **changes)


# extended xyz --------------------------------------------------------------------------


def test_extended_xyz(tmp_path: Path) -> None:
    made = filled(tmp_path / "d", 6)
    made.extend([with_two_atoms(ION), with_two_atoms(CRYSTAL), example(7, ())])
    assert export(made.folder, tmp_path / "x.extxyz") == 9
    frames = read(tmp_path / "x.extxyz", index=":")
    assert len(frames) == 9
    for atoms in frames:
        reference = made.load(atoms.info.pop("id"))
        # positions and cell keep enough digits for the id
        assert made.id_of(atoms) == reference.id
        assert atoms.info == reference.atoms.info
        assert (atoms.calc is None) == (reference.energy is None)
        if atoms.calc is not None:
            assert atoms.get_potential_energy() == pytest.approx(reference.energy, abs=1e-9)
            assert atoms.get_forces() == pytest.approx(reference.forces, abs=1e-7)
            if reference.dipole is not None:
                assert atoms.calc.results["dipole"] == pytest.approx(reference.dipole)


def test_results_in_info_do_not_collide(tmp_path: Path) -> None:
    """Of structures that were read from a file with energies of another method."""
    made = filled(tmp_path / "d", 0)
    atoms = Atoms("OH2", np.eye(3), info={"energy": 7.0, "name": "x"})
    made.extend([example(1, ("energy",), atoms=atoms)])
    export(made.folder, tmp_path / "x.xyz")
    assert read(tmp_path / "x.xyz").get_potential_energy() == pytest.approx(example(1).energy)


def test_export_of_some(tmp_path: Path) -> None:
    made = filled(tmp_path / "d", 5)
    chosen = [example(1).id, example(3).id]
    for name in ("x.xyz", "x.zip"):
        assert export(made.folder, tmp_path / name, ids=chosen) == 2
        with pytest.raises(ValueError, match=r"1 of 1 ids are not in .*, the first is 'absent'"):
            export(made.folder, tmp_path / name, ids=["absent"])
    assert {atoms.info["id"] for atoms in read(tmp_path / "x.xyz", index=":")} == set(chosen)


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no suffix of a known format: give \.xyz, \.extxyz or"):
        export(tmp_path, tmp_path / "x.pdb")


# DiskDataset ---------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> DataSet:
    """With an ion and a crystal; energies and forces of all."""
    result = filled(tmp_path / "made", 5, ("energy", "forces", "dipole"))
    result.extend([with_two_atoms(ION), with_two_atoms(CRYSTAL)])
    return result


def test_round_trip(tmp_path: Path, made: DataSet) -> None:
    """Everything that the format can say comes back, with the same ids."""
    assert export(made.folder, tmp_path / "x.zip") == 7
    assert import_zip(tmp_path / "x.zip", tmp_path / "new", made.folder) == 7
    imported = DataSet.open(tmp_path / "new")
    assert imported.ids == made.ids
    assert imported.settings == made.settings
    for name in made.ids:
        before, after = made.load(name), imported.load(name)
        np.testing.assert_array_equal(after.coefficients, before.coefficients)
        assert after.atoms == before.atoms
        assert after.energy == before.energy
        np.testing.assert_array_equal(after.forces, before.forces)
        assert after.provenance["file"] == "x.zip"
    assert import_zip(tmp_path / "x.zip", tmp_path / "new", made.folder / "dataset.json") == 0


def test_what_a_zip_holds(tmp_path: Path, made: DataSet) -> None:
    """Read with metatensor and metatomic alone."""
    export(made.folder, tmp_path / "x.zip", target="mtt::rho")
    names = [name for name, _ in made.records()]
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        with archive.open("metadata/atom_counts.npy") as stream:
            counts = np.load(stream)
        for index, name in enumerate(names):
            reference = made.load(name)
            with archive.open(f"{index}/system.mta") as stream:
                system = load_system(stream)
            np.testing.assert_array_equal(system.positions, reference.atoms.positions)
            assert counts[index] == len(reference.atoms)
            maps = {}
            for field in ("mtt::rho", "energy", "charge"):
                with archive.open(f"{index}/{field}.mts") as stream:
                    maps[field] = load_buffer(torch.from_numpy(np.load(stream)))
            assert maps["energy"].block().values.item() == reference.energy
            gradient = maps["energy"].block().gradient("positions").values[..., 0]
            np.testing.assert_array_equal(gradient, -reference.forces)
            assert maps["charge"].block().values.item() == reference.atoms.info.get("charge", 0)
            tensor = maps["mtt::rho"]
            assert tensor.keys.names == ["o3_lambda", "o3_sigma", "atom_type"]
            squared = sum(float((block.values**2).sum()) for block in tensor.blocks())
            assert squared == pytest.approx(float((reference.coefficients**2).sum()))
            assert {int(block.samples.column("system")[0]) for block in tensor if len(block)} == {
                index
            }


def test_fields_that_not_all_have_are_left_out(tmp_path: Path) -> None:
    """Every structure of a DiskDataset has the same fields."""
    made = filled(tmp_path / "d", 3)
    export(made.folder, tmp_path / "x.zip")
    assert fields(tmp_path / "x.zip") == {"system.mta", "energy.mts", "mtt::ri_coefficients.mts"}
    made.extend([example(3, ("forces",))])
    export(made.folder, tmp_path / "y.zip")
    assert fields(tmp_path / "y.zip") == {"system.mta", "mtt::ri_coefficients.mts"}
    imported = tmp_path / "new"
    import_zip(tmp_path / "y.zip", imported, made.folder)
    assert all(reference.energy is None for reference in DataSet.open(imported))


def fields(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return {name.split("/")[1] for name in archive.namelist() if name[0].isdigit()}


@pytest.mark.parametrize("kind", ["file", "pyscf", "model"])
def test_where_a_basis_comes_from(tmp_path: Path, kind: str) -> None:
    basis: Basis
    if kind == "model":
        from ase_rholearn.model import load_model

        basis, given = load_model("water-pbe", "cpu").basis, "water-pbe"
    elif kind == "pyscf":
        basis, given = from_pyscf("def2-universal-jfit", ["H", "O"]), "def2-universal-jfit"
    else:
        basis, given = BASIS, str(tmp_path / "basis.json")
        Path(given).write_text(basis.to_json())
    made = DataSet.create(tmp_path / "d", basis, SETTINGS)
    values = np.random.default_rng(0).normal(size=basis.size([8, 1, 1]))
    made.extend([example(1, coefficients=values, settings=settings_with_basis(SETTINGS, basis))])
    export(made.folder, tmp_path / "x.zip")
    assert import_zip(tmp_path / "x.zip", tmp_path / "new", given) == 1
    imported = DataSet.open(tmp_path / "new")
    assert imported.basis == basis
    assert imported.settings["code"] == "DiskDataset"
    [reference] = imported
    np.testing.assert_array_equal(reference.coefficients, values.astype(np.float32))


def test_import_says_what_is_wrong(tmp_path: Path, made: DataSet) -> None:
    """And leaves no data set behind that would be in the way of the next attempt."""
    path, new = tmp_path / "x.zip", tmp_path / "new"
    export(made.folder, path)
    with pytest.raises(ValueError, match=r"has no target mtt::x: it has charge, energy, mtt::ri_"):
        import_zip(path, new, made.folder, target="mtt::x")
    with pytest.raises(ValueError, match=r"entry 0 cannot be used .* is it the right basis"):
        import_zip(path, new, "def2-universal-jfit")
    with pytest.raises(FileNotFoundError, match="basis: there is no file"):
        import_zip(path, new, tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(ValueError, match=r"bad\.json holds no basis"):
        import_zip(path, new, tmp_path / "bad.json")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        import_zip(tmp_path / "none.zip", new, made.folder)
    (tmp_path / "text.zip").write_text("text")
    with pytest.raises(ValueError, match="is no DiskDataset"):
        import_zip(tmp_path / "text.zip", new, made.folder)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(ValueError, match=r"is no DiskDataset: it has no 0/system\.mta"):
        import_zip(tmp_path / "other.zip", new, made.folder)
    flip(path, 3000)
    with pytest.raises(ValueError, match=r"x\.zip: entry 0 cannot be used"):
        import_zip(path, new, made.folder)
    assert not new.exists()


def test_a_missing_entry(tmp_path: Path, made: DataSet) -> None:
    export(made.folder, tmp_path / "x.zip")
    with (
        zipfile.ZipFile(tmp_path / "x.zip") as old,
        zipfile.ZipFile(tmp_path / "y.zip", "w") as new,
    ):
        for name in old.namelist():
            if name != "3/mtt::ri_coefficients.mts":
                new.writestr(name, old.read(name))
    with pytest.raises(ValueError, match=r"3/mtt::ri_coefficients\.mts is missing"):
        import_zip(tmp_path / "y.zip", tmp_path / "new", made.folder)


def test_nothing_to_export(tmp_path: Path) -> None:
    DataSet.create(tmp_path / "d", BASIS, SETTINGS)
    with pytest.raises(ValueError, match="has no references to export"):
        export(tmp_path / "d", tmp_path / "x.zip")
    assert export(tmp_path / "d", tmp_path / "x.xyz") == 0


def test_irreps() -> None:
    assert irreps(BASIS) == {
        1: [{"o3_lambda": 0, "o3_sigma": 1, "num": 2}, {"o3_lambda": 1, "o3_sigma": 1, "num": 1}],
        8: [
            {"o3_lambda": 0, "o3_sigma": 1, "num": 3},
            {"o3_lambda": 1, "o3_sigma": 1, "num": 1},
            {"o3_lambda": 2, "o3_sigma": 1, "num": 1},
        ],
    }


# with metatrain ------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of its dependencies
def test_metatrain_reads_an_export(tmp_path: Path, made: DataSet) -> None:
    data = pytest.importorskip("metatrain.utils.data.dataset")
    export(made.folder, tmp_path / "x.zip")
    read = data.DiskDataset(tmp_path / "x.zip")
    assert len(read) == 7
    names = [name for name, _ in made.records()]
    for index, name in enumerate(names):
        sample = read[index]._asdict()
        assert len(sample["system"]) == len(made.load(name).atoms)
    assert list(read.get_all_atom_counts()) == [len(made.load(name).atoms) for name in names]


@pytest.mark.filterwarnings("ignore")
def test_what_metatrain_writes_is_imported(tmp_path: Path, made: DataSet) -> None:
    """Its predictions lack blocks of absent species, and have labels of their own."""
    writers = pytest.importorskip("metatrain.utils.data.writers")
    export(made.folder, tmp_path / "x.zip")
    writer = writers.DiskDatasetWriter(tmp_path / "y.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        for index in range(7):
            with archive.open(f"{index}/system.mta") as stream:
                system = load_system(stream)
            with archive.open(f"{index}/mtt::ri_coefficients.mts") as stream:
                tensor = load_buffer(torch.from_numpy(np.load(stream)))
            writer.write([system], {"mtt::ri_coefficients": without_empty(tensor)})
    writer.finish()
    import_zip(tmp_path / "y.zip", tmp_path / "new", made.folder)
    imported = DataSet.open(tmp_path / "new")
    neutral = [name for name in made.ids if not made.load(name).atoms.info.get("charge")]
    for name in neutral:
        np.testing.assert_array_equal(
            imported.load(name).coefficients, made.load(name).coefficients
        )


def without_empty(tensor: TensorMap) -> TensorMap:
    kept = [i for i, block in enumerate(tensor.blocks()) if len(block.samples)]
    blocks = []
    for i in kept:
        block = tensor.block(i)
        properties = Labels(["properties"], block.properties.values)
        blocks.append(TensorBlock(block.values, block.samples, block.components, properties))
    return TensorMap(Labels(tensor.keys.names, tensor.keys.values[kept]), blocks)


@pytest.mark.slow
def test_metatrain_trains_on_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One epoch of a small network, with the options that the command prints."""
    pytest.importorskip("metatrain")
    pytest.importorskip("sphericart.torch")
    import subprocess

    made = filled(tmp_path / "d", 12)
    export(made.folder, tmp_path / "x.zip")
    options = {
        "seed": 0,
        "device": "cpu",
        "architecture": {"name": "soap_bpnn", "training": {"num_epochs": 1, "batch_size": 4}},
        "training_set": {
            "systems": {"read_from": "x.zip", "length_unit": "angstrom"},
            "targets": target_options(made, "x.zip"),
        },
        "validation_set": 0.2,
        "test_set": 0.2,
    }
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(options))
    command = shutil.which("mtt")
    assert command
    done = subprocess.run(
        [command, "train", "options.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Training finished" in done.stdout + done.stderr
