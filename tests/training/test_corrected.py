"""References that linear response makes of predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

from ase_rholearn import Density, load_model
from ase_rholearn.basis import Basis
from ase_rholearn.density import nmae
from ase_rholearn.references import NotConvergedError, Reference
from ase_rholearn.references.pyscf import KohnSham, reference
from ase_rholearn.training import DataSet
from ase_rholearn.training.data import merge
from ase_rholearn.training.generation import corrected
from ase_rholearn.training.generation.corrected import METHOD, CorrectedPredictions
from ase_rholearn.training.generation.job import generate_from_options
from ase_rholearn.training.options import GenerateOptions

LEVEL = KohnSham("PBE", "def2-svp", grid_level=1, forces=False)


@pytest.fixture(scope="module")
def basis() -> Basis:
    return load_model("water-pbe", "cpu").basis


@pytest.fixture(scope="module")
def water() -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(0.05, rng=np.random.default_rng(1))
    return atoms


@pytest.fixture(scope="module")
def made(basis: Basis, water: Atoms) -> Reference:
    return CorrectedPredictions(basis, "water-pbe", LEVEL).reference(water)


def test_it_is_near_the_self_consistent_one(basis: Basis, water: Atoms, made: Reference) -> None:
    """Far nearer than the prediction, although that was made for another orbital basis."""
    exact = reference(water, basis, LEVEL)
    densities = [Density(water, basis, one.coefficients) for one in (made, exact)]
    model = load_model("water-pbe", "cpu")
    predicted = Density(water, basis, model.coefficients([water])[0])
    error = nmae(*densities)
    assert error < 0.05
    assert error < 0.2 * nmae(predicted, densities[1])
    assert made.energy == pytest.approx(exact.energy, abs=0.03)
    np.testing.assert_allclose(made.dipole, exact.dipole, atol=0.005)


def test_it_says_how_it_was_made(basis: Basis, water: Atoms, made: Reference) -> None:
    code = CorrectedPredictions(basis, "water-pbe", LEVEL)
    assert made.atoms.info["method"] == METHOD
    assert "method" not in water.info
    settings = {k: v for k, v in made.settings.items() if k != "basis"}
    assert settings == code.settings()
    assert settings["model"] == load_model("water-pbe", "cpu").fingerprint
    assert made.occupied_orbitals is not None
    bare = CorrectedPredictions(basis, "water-pbe", LEVEL, keep_orbitals=False).reference(water)
    assert bare.occupied_orbitals is None


def test_large_responses_are_refused(
    basis: Basis, water: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrected, "_FARTHEST", 1e-6)
    code = CorrectedPredictions(basis, "water-pbe", LEVEL)
    with pytest.raises(NotConvergedError, match=r"H2O, more than 0.0001 %: .*self-consistently"):
        code.reference(water)


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (replace(LEVEL, forces=True), "kohn_sham.forces is true: .* set it to false"),
        (replace(LEVEL, xc="LDA,VWN"), "trained on densities of PBE, but kohn_sham.xc is LDA,VWN"),
    ],
)
def test_levels_that_do_not_fit(basis: Basis, level: KohnSham, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorrectedPredictions(basis, "water-pbe", level)


def test_job_and_mixed_merge(tmp_path: Path, water: Atoms) -> None:
    """``model:`` in the options; the results join self-consistent ones, which come first."""
    write(tmp_path / "water.xyz", water)
    write(tmp_path / "more.xyz", [water, molecule("H2O")])
    level = {"xc": "PBE", "orbital_basis": "def2-svp", "grid_level": 1, "forces": False}
    given = {"kohn_sham": level, "basis": {"name": "def2-universal-jkfit"}}
    for name, more in (
        ("exact", {"structures": tmp_path / "water.xyz"}),
        ("fast", {"structures": tmp_path / "more.xyz", "model": "water-pbe"}),
    ):
        options = GenerateOptions.model_validate({"dataset": tmp_path / name, **given, **more})
        assert generate_from_options(options).failed == 0
    exact, fast = DataSet.open(tmp_path / "exact"), DataSet.open(tmp_path / "fast")
    with pytest.raises(ValueError, match=r"method: 'rks' and 'linear response'.*may be mixed"):
        merge([exact.folder, fast.folder], tmp_path / "all")
    both = merge([exact.folder, fast.folder], tmp_path / "all", mixed=True)
    assert both.settings == exact.settings
    assert len(both) == 2
    methods = [one.atoms.info.get("method") for one in both]
    assert sorted(map(str, methods)) == ["None", METHOD]
    assert set(exact.ids) < set(both.ids)


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_memory is for self-consistent runs"):
        GenerateOptions.model_validate(
            {
                "structures": "a.xyz",
                "dataset": tmp_path,
                "model": "water-pbe",
                "max_memory": 100.0,
            }
        )
