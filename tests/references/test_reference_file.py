"""Files of references: nothing is lost, damage is noticed, and ids mean what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ase_rholearn.references import Reference, reference_id

PROPERTY = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LEVEL = {"code": "none", "basis": {"name": "b", "sha256": "0"}}


def assert_equal(first: Reference, second: Reference) -> None:
    assert first.atoms == second.atoms
    assert first.settings == second.settings
    for name in ("converged", "energy", "fit", "id"):
        assert getattr(first, name) == getattr(second, name)
    for name in ("coefficients", "forces", "dipole", "occupied_orbitals"):
        a, b = getattr(first, name), getattr(second, name)
        assert (a is None) == (b is None)
        assert a is None or (a.dtype == b.dtype and (a == b).all())


@st.composite
def references(draw: Any) -> Reference:
    n = draw(st.integers(1, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pbc = draw(st.booleans())
    atoms = Atoms(
        random.integers(1, 90, n),
        positions=10 * random.normal(size=(n, 3)),
        cell=random.normal(size=(3, 3)) if pbc else None,
        pbc=pbc,
        info={"charge": draw(st.integers(-3, 3)), "name": draw(st.text(max_size=5))},
    )
    return Reference(
        atoms=atoms,
        coefficients=random.normal(size=draw(st.integers(1, 30))),
        settings=LEVEL,
        converged=draw(st.sampled_from([True, False, None])),
        energy=draw(st.none() | st.floats(-1e6, 1e6)),
        forces=draw(st.sampled_from([None, random.normal(size=(n, 3))])),
        dipole=draw(st.sampled_from([None, random.normal(size=3)])),
        occupied_orbitals=draw(st.sampled_from([None, np.ones((4, 2), np.float32)])),
        fit={"electron_error": draw(st.floats(-1, 1))},
    )


@PROPERTY
@given(references())
def test_round_trip(tmp_path: Path, made: Reference) -> None:
    made.save(tmp_path / "r.npz")
    assert_equal(Reference.load(tmp_path / "r.npz"), made)


def test_round_trip_of_a_run(tmp_path: Path, water_reference: Reference) -> None:
    water_reference.save(tmp_path / "water.npz")
    assert_equal(Reference.load(tmp_path / "water.npz"), water_reference)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, bytes]:
    made = Reference(Atoms("H"), np.arange(50.0), LEVEL, converged=True)
    path = tmp_path_factory.mktemp("saved") / "h.npz"
    made.save(path)
    return made, path.read_bytes()


@PROPERTY
@given(data=st.data())
def test_truncated_file(
    tmp_path: Path, saved: tuple[Reference, bytes], data: st.DataObject
) -> None:
    whole = saved[1]
    path = tmp_path / "cut.npz"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match=r"cut\.npz is not a reference file .*: delete it and gen"):
        Reference.load(path)


@PROPERTY
@given(data=st.data())
def test_damaged_byte(tmp_path: Path, saved: tuple[Reference, bytes], data: st.DataObject) -> None:
    """Either it is noticed, or it did not matter."""
    made, whole = saved
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "damaged.npz"
    path.write_bytes(damaged)
    try:
        loaded = Reference.load(path)
    except ValueError as error:
        assert "damaged.npz is not a reference file" in str(error)  # noqa: PT017
    else:
        assert_equal(loaded, made)


def test_files_of_others(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.arange(3))
    np.savez(tmp_path / "archive.npz", x=np.arange(3))
    (tmp_path / "text.npz").write_text("hello")
    for name in ("array.npy", "archive.npz", "text.npz"):
        with pytest.raises(ValueError, match=rf"{name} is not a reference file of ase_rholearn"):
            Reference.load(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"there is no reference file .*none\.npz"):
        Reference.load(tmp_path / "none.npz")


def test_newer_schema(tmp_path: Path) -> None:
    header = np.frombuffer(json.dumps({"schema": 99}).encode(), dtype=np.uint8)
    np.savez(tmp_path / "new.npz", header=header)
    with pytest.raises(ValueError, match=r"new\.npz has schema 99, this version reads 1: generate"):
        Reference.load(tmp_path / "new.npz")


@pytest.mark.parametrize("charge", ["numpy", "initial"])
def test_charge_survives(tmp_path: Path, charge: str) -> None:
    """Orbitals that are read back must belong to the same number of electrons."""
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1]])
    if charge == "numpy":
        atoms.info["charge"] = np.int64(-1)
    else:
        atoms.set_initial_charges([-1.0, 0.0])
    made = Reference(atoms, np.zeros(3), LEVEL)
    made.save(tmp_path / "oh.npz")
    loaded = Reference.load(tmp_path / "oh.npz")
    assert loaded.atoms.info["charge"] == -1
    assert loaded.id == made.id


def test_what_is_not_plain_data_is_left_out(tmp_path: Path) -> None:
    atoms = Atoms("H", info={"array": np.ones(3), "name": "x"})
    Reference(atoms, np.zeros(3), LEVEL).save(tmp_path / "h.npz")
    assert Reference.load(tmp_path / "h.npz").atoms.info == {"name": "x"}


def test_unwritable_path(tmp_path: Path) -> None:
    made = Reference(Atoms("H"), np.zeros(3), LEVEL)
    with pytest.raises(OSError, match=r"cannot write .*h\.npz: No such file .* in the folder"):
        made.save(tmp_path / "missing" / "h.npz")


def test_id_depends_on_what_matters() -> None:
    """Geometry, charge and settings; not on names, nor on digits that text files drop."""
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1.0]])
    base = reference_id(atoms, LEVEL)
    named = atoms.copy()
    named.info["name"] = "hydroxide"
    named.positions += 4e-9
    assert reference_id(named, LEVEL) == base
    moved, charged, periodic = atoms.copy(), atoms.copy(), atoms.copy()
    moved.positions[1, 2] += 1e-6
    charged.info["charge"] = -1
    periodic.set_cell([9, 9, 9])
    others = [reference_id(a, LEVEL) for a in (moved, charged, periodic, atoms[::-1])]
    others.append(reference_id(atoms, {**LEVEL, "code": "other"}))
    assert len({base, *others}) == 6


def test_id_of_one_ion_however_its_charge_is_given() -> None:
    first = Atoms("OH", [[0, 0, 0], [0, 0, 1.0]], info={"charge": -1})
    second = Atoms("OH", [[0, 0, 0], [0, 0, 1.0]], charges=[-0.5, -0.5])
    assert reference_id(first, LEVEL) == reference_id(second, LEVEL)


def test_id_of_a_reference(water_reference: Reference) -> None:
    assert water_reference.id == reference_id(water_reference.atoms, water_reference.settings)
    assert replace(water_reference, energy=0.0).id == water_reference.id
