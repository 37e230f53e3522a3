"""Radial functions from the files of runs that rebuild densities, on functions that are known."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms, units
from ase.io import read
from fits import write_fit
from radial import FUNCTIONS, atomic_overlap, info_of, product_basis, radial, run_made_up_aims

from ase_rholearn import Basis, Density
from ase_rholearn.aims import RIFit
from ase_rholearn.aims.recovery import (
    Recovered,
    plan_displacements,
    recover_functions,
    recovery_structure,
    set_up_recovery,
)
from ase_rholearn.aims.settings import AimsSettings
from ase_rholearn.basis import UnknownShell
from ase_rholearn.training.options import load_options
from ase_rholearn.training.options.aims import AimsOptions

ATOMS = recovery_structure(["H", "O"])


@pytest.fixture(scope="module")
def settings(species: Path) -> AimsSettings:
    return AimsSettings(species_directory=species)


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a fit of separate atoms."""
    info = info_of(ATOMS)
    layout, overlap = info.layout, atomic_overlap(ATOMS)
    coefficients = np.where(layout.l == 0, 0.3, 0.02)
    coefficients *= 18 / (product_basis().electrons(ATOMS.numbers) @ coefficients)
    made = RIFit(info, coefficients, overlap @ coefficients, overlap, 240925)
    folder = write_fit(tmp_path_factory.mktemp("recovery") / "fit", made)
    lines = [
        f"atom {x} {y} {z} {symbol}\n"
        for symbol, (x, y, z) in zip(ATOMS.symbols, ATOMS.positions.tolist(), strict=True)
    ]
    (folder / "geometry.in").write_text("".join(lines))
    return folder


def recovered(fit: Path, root: Path, settings: AimsSettings, **program: float) -> Recovered:
    for run, folder in enumerate(set_up_recovery(fit, root, settings, experimental=True)):
        assert "read 0" in (folder / "control.in").read_text()
        run_made_up_aims(folder, order=run, **program)
    return recover_functions(root)


@pytest.fixture(scope="module")
def found(fit: Path, settings: AimsSettings, tmp_path_factory: pytest.TempPathFactory) -> Recovered:
    """By a program that takes coefficients as they are, and writes bohr."""
    return recovered(fit, tmp_path_factory.mktemp("runs"), settings, unit=1.0)


def check_functions(found: Recovered) -> None:
    r = np.linspace(0.01, 9.5, 300)
    for z, symbol in ((1, "H"), (8, "O")):
        keys = [(l, n) for l, own in FUNCTIONS[symbol].items() for n in range(len(own))]
        assert [shell.l for shell in found.shells[z]] == [l for l, _ in keys]
        for shell, (l, n) in zip(found.shells[z], keys, strict=True):
            expected = radial(symbol, l, n, r)
            np.testing.assert_allclose(
                shell.radial(r), expected, rtol=0, atol=5e-5 * np.abs(expected).max()
            )


def test_radial_functions_come_back(found: Recovered) -> None:
    check_functions(found)
    assert found.residual < 1e-8
    assert found.asymmetry < 1e-8
    assert found.overlap_error is not None
    assert found.overlap_error < 1e-5
    one, other = product_basis(), product_basis().with_functions(found.shells)
    np.testing.assert_allclose(other.electrons([1, 8]), one.electrons([1, 8]), rtol=1e-4)


def test_normalisation_does_not_matter(fit: Path, settings: AimsSettings, tmp_path: Path) -> None:
    """Nor does the unit of coordinates. A program of simple rules is 0.1 % off in electrons."""
    root = tmp_path / "runs"
    with_scale = recovered(fit, root, settings, unit=units.Bohr, electrons=18.0)
    assert with_scale.overlap_error is not None
    assert with_scale.overlap_error < 5e-3
    assert with_scale.residual < 1e-8
    assert with_scale.asymmetry < 1e-8


def test_densities_of_recovered_functions(found: Recovered, tmp_path: Path) -> None:
    """The same as of the exact ones: values, electrons, moments, Hirshfeld, a cube."""
    exact = product_basis()
    means = {z: (0.2,) * sum(s.l == 0 for s in exact.shells[z]) for z in exact.species}
    exact = Basis(exact.shells, mean_atoms=means)
    unknown = Basis(
        {z: tuple(UnknownShell(s.l) for s in shells) for z, shells in exact.shells.items()},
        mean_atoms=means,
    )
    tables = unknown.with_functions(found.shells)
    assert Basis.from_json(tables.to_json()) == tables
    water = Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    random = np.random.default_rng(0)
    coefficients = exact.mean_vector(water.numbers)
    coefficients = coefficients + 0.05 * random.normal(size=len(coefficients))
    rho, other = (Density(water, basis, coefficients) for basis in (exact, tables))
    assert other.number_of_electrons == pytest.approx(10, abs=1e-9)
    assert other.normalization == pytest.approx(rho.normalization, abs=1e-3)
    points = random.uniform(-2, 2, (200, 3))
    scale = np.abs(rho.evaluate(points)).max()
    np.testing.assert_allclose(other.evaluate(points), rho.evaluate(points), atol=5e-5 * scale)
    np.testing.assert_allclose(other.dipole(), rho.dipole(), atol=1e-3)
    charges = other.charges(level=1)
    assert charges.sum() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(charges, rho.charges(level=1), atol=2e-4)
    other.write(tmp_path / "rho.cube", spacing=0.4)
    assert (tmp_path / "rho.cube").stat().st_size > 1000


def test_the_plan_keeps_the_electrons_and_misses_nothing() -> None:
    atoms = recovery_structure(["H", "O"], pairs=2)
    info = info_of(atoms)
    plan = plan_displacements(atoms, info, atomic_overlap(atoms), size=0.01)
    functions = [(atoms.symbols[d.atoms[0]], d.l, d.n) for d in plan]
    assert len(set(functions)) == len(functions) == 3 + 5
    assert {d.run for d in plan} == {0, 1, 2}
    for one in plan:
        first, second = (atoms.symbols[atom] for atom in one.atoms)
        assert first == second
    # no atom carries two functions in one run
    places = [(d.run, atom) for d in plan for atom in d.atoms]
    assert len(set(places)) == len(places)


def test_what_is_refused(fit: Path, settings: AimsSettings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="experimental is False"):
        set_up_recovery(fit, tmp_path, settings)
    set_up_recovery(fit, tmp_path / "runs", settings, experimental=True)
    with pytest.raises(ValueError, match="has runs of another fit or size"):
        set_up_recovery(fit, tmp_path / "runs", settings, size=0.02, experimental=True)
    with pytest.raises(ValueError, match=r"species are \['H', 'Xx'\]: give symbols"):
        recovery_structure(["H", "Xx"])
    with pytest.raises(ValueError, match=r"two atoms are 0\.7"):
        plan_displacements(Atoms("H2", [[0, 0, 0], [0.74, 0, 0]]), info_of(Atoms("H2")))
    with pytest.raises(ValueError, match="the structure has one O"):
        plan_displacements(recovery_structure(["H", "O"])[:3], info_of(ATOMS[:3]))
    with pytest.raises(FileNotFoundError, match=r"recovery\.json"):
        recover_functions(tmp_path)


def test_a_program_that_does_something_else_is_found_out(
    fit: Path, settings: AimsSettings, tmp_path: Path
) -> None:
    """Here with the other sign and order of l = 1, as in early versions."""
    folders = set_up_recovery(fit, tmp_path / "runs", settings, experimental=True)
    layout = info_of(ATOMS).layout
    turned = np.arange(len(layout.l))
    for start in np.flatnonzero((layout.l == 1) & (layout.m == -1)):
        turned[start : start + 3] = turned[start : start + 3][[1, 2, 0]]
    for folder in folders:
        path = folder / "ri_restart_coeffs.out"
        np.savetxt(path, np.loadtxt(path)[turned])
        run_made_up_aims(folder)
    with pytest.raises(ValueError, match="is no radial function times the harmonic of l = 1"):
        recover_functions(tmp_path / "runs")


def test_the_commands(
    fit: Path,
    species: Path,
    tmp_path: Path,
    command_line: str,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    """Separate atoms, runs that are done already, and a basis with functions."""
    structures, options = tmp_path / "atoms.xyz", tmp_path / "aims.yaml"
    assert command("aims", "atoms", "H", "O", "--pairs", "1", "-o", structures)[0] == 0
    assert read(structures).get_chemical_formula() == "H2O2"
    runs = tmp_path / "runs"
    content = {
        "structures": str(structures),
        "runs": str(runs),
        "species_directory": str(species),
        "command": command_line,
    }
    options.write_text(yaml.safe_dump(content))
    target = runs / "000000" / "fit"
    status, _, text = command("aims", "recover", options)
    assert status == 1
    assert "fit is absent: run `ase-rholearn aims run` first" in text
    loaded = load_options(AimsOptions, options)
    assert command("aims", "setup", options, "--step", "fit")[0] == 0
    for path in fit.iterdir():
        if path.name != "geometry.in":
            shutil.copy(path, target)
    said = "  Have a nice day.\n  | Total energy of the DFT / Hartree-Fock s.c.f. calculation"
    said = f"  Invoking FHI-aims ...\n  FHI-aims version : 240925\n{said}      : -1.0 eV\n"
    (target / "aims.out").write_text(said)
    status, _, text = command("aims", "recover", options)
    assert status == 1
    assert "experimental is False" in text
    options.write_text(yaml.safe_dump({**content, "experimental": True}))
    coarse = replace(loaded.settings(), product_accuracy=1e-3)
    with pytest.raises(ValueError, match="give those of the fit"):
        set_up_recovery(target, tmp_path / "coarse", coarse, experimental=True)
    folders = set_up_recovery(target, runs / "recovery", loaded.settings(), experimental=True)
    for folder in folders:
        run_made_up_aims(folder)
        (folder / "aims.out").write_text(said)
    status, text, error = command("aims", "recover", options, "-o", tmp_path / "basis.json")
    assert (status, error) == (0, "")
    assert "6 of 6 structures are done" in text
    basis = Basis.from_json((tmp_path / "basis.json").read_text())
    assert basis.is_known
    assert basis.mean_atoms.keys() == {1, 8}
    exact = product_basis().radial_metric(8, 1)
    np.testing.assert_allclose(basis.radial_metric(8, 1), exact, rtol=1e-4)
