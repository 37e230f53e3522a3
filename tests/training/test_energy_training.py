"""Energies and forces: the linear solve, gradients, and the stage of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.morse import MorsePotential

from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    DensityNetwork,
    EnergyHead,
    EnergyOptions,
    ModelCard,
    export_model,
    load_model,
)
from ase_rholearn.references.reference import Reference
from ase_rholearn.training import DataSet
from ase_rholearn.training.evaluation import evaluate_energies
from ase_rholearn.training.export import export_run
from ase_rholearn.training.learning.energies import stage
from ase_rholearn.training.learning.energies.closed_form import (
    EnergyPrior,
    fit_composition,
    initialize_energy,
    normal_equations,
    set_weights,
)
from ase_rholearn.training.learning.energies.samples import EnergySample, prepare_energies
from ase_rholearn.training.learning.energies.stage import (
    energy_errors,
    energy_loss,
    predict_energies,
    solve_energy,
)
from ase_rholearn.training.learning.train import train
from ase_rholearn.training.options.energy import EnergyTrainingOptions

#: Energies of free atoms of the artificial references, eV.
ATOMS = {1: -13.0, 8: -2000.0}

ARCHITECTURE = {"pairs": 12, "products": 8, "gates": 16}


def artificial(count: int, seed: int, forces: bool = True) -> list[Reference]:
    """Clusters of two elements that interact by a Morse potential which fades at 3 Angstrom."""
    random = np.random.default_rng(seed)
    references = []
    for _ in range(count):
        numbers = random.choice([1, 8], size=random.integers(3, 6))
        grid = np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 3) * 1.3
        positions = grid[random.permutation(8)[: len(numbers)]]
        atoms = Atoms(numbers, positions + random.uniform(-0.15, 0.15, (len(numbers), 3)))
        atoms.calc = MorsePotential(epsilon=1.0, r0=1.3, rho0=3.0, rcut1=2.0, rcut2=2.9)
        energy = atoms.get_potential_energy() + sum(ATOMS[int(z)] for z in numbers)
        found = atoms.get_forces() if forces else None
        references.append(Reference(atoms.copy(), np.zeros(0), {}, energy=energy, forces=found))
    return references


@pytest.fixture(scope="module")
def training(network: DensityNetwork, tiny_basis: Basis) -> list[EnergySample]:
    return prepare_energies(artificial(30, 0), network.expansion, tiny_basis)


@pytest.fixture(scope="module")
def held_out(network: DensityNetwork, tiny_basis: Basis) -> list[EnergySample]:
    return prepare_energies(artificial(10, 1), network.expansion, tiny_basis)


def new_head(network: DensityNetwork, samples: list[EnergySample]) -> EnergyHead:
    head = EnergyHead(network.expansion, EnergyOptions(**ARCHITECTURE))
    initialize_energy(head, network.expansion.table, samples, EnergyPrior())
    return head


def fitted(
    network: DensityNetwork,
    training: list[EnergySample],
    held_out: list[EnergySample],
    basis: Basis,
    **changes: Any,
) -> EnergyHead:
    head = new_head(network, training)
    options = EnergyTrainingOptions(**ARCHITECTURE, ridges=[1e-4, 1e-2, 1.0], **changes)
    solve_energy(head, training, held_out, options, basis)
    return head


def test_learns_a_potential(network, training, held_out, tiny_basis, tmp_path) -> None:
    """Errors of structures that were not seen are a small part of the energies and forces."""
    head = fitted(network, training, held_out, tiny_basis)
    errors = energy_errors(head, held_out)
    nothing = stage.composition_errors(training, held_out, 2)
    assert errors.energy < 0.15 * nothing.energy
    assert errors.forces < 0.15 * nothing.forces
    # the exported model has the same errors, by another route
    path = tmp_path / "model.pt"
    export_model(network, tiny_basis, ModelCard("morse"), path, dtype="float64", energy=head)
    figures = evaluate_energies(load_model(path, "cpu"), artificial(10, 1))
    assert figures["energy_rmse_mev_per_atom"] == pytest.approx(errors.energy, rel=1e-4)
    assert figures["forces_rmse_mev_per_angstrom"] == pytest.approx(errors.forces, rel=1e-4)


def test_solution_is_the_minimum(network, training) -> None:
    """The gradient of loss and ridge term, by autograd through the forces, vanishes there."""
    head, prior, ridge, weight = new_head(network, training), EnergyPrior(share=2.0), 0.3, 4.0
    head.baseline.data.copy_(torch.tensor([-13.5, -1999.0], dtype=torch.float64))
    atoms = head.baseline.detach().clone()
    equations = normal_equations(head, training, weight)
    set_weights(head, equations.solve(ridge, prior, head.n_invariants, fixed=False))
    batch = EnergySample.join(training)
    loss = 3 * len(batch.species) * energy_loss(head, batch, weight)
    size = torch.ones(head.weight.shape[1], dtype=torch.float64)
    size[head.n_invariants :] = prior.gate_size**-2
    inverse = torch.linalg.inv(torch.eye(2).double() + prior.share)
    term = torch.einsum("yz,yf,zf,f->", inverse, head.weight, head.weight, size)
    loss = loss + ridge * (term + 1e-4 * (head.baseline - atoms).square().sum())
    loss.backward()
    assert head.weight.grad.abs().max() < 1e-4 * float(equations.right.abs().max())
    assert head.baseline.grad.abs().max() < 1e-4 * float(equations.right.abs().max())


def test_forces_of_samples_are_those_of_the_model(network, held_out, tiny_basis, tmp_path) -> None:
    head = new_head(network, held_out)
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "model.pt"
    export_model(network, tiny_basis, ModelCard("x"), path, dtype="float64", energy=head)
    model = load_model(path, "cpu")
    joined = EnergySample.join(held_out)
    energies, forces = predict_energies(head, joined)
    potentials = [model.potential(reference.atoms) for reference in artificial(10, 1)]
    np.testing.assert_allclose(energies.detach(), [p.energy for p in potentials], atol=1e-9)
    expected = np.concatenate([p.forces for p in potentials])
    # slopes are kept in single precision
    np.testing.assert_allclose(forces, expected, atol=1e-5 * np.abs(expected).max())


def test_structures_without_neighbours_and_energies(network, tiny_basis) -> None:
    alone = Reference(Atoms("O"), np.zeros(0), {}, energy=-2000.0)
    unknown = Reference(Atoms("O"), np.zeros(0), {})
    samples = prepare_energies([alone, unknown], network.expansion, tiny_basis)
    assert len(samples) == 1
    assert samples[0].slopes.shape == (0, 9, 6, 3)
    _, forces = predict_energies(new_head(network, samples), samples[0])
    assert forces.tolist() == [[0.0, 0.0, 0.0]]


def test_energies_alone_are_enough(network, tiny_basis, held_out) -> None:
    samples = prepare_energies(artificial(40, 2, forces=False), network.expansion, tiny_basis)
    head = fitted(network, samples, held_out, tiny_basis)
    nothing = stage.composition_errors(samples, held_out, 2)
    assert energy_errors(head, held_out).energy < 0.5 * nothing.energy
    assert np.isnan(energy_errors(head, samples).forces)


def test_composition_is_exact_for_sums_of_atoms(network, tiny_basis) -> None:
    far = [
        Reference(Atoms(n, np.eye(3)[: len(n)] * 9), np.zeros(0), {}, energy=sum(map(ATOMS.get, n)))
        for n in ([1, 8], [1, 1, 8], [8, 8])
    ]
    samples = prepare_energies(far, network.expansion, tiny_basis)
    np.testing.assert_allclose(fit_composition(samples, 2), [-13.0, -2000.0], rtol=1e-10)


def test_given_energies_of_free_atoms_are_kept(network, training, held_out, tiny_basis) -> None:
    head = fitted(network, training, held_out, tiny_basis, free_atoms={"H": -13.0, "O": -2000.0})
    assert head.baseline.tolist() == [-13.0, -2000.0]
    nothing = stage.composition_errors(training, held_out, 2)
    assert energy_errors(head, held_out).energy < 0.3 * nothing.energy
    with pytest.raises(ValueError, match=r"free_atoms is \{'H': -13.0\}"):
        fitted(network, training, held_out, tiny_basis, free_atoms={"H": -13.0})


# the stage --------------------------------------------------------------------------------


def with_energies(run: Any, plan: Any, folder: Path, **changes: Any) -> Any:
    """The finished run in a new folder, with a section ``energy``."""
    shutil.copytree(run.options.output, folder)
    return plan(folder, energy={**ARCHITECTURE, "epochs": 3, "batch_size": 2, **changes})


def same_weights(first: Path, second: Path) -> bool:
    a, b = (torch.load(path, weights_only=True)["state"] for path in (first, second))
    return all(torch.equal(a[name], b[name]) for name in a)


def test_stage_is_added_to_a_finished_run(run: Any, plan: Any, dataset: DataSet, tmp_path) -> None:
    options = with_energies(run, plan, tmp_path / "run")
    before = (options.output / "network.pt").read_bytes()
    said: list[str] = []
    train(options, say=said.append)
    assert (options.output / "network.pt").read_bytes() == before
    assert any(line.startswith("energies, closed form: validation error") for line in said)
    errors = json.loads((options.output / "errors.json").read_text())
    assert errors["start"] > 0  # the density's are still there
    assert 0 < errors["energy_rmse_mev_per_atom"] < 1000
    assert errors["composition_energy_rmse_mev_per_atom"] > 0
    lines = (options.output / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(x)["energy_epoch"] for x in lines if "energy_epoch" in x] == [1, 2, 3]

    export_run(options, tmp_path / "model.pt", "float64")
    model = load_model(tmp_path / "model.pt", "cpu")
    assert model.has_energy
    name = "validation_energy_rmse_mev_per_atom"
    assert model.card.errors[name] == errors["energy_rmse_mev_per_atom"]
    reference = dataset.load(dataset.ids[0])
    # which structures it was trained on depends on the processor
    assert model.potential(reference.atoms).energy == pytest.approx(reference.energy, abs=2.0)
    train(options, say=said.append)
    assert said[-1].endswith("energy.pt is there already")
    export_run(run.options, tmp_path / "density.pt")
    assert not load_model(tmp_path / "density.pt", "cpu").has_energy


def test_interrupted_stage_ends_with_the_same_weights(
    run: Any, plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = with_energies(run, plan, tmp_path / "whole")
    train(whole)
    stopped = with_energies(run, plan, tmp_path / "stopped")
    original = stage._Refinement.run_epoch

    def dies(self: Any, samples: Any) -> None:
        if self.epoch == 2:
            raise KeyboardInterrupt
        original(self, samples)

    monkeypatch.setattr(stage._Refinement, "run_epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        train(stopped)
    assert not (stopped.output / "energy.pt").exists()
    monkeypatch.undo()
    train(stopped)
    assert same_weights(whole.output / "energy.pt", stopped.output / "energy.pt")


def test_other_options_are_refused(run: Any, plan: Any, tmp_path: Path) -> None:
    options = with_energies(run, plan, tmp_path / "run", epochs=0)
    train(options)
    changed = plan(
        options.output, energy={**ARCHITECTURE, "epochs": 0, "batch_size": 2, "gates": 3}
    )
    with pytest.raises(ValueError, match=r"other options \(energy.gates\): remove"):
        train(changed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ridges": [0.0]}, "positive"),
        ({"pairs": 0, "products": 0}, "pairs"),
        ({"wave": 1}, "wave"),
    ],
)
def test_options_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnergyTrainingOptions(**changes)
