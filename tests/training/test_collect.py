"""Fits of FHI-aims as a data set, and models that are trained on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from product_fits import ATOMS, norms, product_fit, write_run

from ase_rholearn import Density, RhoCalculator
from ase_rholearn.basis import Basis, NumericalShell, UnknownShell, from_tensormap
from ase_rholearn.model import NeighborDensity, NetworkOptions, build_network
from ase_rholearn.references import ACTIVE_ATOMS
from ase_rholearn.training import DataSet
from ase_rholearn.training.collecting import Collected, collect
from ase_rholearn.training.data import check, info, info_lines, merge
from ase_rholearn.training.evaluation import Settings, judge
from ase_rholearn.training.evaluation.compatibility import check_agreement
from ase_rholearn.training.learning.loss import LossTerms, full_matrix, loss_metric
from ase_rholearn.training.learning.prepare import prepare
from ase_rholearn.training.learning.symmetric import unpack
from ase_rholearn.training.learning.train import train
from ase_rholearn.training.options import TrainOptions
from ase_rholearn.training.options.train import LossOptions

Command = Callable[..., tuple[int, str, str]]

OPTIONS = NetworkOptions(
    density=NeighborDensity(cutoff=3.0, max_angular=2, max_radial=3), tensors=2, gates=2
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, dataset: DataSet, waters: list[Atoms]) -> Path:
    """Directories 0 to 3. Do not write into them."""
    folder = tmp_path_factory.mktemp("aims")
    for index, atoms in enumerate(waters[:4]):
        deformation = dataset.load(dataset.id_of(atoms)).coefficients
        fit = product_fit(atoms, dataset.basis, deformation)
        write_run(folder / str(index), atoms, fit)
    return folder


@pytest.fixture(scope="module")
def collected(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """Do not write into it."""
    folders = sorted(runs.iterdir())
    return collect(folders, tmp_path_factory.mktemp("collected") / "set", settings={"xc": "PBE"})


def test_everything_is_in_the_data_set(
    collected: Collected, dataset: DataSet, waters: list[Atoms]
) -> None:
    assert (collected.added, dict(collected.failed)) == (4, {})
    found = DataSet.open(collected.dataset.folder)
    assert not list(check(found.folder))
    for atoms in waters[:4]:
        reference = found.load(found.id_of(atoms))
        fit = product_fit(atoms, dataset.basis, dataset.load(dataset.id_of(atoms)).coefficients)
        np.testing.assert_allclose(reference.coefficients, fit.coefficients, rtol=1e-6)
        np.testing.assert_allclose(reference.projections, fit.projections, rtol=1e-6)
        np.testing.assert_array_equal(full_matrix(reference.overlap, 30), fit.overlap)
        assert reference.fit["residual"] < 1e-12
        assert reference.provenance["version"] == 240925
    lines = dict(info_lines(info(found.folder)))
    assert "overlap 4" in lines["quantities"]
    assert "radial functions not known" in lines["basis"]


def test_the_basis_has_counts_overlaps_and_mean_atoms(
    collected: Collected, dataset: DataSet, waters: list[Atoms]
) -> None:
    basis, gaussians = collected.dataset.basis, dataset.basis
    assert basis.sizes == gaussians.sizes
    assert not basis.is_known
    assert Basis.from_json(basis.to_json()) == basis
    for z in basis.species:
        scale = norms(gaussians, np.array([z]))
        for l in range(basis.l_max + 1):
            own = scale[gaussians.layout([z]).l == l][:: 2 * l + 1]
            if len(own):
                expected = gaussians.radial_metric(z, l) * np.outer(own, own)
                np.testing.assert_allclose(basis.radial_metric(z, l), expected, atol=1e-10)
    size = len(ATOMS[8])
    oxygens = [
        collected.dataset.load(collected.dataset.id_of(a)).coefficients[:size] for a in waters[:4]
    ]
    np.testing.assert_allclose(basis.mean_atoms[8], np.mean(oxygens, axis=0), rtol=1e-6)


def test_what_is_there_is_not_collected_twice(runs: Path, tmp_path: Path) -> None:
    first = collect([runs / "0", runs / "1"], tmp_path / "set")
    again = collect([runs / "1", runs / "2"], tmp_path / "set")
    assert (first.added, again.added, len(again.dataset)) == (2, 1, 3)
    other = collect([runs / "3"], tmp_path / "other", basis=first.dataset.basis)
    assert len(merge([tmp_path / "set", other.dataset.folder], tmp_path / "all")) == 4
    with pytest.raises(ValueError, match="other settings"):
        collect([runs / "3"], tmp_path / "set", settings={"xc": "PBE0"})


def test_samples_are_those_of_the_same_functions_without_files(
    collected: Collected, dataset: DataSet, waters: list[Atoms]
) -> None:
    """Orthonormal functions do not know of norms, so that targets and metrics are the same."""
    network = build_network(OPTIONS, dataset.basis)
    found, plain = (
        prepare(data, [data.id_of(a) for a in waters[:4]], network, dtype=torch.float64)
        for data in (collected.dataset, dataset)
    )
    shifts = torch.stack([f.target - p.target for f, p in zip(found, plain, strict=True)])
    # less the mean, instead of less the free atoms: one number for each function
    assert float(shifts.std(dim=0).max()) < 1e-6
    assert float(torch.stack([f.target for f in found]).mean(dim=0)[:3].abs().max()) < 1
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one.load_metric(), other.load_metric(), rtol=0, atol=1e-10)


def test_projections_of_files_are_a_target(collected: Collected, waters: list[Atoms]) -> None:
    """S c = w, so that nothing is left between the two targets."""
    data = collected.dataset
    network = build_network(OPTIONS, data.basis)
    loss = LossOptions(target="projections")
    [sample] = prepare(data, [data.id_of(waters[0])], network, loss, torch.float64)
    assert sample.residual is not None
    assert float(sample.residual.abs().max()) < 1e-5
    loss = LossOptions(target="projections", cutoff=2.0)
    with pytest.raises(ValueError, match="leave out electrons, dipole, mask and cutoff"):
        prepare(data, [data.id_of(waters[0])], network, loss)


def test_overlaps_beyond_a_cutoff_do_not_count(collected: Collected, waters: list[Atoms]) -> None:
    data = collected.dataset
    reference = data.load(data.id_of(waters[0]))
    whole = loss_metric(data.basis, reference.atoms, LossTerms(), reference.overlap)
    cut = loss_metric(data.basis, reference.atoms, LossTerms(cutoff=1.3), reference.overlap)
    atom = data.basis.layout(reference.atoms.numbers).atom
    hydrogens = (atom[:, None] > 0) & (atom > 0) & (atom[:, None] != atom)
    np.testing.assert_array_equal(cut, np.where(hydrogens, 0.0, whole))
    assert np.abs(whole[hydrogens]).max() > 0.1


@pytest.fixture(scope="module")
def masked(
    tmp_path_factory: pytest.TempPathFactory, dataset: DataSet, waters: list[Atoms]
) -> DataSet:
    folder = tmp_path_factory.mktemp("masked")
    for index, atoms in enumerate(waters[:2]):
        deformation = dataset.load(dataset.id_of(atoms)).coefficients
        fit = product_fit(atoms, dataset.basis, deformation, masked=[2] if index else [])
        write_run(folder / str(index), atoms, fit)
    return collect([folder / "0", folder / "1"], folder / "set").dataset


def test_masked_atoms_are_refilled_with_zeros(masked: DataSet, waters: list[Atoms]) -> None:
    reference = masked.load(masked.id_of(waters[1]))
    assert reference.atoms.info[ACTIVE_ATOMS] == [0, 1]
    own = masked.basis.layout(waters[1].numbers).atom == 2
    for vector in (reference.coefficients, reference.projections):
        assert not vector[own].any()
        assert vector[~own].all()
    network = build_network(OPTIONS, masked.basis)
    [sample] = prepare(masked, [reference.id], network, dtype=torch.float64)
    rows = unpack(sample.load_metric()).abs().sum(dim=1)
    assert int((rows == 0).sum()) == masked.basis.sizes[1]
    assert float(sample.target[rows == 0].abs().max()) == 0
    # the mean hydrogen knows nothing of the masked one
    first = masked.load(masked.id_of(waters[0])).coefficients[18:].reshape(2, 6)
    second = reference.coefficients[18:24]
    mean = (first.sum(axis=0) + second)[:3] / 3
    np.testing.assert_allclose(masked.basis.mean_atoms[1], mean, rtol=1e-6)


def test_bad_directories_are_listed(
    runs: Path, tmp_path: Path, dataset: DataSet, waters: list[Atoms]
) -> None:
    small = Basis(
        {z: tuple(s for s in shells if s.l < 2) for z, shells in dataset.basis.shells.items()}
    )
    fit = product_fit(waters[4], small, np.ones(small.size(waters[4].numbers)))
    write_run(tmp_path / "small", waters[4], fit)
    cut = write_run(
        tmp_path / "cut",
        waters[5],
        product_fit(waters[5], dataset.basis, np.ones(30)),
    )
    path = cut / "ri_restart_coeffs.out"
    path.write_text(path.read_text()[:-40])
    found = collect([runs / "0", tmp_path / "small", cut, tmp_path / "none"], tmp_path / "set")
    assert found.added == 1
    assert "had (4, 3, 1) before" in found.failed[tmp_path / "small"]
    assert "truncated" in found.failed[cut]
    assert "has no geometry.in" in found.failed[tmp_path / "none"]
    reasons = [entry["reason"] for entry in found.dataset.failures().values()]
    assert len(reasons) == 2
    with pytest.raises(ValueError, match="none of 1 directories can be used"):
        collect([cut], tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_arguments_that_do_not_fit(runs: Path, tmp_path: Path, dataset: DataSet) -> None:
    with pytest.raises(ValueError, match="directories is empty"):
        collect([], tmp_path / "set")
    with pytest.raises(ValueError, match="2 structures are given for 1 directories"):
        collect([runs / "0"], tmp_path / "set", structures=[Atoms("H"), Atoms("H")])
    with pytest.raises(ValueError, match="not the structure that was given"):
        collect([runs / "0"], tmp_path / "set", structures=[Atoms("H3")])
    other = Basis({z: (UnknownShell(0),) for z in (1, 8)}, name="other")
    with pytest.raises(ValueError, match=r"but \(1,\) in the basis 'other'"):
        collect([runs / "0"], tmp_path / "set", basis=other)


def test_a_structure_without_overlap_is_kept_but_not_trained_on(
    runs: Path, tmp_path: Path, dataset: DataSet, waters: list[Atoms]
) -> None:
    fit = product_fit(waters[4], dataset.basis, np.ones(30))
    bare = write_run(tmp_path / "bare", waters[4], fit, with_overlap=False)
    data = collect([runs / "0", bare], tmp_path / "set").dataset
    network = build_network(OPTIONS, data.basis)
    with pytest.raises(ValueError, match="H2O has no overlap matrix in the data set"):
        prepare(data, [data.id_of(waters[4])], network)
    alone = collect([bare], tmp_path / "alone").dataset
    assert len(alone) == 1
    with pytest.raises(ValueError, match="overlaps of the radial functions of l = 0 are not known"):
        build_network(OPTIONS, alone.basis)


def test_energy_and_forces_of_the_run_beside_a_fit(
    tmp_path: Path, dataset: DataSet, waters: list[Atoms]
) -> None:
    for index, atoms in enumerate(waters[:2]):
        fit = product_fit(atoms, dataset.basis, np.ones(30))
        folder = write_run(tmp_path / f"00000{index}" / "fit", atoms, fit)
        scf = tmp_path / f"00000{index}" / "scf"
        scf.mkdir()
        for name in ("geometry.in", "aims.out"):
            (scf / name).write_text((folder / name).read_text())
        (scf / "control.in").write_text("xc pbe\n")
        (scf / "D_spin_01_kpt_000001.csc").touch()
        with (scf / "aims.out").open("a") as stream:
            stream.write(
                "  | Total energy of the DFT / Hartree-Fock s.c.f. calculation : -2080.5 eV\n"
                "  Self-consistency cycle converged.\n"
                "  | Number of self-consistency cycles          :           12\n"
            )
            stream.write("  Have a nice day.\n" if index == 0 else "")
    folders = [tmp_path / name / "fit" for name in ("000000", "000001")]
    found = collect(folders, tmp_path / "set").dataset
    energies = [found.load(found.id_of(atoms)).energy for atoms in waters[:2]]
    assert energies == [-2080.5, None]  # the second run was cut off


def test_crystals(tmp_path: Path, dataset: DataSet, waters: list[Atoms]) -> None:
    """Overlaps of files are those with all images, and so is their loss."""
    crystal = waters[0].copy()
    crystal.set_cell([6.0, 6.5, 7.0])
    crystal.pbc = True
    fit = product_fit(crystal, dataset.basis, np.ones(30))
    data = collect([write_run(tmp_path / "crystal", crystal, fit)], tmp_path / "set").dataset
    reference = data.load(data.id_of(crystal))
    assert reference.atoms.pbc.all()
    np.testing.assert_array_equal(reference.atoms.cell.array, crystal.cell.array)
    matrix = loss_metric(data.basis, reference.atoms, LossTerms(), reference.overlap)
    np.testing.assert_allclose(matrix, fit.overlap, rtol=0, atol=1e-12)
    assert np.abs(matrix - product_fit(waters[0], dataset.basis, np.ones(30)).overlap).max() > 1e-4
    # the nearest images of all pairs are nearer
    cut = loss_metric(data.basis, reference.atoms, LossTerms(cutoff=4.0), reference.overlap)
    np.testing.assert_array_equal(cut, matrix)
    with pytest.raises(ValueError, match=r"loss\.coulomb is 0\.5, but H2O is periodic"):
        loss_metric(data.basis, reference.atoms, LossTerms(coulomb=0.5), reference.overlap)


def test_mean_atoms_of_isolated_ones(
    runs: Path, tmp_path: Path, dataset: DataSet, waters: list[Atoms]
) -> None:
    alone = Atoms("OH", [[0, 0, 0], [50, 0, 0]])
    size = dataset.basis.size(alone.numbers)
    free = write_run(tmp_path / "free", alone, product_fit(alone, dataset.basis, np.zeros(size)))
    basis = collect([runs / "0"], tmp_path / "set", free_atoms=[free]).dataset.basis
    scale = norms(dataset.basis, np.array([8]))[: len(ATOMS[8])]
    np.testing.assert_allclose(basis.mean_atoms[8], ATOMS[8] / scale, rtol=1e-12)
    oxygen = Atoms("O")
    fit = product_fit(oxygen, dataset.basis, np.zeros(dataset.basis.size([8])))
    only = write_run(tmp_path / "only", oxygen, fit)
    with pytest.raises(ValueError, match="free_atoms has no structure with H"):
        collect([runs / "0"], tmp_path / "other", free_atoms=[only])


@pytest.fixture(scope="module")
def options(collected: Collected, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run on all structures, that has ended."""
    folder = tmp_path_factory.mktemp("trained")
    options: dict[str, Any] = {
        "name": "water-aims",
        "dataset": str(collected.dataset.folder),
        "output": str(folder / "run"),
        "split": {"validation": 0.0, "test": 0.0},
        "model": {"cutoff": 3.0, "max_angular": 2, "max_radial": 4, "tensors": 2, "gates": 2},
        "start": {"ridge": 1e-9},
        "gradient": {"epochs": 0},
    }
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(options))
    train(TrainOptions.model_validate(options))
    return path


def test_a_model_of_such_a_data_set(
    collected: Collected, waters: list[Atoms], options: Path, tmp_path: Path, command: Command
) -> None:
    """It predicts coefficients, those of mean atoms included, and refuses what it cannot."""
    model = tmp_path / "model.pt"
    assert command("export", options, "-o", model)[0] == 0
    calc = RhoCalculator(model)
    for atoms in waters[:4]:
        reference = collected.dataset.load(collected.dataset.id_of(atoms))
        tensor = calc.get_coefficients(atoms)
        [found] = from_tensormap(calc.model.basis, [atoms.numbers], tensor)
        overlap = full_matrix(reference.overlap, len(found))
        error = found - reference.coefficients
        norm = reference.coefficients @ overlap @ reference.coefficients
        assert np.sqrt(error @ overlap @ error / norm) < 0.01
    status, text, _ = command("aims", "errors", model, collected.dataset.folder)
    assert status == 0
    *lines, mean = text.splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["H2O"] * 4
    assert [line.split()[0] for line in lines] == collected.dataset.ids
    assert float(mean.split()[1]) < 1
    rho = calc.get_density(waters[0], normalize=False)
    rho.write(tmp_path / "rho.npz")
    for refused in (
        lambda: calc.get_density(waters[0]),
        lambda: rho.evaluate([[0.0, 0.0, 0.0]]),
        lambda: rho.number_of_electrons,
        lambda: rho.dipole(),
        lambda: rho.charges(),
        lambda: rho.potential([[0.0, 0.0, 3.0]]),
        lambda: rho.hartree_energy(),
        lambda: check_agreement(calc.model, collected.dataset, other_basis=False),
    ):
        with pytest.raises(ValueError, match=r"radial functions of the basis .* are not known"):
            refused()


def test_a_model_with_radial_functions(
    collected: Collected,
    dataset: DataSet,
    waters: list[Atoms],
    options: Path,
    tmp_path: Path,
    command: Command,
) -> None:
    """What is known of the functions goes into the file, or is given when it is loaded."""
    gaussians, r = dataset.basis, np.geomspace(1e-4, 12.0, 300)
    shells = {
        z: tuple(
            NumericalShell(shell.l, tuple(r), tuple(norm * shell.radial(r)))
            for shell, norm in zip(gaussians.shells[z], norms_of_shells(gaussians, z), strict=True)
        )
        for z in gaussians.species
    }
    known, model = tmp_path / "basis.json", tmp_path / "model.pt"
    known.write_text(collected.dataset.basis.with_functions(shells).to_json())
    assert command("export", options, "-o", model, "--basis", known)[0] == 0
    calc = RhoCalculator(model)
    atoms = waters[0]
    rho = calc.get_density(atoms)
    assert rho.number_of_electrons == pytest.approx(10, abs=1e-9)
    raw = rho.raw_coefficients * norms(gaussians, atoms.numbers)
    same = Density(atoms, gaussians.with_atomic_densities({}), raw, normalize=False)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (50, 3))
    found = calc.get_density(atoms, normalize=False).evaluate(points)
    np.testing.assert_allclose(found, same.evaluate(points), rtol=1e-5, atol=1e-5)
    calc.write_cube(tmp_path / "rho.cube", atoms, spacing=0.5)
    # the data set does not know what the model knows
    agreement = check_agreement(calc.model, collected.dataset, other_basis=False)
    assert agreement.same_basis
    reference = collected.dataset.load(collected.dataset.id_of(atoms))
    assert judge(calc.model, reference, Settings(0, one_shot=False))["nmae_fit_percent"] < 1
    assert calc.get_charges(atoms).sum() == pytest.approx(0, abs=1e-5)
    with pytest.raises(ValueError, match=r"basis is given, but .* knows its own"):
        RhoCalculator(model, basis=known)


def norms_of_shells(basis: Basis, z: int) -> list[float]:
    """Of each radial function of a species."""
    layout = basis.layout([z])
    return norms(basis, np.array([z]))[layout.m == 0].tolist()


def test_functions_are_given_to_a_model_that_lacks_them(
    collected: Collected, dataset: DataSet, waters: list[Atoms]
) -> None:
    unknown = collected.dataset.basis
    with pytest.raises(ValueError, match=r"the functions of H have l = \[0\]"):
        unknown.with_functions({1: dataset.basis.shells[1][:1], 8: dataset.basis.shells[8]})
    with pytest.raises(ValueError, match="mean atoms are tabulated from numerical s functions"):
        unknown.with_functions(dataset.basis.shells).on_mean_atoms()
