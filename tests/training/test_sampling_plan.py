"""The chain of all steps: inputs do not disturb each other, failures are listed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read, write

from ase_rholearn.training.sampling import (
    XTB,
    Conformers,
    Dynamics,
    Failed,
    Rattle,
    Sampled,
    SamplingPlan,
    Smiles,
    sample,
    sample_smiles,
    sample_structure,
)

pytest.importorskip("rdkit")
pytest.importorskip("tblite")

ALL = SamplingPlan(
    conformers=Conformers(count=2),
    relax=XTB(),
    dynamics=Dynamics(frames=2, spacing_fs=4, equilibration_fs=4),
    rattle=Rattle(copies=2, stdev=0.03),
)


def positions(results: Sequence[Sampled | Failed]) -> dict[str, list[list[Any]]]:
    """By input: formula with charge, or name of what failed."""
    found: dict[str, list[list[Any]]] = {}
    for result in results:
        if isinstance(result, Failed):
            found.setdefault("failed", []).append([result.reason])
        else:
            key = f"{result.atoms.symbols} {result.atoms.info.get('charge', 0)}"
            found.setdefault(key, []).append(result.atoms.positions.tolist())
    return found


def test_all_steps() -> None:
    results = list(sample([], [Smiles("OCC", "ethanol")], ALL, seed=1))
    assert [type(result) for result in results] == [Sampled] * 8  # 2 conformers, frames, copies
    assert results[0].name == "ethanol, conformer 0, frame 0"
    assert results[-1].name == "ethanol, conformer 1, frame 1"
    for result in results:
        assert isinstance(result, Sampled)
        assert result.atoms.info == {
            "smiles": "CCO",
            "name": "ethanol",
            "source": "rattling",
            "temperature": 300.0,
        }
    assert pickle.loads(pickle.dumps(results[0])).name == results[0].name


@pytest.mark.parametrize(
    ("plan", "source", "count"),
    [
        (SamplingPlan(), None, 1),
        (SamplingPlan(relax=XTB()), "relaxation", 1),
        (SamplingPlan(dynamics=ALL.dynamics), "dynamics", 2),
        (SamplingPlan(rattle=ALL.rattle), "rattling", 2),
        (SamplingPlan(rattle=Rattle(copies=2, original=True)), "rattling", 3),
    ],
)
def test_steps_alone(plan: SamplingPlan, source: str | None, count: int) -> None:
    water = molecule("H2O")
    results = list(sample([water], plan=plan))
    assert len(results) == count
    last = results[-1]
    assert isinstance(last, Sampled)
    assert last.name.startswith("structure 0 (H2O)")
    assert last.atoms.info.get("source") == source
    assert water.info == {}
    if source is None:
        assert last.atoms == water


def test_inputs_do_not_depend_on_each_other_nor_on_their_order() -> None:
    structures = [molecule("H2O"), molecule("NH3")]
    smiles = ["CO", "[NH4+]", "[CH3]"]
    whole = positions(list(sample(structures, smiles, ALL, seed=3)))
    turned = positions(list(sample(structures[::-1], smiles[::-1], ALL, seed=3)))
    assert whole == turned
    alone = positions(list(sample([], ["OC"], ALL, seed=3)))
    assert alone.items() <= whole.items()
    alone = positions(list(sample([molecule("NH3")], [], ALL, seed=3)))
    assert alone.items() <= whole.items()
    other = positions(list(sample(structures, smiles, ALL, seed=4)))
    assert other.keys() == whole.keys()
    assert all(whole[key] != other[key] for key in whole if key != "failed")


def test_the_parts_are_the_whole() -> None:
    """So that inputs can be spread over machines."""
    water = molecule("H2O")
    parts = [
        *sample_structure(water, ALL, 2, name="structure 0 (H2O)"),
        *sample_smiles("CO", ALL, 2),
    ]
    whole = list(sample([water], ["CO"], ALL, seed=2))
    assert positions(parts) == positions(whole)
    assert [part.name for part in parts] == [one.name for one in whole]


def test_charge_is_kept() -> None:
    for result in sample([], ["[NH4+]", "[O-]C=O"], ALL, seed=0):
        assert isinstance(result, Sampled)
        assert (
            result.atoms.info["charge"] == {"[NH4+]": 1, "O=C[O-]": -1}[result.atoms.info["smiles"]]
        )


@pytest.mark.parametrize("smiles", ["N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"])
def test_chirality_is_kept(smiles: str) -> None:
    from rdkit.Chem import CanonSmiles
    from test_sampling_conformers import smiles_of

    plan = SamplingPlan(Conformers(count=1), ALL.relax, ALL.dynamics, ALL.rattle)
    for result in sample([], [smiles], plan):
        assert isinstance(result, Sampled)
        assert smiles_of(result.atoms) == CanonSmiles(smiles)


def test_failures_are_listed_and_the_others_go_on() -> None:
    close = Atoms("H2", [[0, 0, 0], [0, 0, 0.1]], info={"name": "squeezed"})
    radical = molecule("OH")
    plan = SamplingPlan(relax=XTB(), rattle=Rattle())
    results = list(
        sample(
            [close, radical, molecule("H2O")],
            [Smiles("C1CC", "ring"), "[CH3]", "C"],
            plan,
        )
    )
    failures = {r.name: r.reason for r in results if isinstance(r, Failed)}
    assert list(failures) == ["structure 0 (squeezed)", "structure 1 (HO)", "ring", "[CH3]"]
    assert failures["structure 0 (squeezed)"].startswith("structure: atoms: atoms 0 and 1 overlap")
    assert "relax: HO with charge 0 has 9 electrons" in failures["structure 1 (HO)"]
    assert failures["ring"].startswith("conformers: 'C1CC' is not a SMILES")
    assert "radical" in failures["[CH3]"]
    assert sum(isinstance(r, Sampled) for r in results) == 2


def test_frames_before_a_reaction_are_kept() -> None:
    hot = Dynamics(temperature=5000, frames=400, spacing_fs=1, equilibration_fs=0)
    *good, last = sample([molecule("H2O2")], plan=SamplingPlan(dynamics=hot))
    assert isinstance(last, Failed)
    assert last.reason.startswith(f"dynamics, after {len(good)} of 400 frames: ")
    assert 0 < len(good) < 400
    assert all(isinstance(result, Sampled) for result in good)


def test_what_is_there_twice_is_sampled_once() -> None:
    water = molecule("H2O")
    water.info["name"] = "again"
    results = list(sample([molecule("H2O"), water], ["CO", "OC"], SamplingPlan()))
    assert [result.name for result in results] == ["structure 0 (H2O)", "CO"]


def test_progress() -> None:
    seen: list[tuple[int, int]] = []
    results = sample([molecule("H2O")], ["C", "[CH3]"], on_progress=lambda *n: seen.append(n))
    list(results)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_survives_a_file(tmp_path: Path) -> None:
    """Structures and what they are made of are the same after extended XYZ."""
    results = list(sample([], ["[NH4+]"], ALL, seed=5))
    frames = [result.atoms for result in results if isinstance(result, Sampled)]
    write(tmp_path / "sampled.xyz", frames, format="extxyz")
    again = read(tmp_path / "sampled.xyz", ":")
    for one, other in zip(frames, again, strict=True):
        assert one.info == other.info
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({}, ValueError, "structures and smiles are empty"),
        ({"smiles": "CO"}, TypeError, "smiles is 'CO': give a list"),
        ({"smiles": ["CO"], "seed": -1}, ValueError, "seed is -1"),
        ({"smiles": ["CO"], "seed": 0.5}, TypeError, "seed is 0.5"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        sample(**arguments)


@pytest.mark.parametrize(
    ("package", "plan"), [("rdkit", SamplingPlan()), ("tblite", SamplingPlan(relax=XTB()))]
)
def test_missing_packages(
    package: str, plan: SamplingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"{package} is not installed: pip install 'ase-rholearn\[sampling\]'"
    with pytest.raises(ImportError, match=message):
        sample([molecule("H2O")], ["CO"], plan)


def test_import_is_light() -> None:
    script = (
        "import sys, ase_rholearn.training.sampling; "
        "print(*[m for m in ('rdkit', 'tblite') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
