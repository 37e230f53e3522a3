"""The examples, as users run them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.fd import calculate_numerical_forces

from ase_rholearn.references import Reference

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / command[0], *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.slow
def test_demo(tmp_path):
    """Files appear, electrons are exact, and the errors printed are inside the model's bars."""
    output = run(tmp_path, "demo.py")
    printed = [line.rsplit(maxsplit=2) for line in output.splitlines()]
    percents = [float(words[1]) for words in printed if words[-1] == "%"]
    assert len(percents) == 3
    assert max(percents) < 0.5
    assert "60.00000000" in output
    assert "640.00000000" in output
    names = {path.name for path in (tmp_path / "demo-output").iterdir()}
    assert names == {"box.cube", "demo.png", "hexamer.cube"}


@pytest.mark.slow
def test_a_molecule_of_a_smiles(tmp_path):
    """From the density: files, and fewer cycles to the energy of the usual calculation."""
    pytest.importorskip("rdkit")
    output = run(tmp_path, "molecule.py", "O", "--model", "water-pbe", "--basis", "def2-svp")
    table = {line[:18].strip(): line[18:].split() for line in output.splitlines()}
    usual, better = table["SCF"], table["from the density"]
    assert usual[0] == better[0]
    assert int(better[-1]) < int(usual[-1])
    names = {path.name for path in (tmp_path / "molecule-output").iterdir()}
    assert names == {"density.cube", "density.html", "molecule.png"}


@pytest.mark.slow
def test_pictures(tmp_path):
    pytest.importorskip("skimage")
    run(tmp_path, "pictures.py")
    assert (tmp_path / "pictures-output" / "pictures.png").stat().st_size > 50_000
    assert (tmp_path / "pictures-output" / "hexamer.html").stat().st_size < 5_000_000


@pytest.mark.slow
def test_infrared_bands_are_where_they_belong(tmp_path):
    output = run(tmp_path, "infrared.py", "--picoseconds", "2.2")
    places = {line.split()[0]: float(line.split()[1]) for line in output.splitlines()}
    assert 1400 < places["bend"] < 1700
    assert 3400 < places["stretch"] < 3800
    assert (tmp_path / "infrared-output" / "infrared.png").exists()


@pytest.mark.slow
def test_predicted_densities_save_cycles(tmp_path):
    output = run(tmp_path, "scf_cycles.py", "--largest", "1", "--basis", "def2-svp")
    rows = [[int(n) for n in line.split()[1:]] for line in output.splitlines()[1:]]
    for usual, predicted, fitted in rows:
        assert fitted <= predicted < usual
    assert (tmp_path / "scf-output" / "scf-cycles.png").exists()


@pytest.mark.slow
def test_bands_of_silicon(tmp_path):
    options = ("--basis", "gth-szv", "--npoints", "8", "--dos", "1")
    output = run(tmp_path, "silicon_bands.py", *options)
    printed = [line.split() for line in output.splitlines()]
    assert float(printed[1][-2]) < 10  # bands, meV
    assert abs(float(printed[2][-2])) < 1  # energy, meV
    assert (tmp_path / "bands-output" / "silicon.png").exists()


def test_force_field_of_the_infrared_example():
    spec = importlib.util.spec_from_file_location("infrared", EXAMPLES / "infrared.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    atoms = Reference.load(EXAMPLES / "water-hexamer.npz").atoms.copy()
    atoms.rattle(0.05, seed=0)
    atoms.calc = module.FlexibleSPC()
    numerical = calculate_numerical_forces(atoms, eps=1e-5, iatoms=[0, 1, 8])
    np.testing.assert_allclose(atoms.get_forces()[[0, 1, 8]], numerical, atol=1e-6)


@pytest.mark.slow
def test_relaxation_on_a_density_alone(tmp_path):
    """It ends where the self-consistent one does."""
    output = run(tmp_path, "harris_relaxation.py", "--molecules", "1", "--level", "1")
    assert float(output.split()[-2]) < 0.002
    assert (tmp_path / "harris-output" / "relaxation.png").stat().st_size > 10_000


@pytest.mark.slow
def test_dynamics_on_a_density_alone(tmp_path):
    """Steps, a picture, and on from where it was."""
    common = ("harris_dynamics.py", "--level", "0", "--picoseconds")
    run(tmp_path, *common, "0.003")
    output = run(tmp_path, *common, "0.006")
    assert output.startswith("0.01 ps")
    assert (tmp_path / "harris-output" / "dynamics.png").stat().st_size > 10_000
