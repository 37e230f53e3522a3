"""Where the repulsion begins, structures in contact, and what both do to a fit."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.calculators.fd import calculate_numerical_forces
from ase.data.vdw_alvarez import vdw_radii

from ase_rholearn.basis import Basis
from ase_rholearn.model import (
    DensityNetwork,
    ModelCard,
    export_model,
    load_model,
)
from ase_rholearn.references.reference import Reference
from ase_rholearn.training.learning.energies import repulsion, stage
from ase_rholearn.training.learning.energies.repulsion import (
    least_distances,
    make_contacts,
    repulsion_onset,
)
from ase_rholearn.training.learning.energies.samples import EnergySample, prepare_energies
from ase_rholearn.training.learning.train import train
from ase_rholearn.training.options.energy import EnergyTrainingOptions

SMALL = {"pairs": 12, "products": 8, "gates": 16}


def water(count: int, seed: int) -> list[Reference]:
    """Molecules with harmonic bonds."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        atoms = molecule("H2O")
        moved = random.normal(scale=0.04, size=(3, 3))
        atoms.positions += moved
        made.append(
            Reference(
                atoms, np.zeros(0), {}, energy=-2080 + 20 * (moved**2).sum(), forces=-40 * moved
            )
        )
    return made


@pytest.fixture(scope="module")
def training(network: DensityNetwork, tiny_basis: Basis) -> list[EnergySample]:
    return prepare_energies(water(12, 0), network.expansion, tiny_basis)


@pytest.fixture(scope="module")
def contacts() -> list[Reference]:
    references = water(12, 0)
    return make_contacts(references.__getitem__, range(12), 20, seed=1)


def test_onset_is_the_least_distance_of_each_pair(training) -> None:
    expected = {}
    for reference in water(12, 0):
        d = reference.atoms.get_all_distances()
        oh, hh = min(d[0, 1], d[0, 2]), d[1, 2]
        expected["OH"] = min(oh, expected.get("OH", 9.0))
        expected["HH"] = min(hh, expected.get("HH", 9.0))
    oh, hh = expected["OH"], expected["HH"]
    # two oxygen atoms never meet: nothing is known up to the cutoff
    np.testing.assert_allclose(least_distances(training, 2, 3.0), [[hh, oh], [oh, 3.0]], rtol=1e-12)
    # nor is it known whether they have bonds: the repulsion leaves these alone
    onset = repulsion_onset(training, [1, 8], 3.0)
    assert float(onset[0, 1]) == pytest.approx(min(oh, 0.8 * 0.97))
    np.testing.assert_allclose(onset.diag(), [0.8 * 0.62, 0.8 * 1.32], rtol=1e-12)


def test_energy_of_contacts(contacts: list[Reference]) -> None:
    """That of both molecules, far apart, and a repulsion whose slopes are the forces."""
    singles = np.array([r.energy for r in water(12, 0)])
    for contact in contacts:
        between, _ = repulsion._between(contact.atoms[:3], contact.atoms[3:])
        sums = singles[:, None] + singles + between
        assert np.abs(sums - contact.energy).min() < 1e-9
        assert between > 0
        d = contact.atoms.get_all_distances()[:3, 3:]
        radii = vdw_radii[contact.atoms.numbers]
        assert 0.3 < (d / (radii[:3, None] + radii[3:])).min() < 0.6


class Between(Calculator):
    """The repulsion of two molecules."""

    implemented_properties = ("energy",)

    def calculate(self, atoms: Atoms, *_: Any) -> None:
        self.results = {"energy": repulsion._between(atoms[:3], atoms[3:])[0]}


def test_forces_of_contacts(contacts: list[Reference]) -> None:
    atoms = contacts[0].atoms.copy()
    atoms.calc = Between()
    numerical = calculate_numerical_forces(atoms, eps=1e-5)
    _, forces = repulsion._between(atoms[:3], atoms[3:])
    np.testing.assert_allclose(forces, numerical, atol=1e-6)
    # those within the molecules turn with them
    left = contacts[0].forces - forces
    sizes = np.sort(np.linalg.norm(left[:3], axis=1))
    known = [np.sort(np.linalg.norm(r.forces, axis=1)) for r in water(12, 0)]
    assert min(np.abs(sizes - other).max() for other in known) < 1e-10


def test_contacts_of_what_cannot_be_used() -> None:
    references = [
        Reference(molecule("H2O"), np.zeros(0), {}),
        Reference(Atoms("O", cell=[3, 3, 3], pbc=True), np.zeros(0), {}, energy=1.0),
    ]
    assert make_contacts(references.__getitem__, range(2), 10) == []
    assert make_contacts(references.__getitem__, (), 10) == []
    without = [Reference(Atoms("O"), np.zeros(0), {}, energy=-1.0)]
    made = make_contacts(without.__getitem__, [0], 2)
    assert [r.forces for r in made] == [None, None]


def fitted(network, basis, training, contacts, **changes: Any):
    options = EnergyTrainingOptions(**SMALL, ridges=[1e-3], **changes)
    extra = prepare_energies(contacts, network.expansion, basis, options.contact_weight)
    return stage.new_energy(network, training, [], options, basis, contacts=extra)[0]


def test_fit_is_of_the_sum(
    network, training, contacts, tiny_basis, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Energies come out right where a repulsion is a large part of them, in bonds too."""
    monkeypatch.setattr(stage, "repulsion_onset", lambda *_: torch.full((2, 2), 1.8))
    path = tmp_path / "model.pt"
    heads = [
        fitted(network, tiny_basis, training, few, contact_weight=1.0) for few in ([], contacts)
    ]
    pressed = prepare_energies(contacts, network.expansion, tiny_basis)
    assert min(float(repulsion.repulsion_forces(heads[0], s)[0]) for s in training) > 1.0
    off = fitted(network, tiny_basis, training, [], repulsion=False)
    pushed, free = (stage.energy_errors(head, training) for head in (heads[0], off))
    assert pushed.forces < 1.3 * free.forces
    ignorant, taught = (stage.energy_errors(head, pressed) for head in heads)
    assert taught.energy < 0.2 * ignorant.energy
    assert taught.forces < 0.5 * ignorant.forces
    # errors of samples are those of the exported sum
    export_model(network, tiny_basis, ModelCard("x"), path, dtype="float64", energy=heads[1])
    model = load_model(path, "cpu")
    batch = EnergySample.join(pressed)
    energies, forces = stage.predict_energies(heads[1], batch)
    potentials = [model.potential(r.atoms) for r in contacts]
    np.testing.assert_allclose(energies.detach(), [p.energy for p in potentials], atol=1e-8)
    expected = np.concatenate([p.forces for p in potentials])
    np.testing.assert_allclose(forces, expected, atol=1e-4 * np.abs(expected).max())


def test_weights_count_structures(network, training, tiny_basis) -> None:
    """A structure of weight two is a structure that is there twice."""
    head = fitted(network, tiny_basis, training, [])
    double = prepare_energies(water(12, 0)[:1], network.expansion, tiny_basis, 2.0)
    sums = [
        stage.normal_equations(head, [*training[1:], *first], 3.0)
        for first in (double, training[:1] * 2)
    ]
    torch.testing.assert_close(sums[0].matrix, sums[1].matrix, rtol=1e-9, atol=1e-7)
    torch.testing.assert_close(sums[0].right, sums[1].right, rtol=1e-9, atol=1e-7)
    batches = [EnergySample.join(samples) for samples in (double, training[:1] * 2)]
    losses = [
        float(stage.energy_loss(head, batch, 3.0).detach()) * len(batch.species)
        for batch in batches
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_switched_off(network, training, tiny_basis) -> None:
    off = fitted(network, tiny_basis, training, [], repulsion=False)
    on = fitted(network, tiny_basis, training, [])
    assert off.repulsion is None
    assert not any("repulsion" in name for name in off.state_dict())
    # no structure of the training part is nearer than the onset: the weights are the same
    for name, value in off.state_dict().items():
        torch.testing.assert_close(value, on.state_dict()[name], rtol=1e-9, atol=1e-9)


def test_runs_keep_the_repulsion(run: Any, plan: Any, tmp_path) -> None:
    shutil.copytree(run.options.output, tmp_path / "run")
    for epochs in (0, 2):
        energy = {**SMALL, "epochs": epochs, "contacts": 6, "batch_size": 3}
        train(plan(tmp_path / "run", energy=energy))
        content = torch.load(tmp_path / "run" / "energy.pt", weights_only=True)
        onset = content["state"]["repulsion.onset"]
        assert bool((onset > 0.4).all())
        for path in (tmp_path / "run").glob("energy*.pt"):
            path.unlink()


def test_files_of_older_runs_have_none(network, training, tiny_basis, tmp_path) -> None:
    head = fitted(network, tiny_basis, training, [], repulsion=False)
    options = EnergyTrainingOptions(**SMALL).model_dump()
    for name in ("repulsion", "contacts", "contact_weight"):
        del options[name]
    path = tmp_path / "energy.pt"
    torch.save({"options": options, "state": head.state_dict()}, path)
    assert stage.read_energy(path, network).repulsion is None
