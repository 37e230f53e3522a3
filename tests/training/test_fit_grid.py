"""Cubes and CHGCARs through the command ``fit``: one data set of densities on grids."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.io import write

from ase_rholearn.basis import Basis
from ase_rholearn.density import Density
from ase_rholearn.training import DataSet
from ase_rholearn.training.fitting.job import fit_from_options
from ase_rholearn.training.generation import Progress
from ase_rholearn.training.options import FitOptions, load_options

#: Valence electrons of silicon as two Gaussians; the exact charge, no free atoms.
SI = Basis.from_shells({"Si": [(0, [0.9, 0.3]), (1, [0.5])]}, kind="valence", core_charges={14: 4})


def silicon(seed: int) -> Density:
    atoms = bulk("Si")
    atoms.rattle(0.05, seed=seed)
    random = np.random.default_rng(seed)
    return Density(atoms, SI, np.array([0.3, 1.0, *random.normal(0, 0.05, 3)] * 2))


@pytest.fixture(scope="module")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cubes")
    for seed in (1, 2):
        silicon(seed).write(folder / f"si{seed}.cube", spacing=0.25)
    (folder / "broken.cube").write_text("nothing\n")
    return folder


def options(folder: Path, cubes: Path, **changes: Any) -> FitOptions:
    grid = {
        "kind": "valence",
        "core_charges": {"Si": 4},
        "periodic": True,
        "settings": {"code": "test"},
        "l_max": 2,
    }
    plan = {"sources": [str(cubes / "*.cube")], "dataset": "data", "converged": True, "grid": grid}
    (folder / "fit.yaml").write_text(yaml.safe_dump({**plan, **changes}))
    return load_options(FitOptions, folder / "fit.yaml")


def fitted(chosen: FitOptions) -> Progress:
    with ThreadPoolExecutor(1) as executor:
        return fit_from_options(chosen, executor)


def test_cubes_become_a_data_set(tmp_path: Path, cubes: Path) -> None:
    chosen = options(tmp_path, cubes)
    assert fitted(chosen) == Progress(done=2, failed=1, total=3)
    made = DataSet.open(tmp_path / "data")
    assert made.settings["source"] == "grid"
    assert made.settings["core_charges"] == {"Si": 4.0}
    assert made.basis.kind == "valence"
    [failure] = made.failures().values()
    assert "broken.cube" in failure["reason"]
    for reference in made:
        density = Density(reference.atoms, made.basis, reference.coefficients)
        assert density.number_of_electrons == pytest.approx(8, abs=1e-5)
        assert reference.fit["nmae"] < 1.0
        assert reference.provenance["file"].endswith(".cube")
    # again: nothing is left to do, and the basis stays
    assert fitted(chosen) == Progress(done=2, failed=1, total=3)


def test_the_density_is_the_one_that_was_written(tmp_path: Path, cubes: Path) -> None:
    fitted(options(tmp_path, cubes))
    made = DataSet.open(tmp_path / "data")
    written = [silicon(seed) for seed in (1, 2)]
    for reference in made:
        [original] = [
            density
            for density in written
            if np.allclose(density.atoms.positions, reference.atoms.positions, atol=1e-5)
        ]
        grid = Density(reference.atoms, made.basis, reference.coefficients).on_grid(spacing=0.3)
        expected = original.on_grid(spacing=0.3)
        error = np.abs(grid.values - expected.values).sum() / expected.values.sum()
        assert error < 0.01


def test_grid_that_is_not_described(tmp_path: Path, cubes: Path) -> None:
    with pytest.raises(ValueError, match=r"si1\.cube is a density on a grid: say what it is"):
        fitted(options(tmp_path, cubes, grid=None, sources=[str(cubes / "si1.cube")]))


def test_convergence_must_be_stated(tmp_path: Path, cubes: Path) -> None:
    with pytest.raises(ValueError, match=r"does not record whether its run had converged"):
        fitted(options(tmp_path, cubes, converged=False))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kohn_sham": {"xc": "PBE"}}, r"kohn_sham is given beside grid"),
        ({"basis": {"beta": 1.5}}, r"basis is given beside grid"),
        ({"grid": {"core_charges": {"Si": 4}}}, r"grid\.kind is missing"),
        ({"grid": {"kind": "valence", "core_charge": {}}}, r"do you mean grid\.core_charges"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, cubes: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        options(tmp_path, cubes, **changes)


def test_chgcar_is_known_by_its_name(tmp_path: Path) -> None:
    from ase.calculators.vasp import VaspChargeDensity

    density = silicon(1)
    grid = density.on_grid(spacing=0.25)
    writer = VaspChargeDensity(filename=None)
    writer.atoms, writer.chg = [density.atoms], [grid.values]
    (tmp_path / "run").mkdir()
    writer.write(str(tmp_path / "run" / "CHGCAR"))
    end = fitted(options(tmp_path, tmp_path / "run", sources=["run/CHGCAR"]))
    assert end == Progress(1, 0, 1)


def test_source_of_unknown_format(tmp_path: Path, cubes: Path) -> None:
    write(tmp_path / "x.xyz", Atoms("H"))
    with pytest.raises(ValueError, match=r"x\.xyz has a format that is not known: give .*CHGCAR"):
        fitted(options(tmp_path, cubes, sources=["x.xyz"]))
