"""Active learning: which structures are chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read, write
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ase_rholearn import load_model
from ase_rholearn.cli import app
from ase_rholearn.model import DensityModel
from ase_rholearn.references.pyscf import PySCF
from ase_rholearn.training import DataSet
from ase_rholearn.training.selection import Candidate, candidates, select, write_selected


@pytest.fixture(scope="module")
def model() -> DensityModel:
    return load_model("water-pbe", "cpu")


def stretched(factor: float) -> Atoms:
    atoms = molecule("H2O")
    atoms.set_distance(0, 1, factor * atoms.get_distance(0, 1), fix=0)
    return atoms


def test_what_the_model_expects(model: DensityModel) -> None:
    """Ten structures in batches are as one by one; electrons are those of the molecule."""
    structures = [stretched(1 + 0.02 * k) for k in range(10)]
    counts: list[int] = []
    found = candidates(model, structures, counts.append)
    assert counts == [8, 10]
    for atoms, one in zip(structures, found, strict=True):
        known = model.uncertainty([atoms])[0]
        assert one.atoms is atoms
        assert one.expected_percent == pytest.approx(100 * known.errors.sum() / 10, rel=1e-3)
        assert one.extrapolation == pytest.approx(known.extrapolation.max(), rel=1e-3)


def test_stretched_bonds_are_chosen_first(model: DensityModel) -> None:
    found = candidates(model, [stretched(factor) for factor in (1.0, 1.4, 1.1)])
    [chosen] = select(found, 1)
    assert chosen.atoms is found[1].atoms
    assert chosen.extrapolation > 1


def test_structures_are_checked(model: DensityModel) -> None:
    structures = [molecule("H2O")] * 9 + [molecule("CH4")]
    with pytest.raises(ValueError, match=r"structures\[9\].*C"):
        candidates(model, structures)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.floats(0, 100)),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 40),
)
def test_groups_take_turns(entries: list[tuple[str, float]], count: int) -> None:
    """No group has two more than another that could have had one more; each in its own order."""
    found = []
    for name, error in entries:
        atoms = Atoms("H", info={"smiles": name})
        found.append(Candidate(atoms, error, 0.0))
    chosen = select(found, count, group="smiles")
    assert len(chosen) == min(count, len(found))
    assert len({id(one) for one in chosen}) == len(chosen)
    total = {name: [e for n, e in entries if n == name] for name, _ in entries}
    taken = {n: [c.expected_percent for c in chosen if c.atoms.info["smiles"] == n] for n in total}
    most = max(map(len, taken.values()))
    for name, errors in taken.items():
        assert errors == sorted(total[name], reverse=True)[: len(errors)]
        assert len(errors) >= min(most - 1, len(total[name]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count is 0: give 1 or more"),
        ({"count": 1, "group": "name", "argument": "--group"}, "--group is 'name', but .* H2O"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select([Candidate(molecule("H2O"), 1.0, 0.0)], **arguments)  # type: ignore[arg-type]


def test_file(tmp_path: Path) -> None:
    atoms = molecule("H2O")
    atoms.info["smiles"] = "O"
    write_selected(tmp_path / "chosen.xyz", [Candidate(atoms, 1.25, 0.5)])
    read_back = read(tmp_path / "chosen.xyz")
    assert read_back.info == {"smiles": "O", "expected_percent": 1.25, "extrapolation": 0.5}
    np.testing.assert_allclose(read_back.positions, atoms.positions, atol=1e-8)
    assert "expected_percent" not in atoms.info


def test_command(tmp_path: Path, model: DensityModel) -> None:
    """What a data set has is left out."""
    structures = [stretched(factor) for factor in (1.0, 1.05, 1.4)]
    write(tmp_path / "candidates.xyz", structures)
    structures = read(tmp_path / "candidates.xyz", index=":")
    code = PySCF(model.basis)
    dataset = DataSet.create(tmp_path / "data", code.basis, code.settings())
    arguments = ["select", str(tmp_path / "candidates.xyz"), "--model", "water-pbe"]
    arguments += ["--known", str(tmp_path / "data"), "-n", "2", "-o", str(tmp_path / "chosen.xyz")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "wrote 2 of 3 structures" in result.output
    chosen = read(tmp_path / "chosen.xyz", index=":")
    np.testing.assert_allclose(chosen[0].positions, structures[2].positions)

    reference = code.reference(structures[2])
    dataset.add(reference)
    result = CliRunner().invoke(app, arguments)
    assert "wrote 2 of 2 structures" in result.output
    assert all(a.info["extrapolation"] < 1 for a in read(tmp_path / "chosen.xyz", index=":"))
