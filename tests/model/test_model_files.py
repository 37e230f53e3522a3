"""What is in a model file, and what happens with files that are not one."""

from __future__ import annotations

import dataclasses
import json
import pickle
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    ModelCard,
    ModelFileError,
    build_network,
    export_model,
    load_model,
    shipped_models,
)
from ase_rholearn.model.files.card import SCHEMA_VERSION
from ase_rholearn.torchscript import quiet_torchscript


def test_basis_and_card_come_back_without_loss(model, basis, card, network):
    assert model.basis.to_json() == basis.to_json()
    assert model.card == card
    assert model.cutoff == network.range


def test_export_does_not_change_the_network(network, basis, card, tmp_path):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    export_model(network, basis, card, tmp_path / "m.pt", dtype="float32")
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype


def test_export_refuses_other_precisions(network, basis, card, tmp_path):
    with pytest.raises(ValueError, match=r"dtype is 'float16': give \"float32\" or \"float64\""):
        export_model(network, basis, card, tmp_path / "m.pt", dtype="float16")


def test_export_that_fails_leaves_nothing(network, basis, card, tmp_path):
    """An unwritable place: the error names it, and no half of a file stays."""
    with pytest.raises(OSError, match="missing"):
        export_model(network, basis, card, tmp_path / "missing" / "m.pt")
    assert list(tmp_path.iterdir()) == []


def test_missing_file_lists_the_shipped_names(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load_model(tmp_path / "nothing.pt")
    message = str(caught.value)
    assert "model is" in message
    assert "nothing.pt" in message
    for name in shipped_models():
        assert name in message


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_truncated_file(model_file, tmp_path, keep):
    data = model_file.read_bytes()
    path = tmp_path / "model.pt"
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(ModelFileError, match="not a model file, or it is truncated: export it"):
        load_model(path)


def test_foreign_files(tmp_path):
    """A text, some zip archive, a TorchScript module of somebody else."""
    text = tmp_path / "text.pt"
    text.write_text("hello")
    archive = tmp_path / "archive.pt"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("a.txt", "hello")
    script = tmp_path / "script.pt"
    with quiet_torchscript():
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), script)
    for path in (text, archive, script):
        with pytest.raises(ModelFileError, match=rf"{path.name} is not a model") as caught:
            load_model(path)
        assert "export it" in str(caught.value)


def test_damaged_weights(model_file, tmp_path):
    """A flipped byte in the middle of an otherwise complete file."""
    data = bytearray(model_file.read_bytes())
    with zipfile.ZipFile(model_file) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    middle = largest.header_offset + largest.file_size // 2
    data[middle] ^= 0xFF
    path = tmp_path / "model.pt"
    path.write_bytes(bytes(data))
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(path)


@pytest.mark.parametrize(("major", "remedy"), [(9, "update ase_rholearn"), (0, "export it again")])
def test_other_file_versions_are_refused_by_name(card, major, remedy):
    data = json.loads(card.to_json())
    data["schema"] = [major, 0]
    with pytest.raises(ValueError, match=rf"'random' has file version {major}\.0.*{remedy}"):
        ModelCard.from_json(json.dumps(data))


def test_later_minor_versions_load(card):
    data = json.loads(card.to_json())
    data["schema"] = [SCHEMA_VERSION[0], 7]
    data["invented later"] = 1
    assert ModelCard.from_json(json.dumps(data)) == card


def test_history_of_a_training(card):
    """Later versions may say more of it; files without it load."""
    data = json.loads(card.to_json())
    data["history"]["invented later"] = 1
    assert ModelCard.from_json(json.dumps(data)) == card
    del data["history"]
    assert ModelCard.from_json(json.dumps(data)) == dataclasses.replace(card, history=None)
    for changes, message in (
        ({"part": "test"}, "part is 'test': give"),
        ({"training": (1.0,)}, "training has 1 errors, for 2 epochs"),
        ({"stages": {"start": np.nan}}, "errors that are no numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(card.history, **changes)


def test_unknown_species_names_the_models_own(model):
    with pytest.raises(ValueError, match=r"atoms: the model 'random'.*N.*H, C, O"):
        model.coefficients([molecule("NH3")])


def test_untrained_charge(model):
    atoms = molecule("H2O")
    atoms.info["charge"] = 2
    with pytest.raises(ValueError, match=r"atoms has charge \+2.*trained on charges \[-1, 0\]"):
        model.coefficients([atoms])
    atoms.info["charge"] = -1
    model.coefficients([atoms])


def test_error_in_a_list_names_the_index(model):
    bad = molecule("H2O")
    bad.positions[1] = np.nan
    with pytest.raises(ValueError, match=r"atoms\[1\]\.positions of atom 1 is \[nan, nan, nan\]"):
        model.predict([molecule("H2O"), bad])


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("dtype", "float16", "dtype is 'float16': give"),
        ("device", "warp drive", "device is 'warp drive': give one of"),
        ("device", "xla", "device is 'xla': this model supports"),
    ],
)
def test_bad_device_and_dtype(model_file, argument, value, message):
    with pytest.raises(ValueError, match=message):
        load_model(model_file, **{argument: value})


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_absent_cuda(model_file):
    with pytest.raises(ValueError, match="torch finds no CUDA device here"):
        load_model(model_file, "cuda")


def test_pickle_loads_the_file_again(model):
    twin = pickle.loads(pickle.dumps(model))
    atoms = molecule("H2O")
    np.testing.assert_array_equal(twin.coefficients([atoms])[0], model.coefficients([atoms])[0])


def test_threads_share_a_model(model):
    """Eight threads with structures of different sizes get what one thread gets."""
    frames = [molecule(name) for name in ("H2O", "CH4", "C6H6", "CH3CH2OH")] * 2
    expected = [model.coefficients([atoms])[0] for atoms in frames]
    found: list[np.ndarray | None] = [None] * len(frames)

    def work(index: int) -> None:
        for _ in range(5):
            found[index] = model.coefficients([frames[index]])[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)


def test_species_absent_from_the_training_range_still_round_trip(options, tmp_path, randomize):
    """One species only, and a basis that ends at l = 0."""
    basis = Basis.from_shells({"He": [(0, [1.0])]})
    network = randomize(build_network(options, basis))
    path = tmp_path / "helium.pt"
    export_model(network, basis, ModelCard("helium"), path, dtype="float64")
    assert load_model(Path(path), "cpu").coefficients([Atoms("He")])[0].shape == (1,)
