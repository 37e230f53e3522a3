"""Shards: what goes in comes out, and damage anywhere is found and named."""

from __future__ import annotations

import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from data_examples import BASIS, COMPLETE, FULL, assert_same, example, examples, filled, flip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ase_rholearn.density import Density
from ase_rholearn.references import Reference
from ase_rholearn.training import DataSet
from ase_rholearn.training.data import check
from ase_rholearn.training.data.shard import Shard, to_record, write_shard

SUBSETS = [parts for n in range(len(FULL) + 1) for parts in combinations(FULL, n)]


def one_shard(folder: Path, references: list[Reference]) -> Shard:
    records = [(reference.id, to_record(reference)) for reference in references]
    return Shard(write_shard(folder, COMPLETE, records))


@pytest.mark.parametrize("parts", SUBSETS, ids=lambda parts: "-".join(parts) or "none")
def test_round_trip(tmp_path: Path, parts: tuple[str, ...]) -> None:
    """Beside structures that have everything, in one shard."""
    given = [example(1), example(2, parts), example(3)]
    shard = one_shard(tmp_path, given)
    assert len(shard) == 3
    for row, reference in enumerate(given):
        assert shard.ids[row] == reference.id
        assert_same(shard.load(row), reference)
    assert not list(shard.problems())


FLOATS = st.floats(-1e6, 1e6)
INFO = st.dictionaries(
    st.text(max_size=8),
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=20) | st.lists(FLOATS),
    max_size=4,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    numbers=st.lists(st.sampled_from([1, 8]), min_size=1, max_size=6),
    cell=st.none() | arrays(float, (3, 3), elements=st.floats(-50, 50)),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    charge=st.integers(-3, 3),
    info=INFO,
    data=st.data(),
)
def test_round_trip_of_any_structure(
    tmp_path: Path,
    numbers: list[int],
    cell: np.ndarray | None,
    pbc: tuple[bool, bool, bool],
    charge: int,
    info: dict[str, object],
    data: st.DataObject,
) -> None:
    """Positions, cells and info come back bit by bit: the id depends on them."""
    info.pop("charge", None)
    if charge:
        info["charge"] = charge
    positions = data.draw(arrays(float, (len(numbers), 3), elements=FLOATS))
    coefficients = data.draw(arrays(float, BASIS.size(numbers), elements=FLOATS))
    atoms = Atoms(numbers, positions=positions, cell=cell, pbc=pbc, info=info)
    made = example(0, ("energy",), atoms=atoms, coefficients=coefficients)
    loaded = one_shard(tmp_path, [made]).load(0)
    assert_same(loaded, made)
    np.testing.assert_array_equal(loaded.coefficients, coefficients.astype(np.float32))
    assert loaded.atoms.positions.tobytes() == atoms.positions.tobytes()


def test_initial_charges_become_a_total_charge(tmp_path: Path) -> None:
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1]], charges=[-1.0, 0.0])
    made = example(0, (), atoms=atoms, coefficients=np.zeros(BASIS.size([8, 1])))
    loaded = one_shard(tmp_path, [made]).load(0)
    assert loaded.atoms.info == {"charge": -1}
    assert loaded.id == made.id


def test_single_precision_is_enough(tmp_path: Path, dataset: DataSet) -> None:
    """On real densities: the rounding changes 1e-7 of them, a fit misses more than 1e-3."""
    filled = DataSet.create(tmp_path, dataset.basis, dataset.settings)
    filled.extend(dataset)
    random = np.random.default_rng(0)
    for name in dataset.ids:
        exact, stored = dataset.load(name), filled.load(name)
        points = exact.atoms.positions.mean(axis=0) + random.uniform(-3, 3, (2000, 3))
        densities = [
            Density(made.atoms, dataset.basis, made.coefficients, normalize=False).evaluate(points)
            for made in (exact, stored)
        ]
        difference = np.abs(densities[0] - densities[1])
        assert 0 < difference.sum() < 1e-6 * densities[0].sum()
        assert difference.max() < 1e-6 * densities[0].max()


def test_the_same_content_is_the_same_file(tmp_path: Path) -> None:
    given = list(examples(4))
    first, again = one_shard(tmp_path, given), one_shard(tmp_path, given)
    other = one_shard(tmp_path, given[:3])
    assert first.path == again.path != other.path
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    given = list(examples(4))
    path = one_shard(tmp_path, given).path
    flip(path, -2000)
    assert not list(one_shard(tmp_path, given).problems())


def problems_of(path: Path) -> list[str]:
    try:
        return list(Shard(path).problems())
    except ValueError as error:
        assert "is not a shard of a data set, or it is damaged" in str(error) or (  # noqa: PT017
            "update ase_rholearn" in str(error)  # the flipped byte is the version
        )
        return [str(error)]


def test_a_flipped_byte_anywhere_is_found(tmp_path: Path) -> None:
    """Headers, names and numbers alike, without any other error or warning."""
    path = one_shard(tmp_path, list(examples(3, ("energy", "forces")))).path
    content = path.read_bytes()
    assert len(content) < 20_000
    for position in range(0, len(content), 13):  # shares no factor with the layout
        damaged = bytearray(content)
        damaged[position] ^= (0xFF, 0x01, 0x20, 0x80)[position % 4]
        path.write_bytes(damaged)
        found = problems_of(path)
        assert found, position
        assert path.name in found[0]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damage_of_any_kind_is_found(tmp_path: Path, data: st.DataObject) -> None:
    """Cut short, or a stretch overwritten with anything."""
    path = tmp_path / "x.npz"
    if not path.exists():
        one_shard(tmp_path, list(examples(3, ("energy",)))).path.rename(path)
        shutil.copy(path, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    start = data.draw(st.integers(0, len(content) - 1))
    patch = data.draw(st.binary(max_size=30))
    end = data.draw(st.sampled_from([start + len(patch), start, len(content)]))
    path.write_bytes(content[:start] + patch + content[end:])
    assert problems_of(path)


def test_the_damaged_structure_is_named(tmp_path: Path) -> None:
    made = filled(tmp_path, 20)
    [shard] = made.shards
    coefficients = example(11).coefficients.astype("<f4").tobytes()
    flip(shard.path, shard.path.read_bytes().index(coefficients))
    assert list(check(tmp_path)) == [
        f"{shard.path.name}: the content does not match the file's name, a hash of it",
        f"{shard.path.name}: structure {example(11).id} is damaged",
    ]


@pytest.mark.parametrize("length", [0, 10, 0.5, -1])
def test_truncated(tmp_path: Path, length: float) -> None:
    path = one_shard(tmp_path, list(examples(5))).path
    content = path.read_bytes()
    keep = round(length * len(content)) if length == 0.5 else int(length)
    path.write_bytes(content[:keep])
    with pytest.raises(ValueError, match=rf"{path.name} is not a shard .* remove it, and generate"):
        Shard(path)


def test_foreign_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    np.savez_compressed(tmp_path / "b.npz", header=np.zeros(3))
    (tmp_path / "c.npz").write_text("text")
    np.savez(tmp_path / "d.npz", header=np.frombuffer(b'{"schema": 2}', np.uint8))
    np.savez(tmp_path / "e.npz", header=np.array([None, "pickled"], dtype=object))
    for name, reason in {
        "a": r"a\.npz is not a shard of a data set, or it is damaged \('header'\)",
        "b": "is compressed",
        "c": "not a zip file",
        "d": "has schema 2, this version reads 1: update ase_rholearn",
        "e": "no known array",
    }.items():
        with pytest.raises(ValueError, match=reason):
            Shard(tmp_path / f"{name}.npz")


def test_what_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.npz").mkdir()
    with pytest.raises(OSError, match=r"cannot read the shard .*x\.npz: Is a directory"):
        Shard(tmp_path / "x.npz")


def test_arrays_of_another_type_or_length(tmp_path: Path) -> None:
    path = one_shard(tmp_path, list(examples(3))).path
    with np.load(path) as archive:
        content = {name: archive[name] for name in archive.files}
    for name, changed, reason in (
        ("energy", content["energy"].astype("<f4"), "energy is <f4"),
        ("energy", content["energy"][:2], r"energy is <f8 \(2,\), not <f8 \(3,\)"),
        ("coefficients", content["coefficients"][1:], "coefficients is <f4"),
        ("numbers_start", content["numbers_start"][::-1], "numbers_start does not ascend"),
    ):
        np.savez(tmp_path / "x.npz", **{**content, name: changed})
        with pytest.raises(ValueError, match=reason):
            Shard(tmp_path / "x.npz")
