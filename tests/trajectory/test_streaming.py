"""Trajectories of any length: memory, kills, files."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
import weakref
from itertools import islice

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from ase_rholearn import Density, OutsideTrainingWarning, load_model
from ase_rholearn.trajectory import (
    DensityTrajectory,
    Quantities,
    densities,
    iterate_structures,
    open_writer,
    predict_trajectory,
)


@pytest.fixture(scope="module")
def model():
    return load_model("water-pbe", "cpu")


def rattled(seed: int) -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(0.01, seed=seed)
    return atoms


@pytest.fixture
def source(tmp_path):
    """A file of nine frames."""
    path = tmp_path / "md.xyz"
    write(path, [rattled(seed) for seed in range(9)])
    return path


def expected(model, path) -> np.ndarray:
    return np.array([rho.dipole() for rho in densities(model, read(path, ":"))])


def dipoles(path) -> np.ndarray:
    if path.suffix == ".h5":
        with DensityTrajectory(path) as trajectory:
            return trajectory["dipole"]
    return np.array([atoms.get_dipole_moment() for atoms in read(path, ":")])


# memory ------------------------------------------------------------------------------------


def test_no_more_than_a_batch_is_in_memory(model):
    """However many frames there are: one batch, and the first structures of the next."""
    alive: list[weakref.ref[Atoms]] = []
    most = 0

    def endless():
        nonlocal most
        for seed in itertools.count():
            atoms = rattled(seed)
            alive.append(weakref.ref(atoms))
            most = max(most, sum(ref() is not None for ref in alive))
            yield atoms

    found = islice(densities(model, endless(), batch_atoms=9), 40)
    assert [round(rho.number_of_electrons, 6) for rho in found] == [10.0] * 40
    assert len(alive) >= 40
    assert most <= 7


def test_frames_of_xyz_files_are_read_one_at_a_time(tmp_path):
    """The first frame is there although the file does not end: nothing looks ahead."""
    path = tmp_path / "cut.xyz"
    write(path, [rattled(seed) for seed in range(3)])
    path.write_text(path.read_text()[:-70])  # more than a line
    frames = iterate_structures(path)
    assert len(next(frames)) == 3
    with pytest.raises(ValueError, match=r"ASE cannot read .*the last frame is cut off"):
        list(frames)


@pytest.mark.parametrize("name", ["md.xyz", "md.traj", "md.xyz.gz"])
def test_reading_gives_what_ase_gives(tmp_path, name):
    frames = [rattled(seed) for seed in range(3)]
    frames[1].set_cell([4, 5, 6])
    frames[1].pbc = [True, True, False]
    frames[2].info["charge"] = 0
    write(tmp_path / name, frames)
    assert list(iterate_structures(tmp_path / name)) == read(tmp_path / name, ":")


def test_batches_change_nothing(model):
    frames = [rattled(seed) for seed in range(5)]
    alone = [rho.raw_coefficients for rho in densities(model, frames, batch_atoms=1)]
    together = [rho.raw_coefficients for rho in densities(model, frames, batch_atoms=100)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-6)


# files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.extxyz", "out.h5"])
def test_files_hold_the_dipoles(model, source, tmp_path, name):
    assert predict_trajectory(model, source, tmp_path / name, batch_atoms=6) == 9
    np.testing.assert_allclose(dipoles(tmp_path / name), expected(model, source), atol=1e-6)


def test_extxyz_keeps_what_structures_came_with(model, tmp_path):
    atoms = rattled(0)
    atoms.info["step"] = 7
    atoms.calc = SinglePointCalculator(atoms, energy=-3.5, forces=np.ones((3, 3)))
    write(tmp_path / "in.xyz", atoms)
    quantities = Quantities(charges="hirshfeld", level=0)
    predict_trajectory(model, tmp_path / "in.xyz", tmp_path / "out.xyz", quantities)
    back = read(tmp_path / "out.xyz")
    assert (back.get_potential_energy(), back.info["step"]) == (-3.5, 7)
    assert back.info["charges_scheme"] == "hirshfeld"
    rho = next(densities(model, [atoms]))
    np.testing.assert_allclose(back.get_charges(), rho.charges(level=0), atol=1e-6)


def test_hdf5_has_everything(model, tmp_path):
    write(tmp_path / "in.xyz", [rattled(seed) for seed in range(2)])
    quantities = Quantities("hirshfeld", molecular_dipoles=True, level=0, field="density")
    out = tmp_path / "out.h5"
    predict_trajectory(model, tmp_path / "in.xyz", out, quantities)
    with DensityTrajectory(out) as trajectory:
        assert len(trajectory) == 2
        rho = trajectory.density(-1)
        own = next(densities(model, [rattled(1)]))
        np.testing.assert_allclose(rho.coefficients, own.coefficients, atol=1e-6)
        np.testing.assert_allclose(trajectory["charges"][-1], own.charges(level=0), atol=1e-4)
        assert trajectory["molecular_dipoles"].shape == (2, 1, 3)
        grid = trajectory.grid(-1)
        np.testing.assert_allclose(grid.values, rho.on_frame(grid).values, rtol=2e-7, atol=1e-9)
        # all frames in one box
        np.testing.assert_array_equal(trajectory["grid_origin"][0], grid.origin)


def test_grids_of_crystals_follow_the_cell(model, tmp_path):
    frames = [molecule("H2O", cell=[length] * 3, pbc=True) for length in (5.0, 5.2)]
    write(tmp_path / "in.xyz", frames)
    out = tmp_path / "out.h5"
    predict_trajectory(model, tmp_path / "in.xyz", out, Quantities(field="deformation"))
    with DensityTrajectory(out) as trajectory:
        assert "dipole" not in trajectory
        np.testing.assert_allclose(trajectory["grid_cell"][1], 5.2 * np.eye(3))
        grid = trajectory.grid(1)
        rho = next(densities(model, frames[1:]))
        deformation = (rho - rho.free_atoms()).on_grid(shape=grid.shape)
        np.testing.assert_allclose(grid.values, deformation.values, atol=1e-5)


# going on ----------------------------------------------------------------------------------


def test_a_cut_extxyz_is_repaired(model, source, tmp_path):
    """Wherever the kill came: the file ends up the same, byte by byte."""
    whole = tmp_path / "whole.extxyz"
    predict_trajectory(model, source, whole)
    content = whole.read_bytes()
    size = len(content) // 9
    for cut in (0, 1, size // 3, 4 * size, 4 * size + 1, 5 * size - 1, 6 * size + 30):
        out = tmp_path / "cut.extxyz"
        out.write_bytes(content[:cut])
        started = []
        predict_trajectory(model, source, out, on_frame=lambda done, _, s=started: s.append(done))
        assert started[0] == content[:cut].count(b"\n") // 5
        np.testing.assert_allclose(dipoles(out), dipoles(whole), atol=1e-6)


def test_a_killed_run_goes_on(model, tmp_path):
    """SIGKILL in the middle: the frames that were counted stay, and the others come to them."""
    source, out = tmp_path / "md.xyz", tmp_path / "out.h5"
    write(source, [rattled(seed) for seed in range(400)])
    command = ["-m", "ase_rholearn.cli", "predict", str(source), "-o", str(out), "--device", "cpu"]
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if out.exists() and _count(out) > 0:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = _count(out)
    assert 0 < before < 400
    kept = dipoles(out)  # readable as it was left
    started = []
    predict_trajectory(model, source, out, on_frame=lambda done, _: started.append(done))
    assert started[0] == before
    np.testing.assert_array_equal(dipoles(out)[:before], kept)
    np.testing.assert_allclose(dipoles(out), expected(model, source), atol=1e-6)


def _count(path) -> int:
    with DensityTrajectory(path) as trajectory:
        return len(trajectory)


@pytest.mark.parametrize("name", ["out.extxyz", "out.h5"])
def test_an_input_that_grew(model, source, tmp_path, name):
    out = tmp_path / name
    predict_trajectory(model, source, out)
    write(source, [rattled(9)], append=True)
    assert predict_trajectory(model, source, out) == 10
    np.testing.assert_allclose(dipoles(out), expected(model, source), atol=1e-6)


@pytest.mark.parametrize("name", ["out.extxyz", "out.h5"])
def test_another_input_or_setting_is_refused(model, source, tmp_path, name):
    out = tmp_path / name
    predict_trajectory(model, source, out)
    before = out.read_bytes()
    with pytest.raises(ValueError, match=r"was made with .*overwrite it"):
        predict_trajectory(model, source, out, Quantities(charges="hirshfeld", level=0))
    other = tmp_path / "other.xyz"
    write(other, [rattled(seed) for seed in range(20, 32)])
    with pytest.raises(ValueError, match=r"frame 8 of .* is another structure"):
        predict_trajectory(model, other, out)
    if name == "out.extxyz":
        assert out.read_bytes() == before
    assert predict_trajectory(model, other, out, overwrite=True) == 12


def test_the_input_is_never_taken_for_the_output(model, source):
    before = source.read_bytes()
    with pytest.raises(ValueError, match="was made with model ''"):
        predict_trajectory(model, source, source)
    assert source.read_bytes() == before


def test_one_writer_at_a_time(model, tmp_path):
    path = tmp_path / "out.extxyz"
    with (
        open_writer(path, Quantities(), model.basis),
        pytest.raises(ValueError, match="another process is writing"),
        open_writer(path, Quantities(), model.basis),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "quantities", "message"),
    [
        ("out.txt", {}, "give a name that ends in .xyz"),
        ("none/out.h5", {}, "there is no folder"),
        ("out.xyz", {"field": "density"}, "cannot hold the field 'density'"),
    ],
)
def test_outputs_that_cannot_be(model, source, tmp_path, name, quantities, message):
    with pytest.raises((ValueError, OSError), match=message):
        predict_trajectory(model, source, tmp_path / name, Quantities(**quantities))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"charges": "mulliken"}, "charges is 'mulliken': give one of hirshfeld"),
        ({"field": "spin"}, "field is 'spin': give one of density"),
        ({"level": 9}, "level is 9"),
        ({"spacing": 0.0}, "spacing is 0.0"),
    ],
)
def test_quantities_that_there_are_not(arguments, message):
    with pytest.raises(ValueError, match=message):
        Quantities(**arguments)


def test_hdf5_needs_equal_atoms(model, tmp_path):
    write(tmp_path / "in.xyz", [molecule("H2O"), molecule("H2")])
    with pytest.raises(ValueError, match=r"frames differ in their atoms.*\.extxyz"):
        predict_trajectory(model, tmp_path / "in.xyz", tmp_path / "out.h5")
    with pytest.warns(OutsideTrainingWarning, match="H2 has atoms"):
        assert predict_trajectory(model, tmp_path / "in.xyz", tmp_path / "out.extxyz") == 2


def test_other_files_are_not_taken_for_trajectories(model, tmp_path):
    rho = next(densities(model, [rattled(0)]))
    assert isinstance(rho, Density)
    rho.write(tmp_path / "grid.h5", spacing=0.8)
    for name, message in (("grid.h5", "is not a trajectory"), ("none.h5", "there is no")):
        with pytest.raises((ValueError, OSError), match=message):
            DensityTrajectory(tmp_path / name)
