"""Data sets on disk: nothing enters twice or unfit, and what is damaged is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn.basis import Basis
from ase_rholearn.references import Reference, settings_with_basis
from ase_rholearn.training import DataSet, split_ids

BASIS = Basis.from_shells({"H": [(0, [1.0, 0.3])]})
SETTINGS = {"code": "none", "xc": "PBE"}


def fitted(distance: float = 0.74, **changes: object) -> Reference:
    made = Reference(
        atoms=Atoms("H2", [[0, 0, 0], [0, 0, distance]]),
        coefficients=np.arange(4.0),
        settings=settings_with_basis(SETTINGS, BASIS),
        converged=True,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_add_load_and_open(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path / "d", BASIS, SETTINGS)
    made.add(fitted(0.7))
    made.add(fitted(0.8))
    opened = DataSet.open(tmp_path / "d")
    assert opened.basis == BASIS
    assert opened.settings == made.settings
    assert len(opened) == 2
    assert {reference.atoms.get_distance(0, 1) for reference in opened} == {0.7, 0.8}


def test_the_same_reference_enters_once(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    for _ in range(2):
        made.add(fitted())
    assert made.ids == [fitted().id] == [made.id_of(fitted().atoms)]


def test_create_again_opens(tmp_path: Path) -> None:
    DataSet.create(tmp_path, BASIS, SETTINGS).add(fitted())
    assert len(DataSet.create(tmp_path, BASIS, SETTINGS)) == 1


def test_other_settings_or_basis_are_refused(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    with pytest.raises(
        ValueError, match=r"other settings \(xc: 'PBE' and 'LDA'\): choose another fo"
    ):
        DataSet.create(tmp_path, BASIS, {**SETTINGS, "xc": "LDA"})
    other = Basis.from_shells({"H": [(0, [1.0])]})
    with pytest.raises(
        ValueError, match=r"with other settings \(basis.sha256: .*\): choose another"
    ):
        DataSet.create(tmp_path, other, SETTINGS)
    foreign = fitted(settings=settings_with_basis({"code": "other"}, BASIS))
    with pytest.raises(ValueError, match=r"reference of H2 was made with other settings .*: refit"):
        made.add(foreign)
    assert len(made) == 0


@pytest.mark.parametrize("converged", [False, None])
def test_only_converged_references_enter(tmp_path: Path, converged: bool | None) -> None:
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    with pytest.raises(ValueError, match=r"H2 is not known to have converged: only converged ones"):
        made.add(fitted(converged=converged))
    assert len(made) == 0


def test_coefficients_of_another_length(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    with pytest.raises(ValueError, match=r"coefficients has shape \(3,\) but this basis has 4"):
        made.add(fitted(coefficients=np.zeros(3)))
    with pytest.raises(ValueError, match=r"coefficients contains 4 NaN or infinity"):
        made.add(fitted(coefficients=np.full(4, np.nan)))


def test_a_file_from_another_data_set_is_noticed(tmp_path: Path) -> None:
    """Same sizes, other metric: nothing but the settings tells them apart."""
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    fitted(settings=settings_with_basis({"metric": "overlap"}, BASIS)).save(made.path("stray"))
    with pytest.raises(ValueError, match=r"stray\.npz was made with other settings .*: remove it"):
        made.load("stray")


def test_damaged_reference(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    made.path("bad").write_text("x")
    with pytest.raises(ValueError, match=r"bad\.npz is not a reference file .* delete it and gen"):
        list(made)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"schema": 1}', '{"schema": 1, "basis": 3}'])
def test_damaged_header(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=r"dataset\.json is damaged \(.*\): generate the data set"):
        DataSet.open(tmp_path)


def test_newer_header(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"schema": 2}))
    with pytest.raises(
        ValueError, match=r"has schema 2, this version reads 1: update ase_rholearn"
    ):
        DataSet.open(tmp_path)


def test_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no data set .*: generate one first"):
        DataSet.open(tmp_path)


def test_failures_are_listed(tmp_path: Path) -> None:
    made = DataSet.create(tmp_path, BASIS, SETTINGS)
    made.report_failure(fitted().atoms, "no convergence")
    entry = json.loads((tmp_path / "failures.jsonl").read_text())
    assert entry == {"id": fitted().id, "formula": "H2", "reason": "no convergence"}


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.text("abc0123", min_size=1), min_size=3, max_size=40),
    st.floats(0, 0.4),
    st.floats(0, 0.4),
    st.integers(0, 100),
)
def test_split(names: set[str], validation: float, test: float, seed: int) -> None:
    """Every structure is in exactly one part, whatever the order of the names."""
    ordered = sorted(names)
    try:
        split = split_ids(ordered, validation, test, seed)
    except ValueError as error:
        assert "are too few for validation" in str(error)  # noqa: PT017
        return
    assert split == split_ids(ordered[::-1], validation, test, seed)
    assert sorted(name for part in split.values() for name in part) == ordered
    assert len(split["test"]) == round(test * len(names))


def test_split_depends_on_the_seed() -> None:
    names = [f"{i}" for i in range(50)]
    assert split_ids(names, 0.2, 0.2, 0) != split_ids(names, 0.2, 0.2, 1)


def test_too_few_structures() -> None:
    with pytest.raises(ValueError, match=r"1 structures are too few for validation = 0.5 and test"):
        split_ids(["a"], 0.5, 0.4, 0)
    with pytest.raises(ValueError, match=r"validation is 0.5 and test is 0.5: give fractions that"):
        split_ids(["a", "b", "c"], 0.5, 0.5, 0)
