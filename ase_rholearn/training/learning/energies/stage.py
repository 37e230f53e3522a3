"""Energies as a stage of a run, after the density: closed form, and gradients if wanted.

It adds to the run's folder

    energy-start.pt        weights of the closed form
    energy-checkpoint.pt   of the gradient training, after each epoch
    energy.pt              the trained weights, with the options that they were trained with

and its errors to ``errors.json``; each epoch of gradients appends a line to ``metrics.jsonl``.
What is there is not repeated. The weights of the density are not touched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ase.data import atomic_numbers

from ....basis import Basis
from ....files import append_json, atomic_write, temporary_sibling
from ....model import DensityNetwork, EnergyHead, NuclearRepulsion
from ...data import DataSet
from ...options.energy import EnergyTrainingOptions
from ..steps import copied_state, epoch_order, typical_size
from .closed_form import (
    fit_composition,
    initialize_energy,
    normal_equations,
    set_weights,
)
from .repulsion import make_contacts, repulsion_forces, repulsion_onset
from .samples import EnergySample, prepare_energies

Say = Callable[[str], None]

#: Names of errors, in files and cards.
_FIGURES = ("energy_rmse_mev_per_atom", "forces_rmse_mev_per_angstrom")


@dataclass(frozen=True)
class EnergyErrors:
    """Root mean square errors over structures.

    Attributes
    ----------
    energy
        meV/atom.
    forces
        meV/Angstrom; NaN without any forces.
    """

    energy: float
    forces: float

    def loss(self, energy_weight: float) -> float:
        """What models are compared by: mean squares in the proportion of the training loss."""
        forces = 0.0 if self.forces != self.forces else self.forces  # not a number
        return (energy_weight * self.energy) ** 2 + forces**2

    def __str__(self) -> str:
        return f"{self.energy:.2f} meV/atom, forces {self.forces:.1f} meV/Angstrom"

    def to_dict(self) -> dict[str, float]:
        """As they are written to files."""
        return dict(zip(_FIGURES, (self.energy, self.forces), strict=True))


def train_energies(
    options: EnergyTrainingOptions,
    output: Path,
    network: DensityNetwork,
    dataset: DataSet,
    split: dict[str, list[str]],
    *,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Path:
    """Train the energies of a run, or go on with it.

    Parameters
    ----------
    options
        Section ``energy`` of the run's options.
    output
        Folder of the run.
    network
        The trained network, whose expansion is the input.
    dataset, split
        References, and the ids of each part.
    seed
        Of all that is drawn.
    say
        Called with a line of text at each step.

    Returns
    -------
    pathlib.Path
        The file of the weights.
    """
    result = output / "energy.pt"
    if _finished(result, options):
        say(f"{result} is there already")
        return result
    training, validation = (
        prepare_energies(map(dataset.load, split[part]), network.expansion, dataset.basis)
        for part in ("training", "validation")
    )
    if not training:
        raise ValueError(
            f"{dataset.folder}: no training structure has an energy; leave out the section energy"
        )
    contacts = prepare_energies(
        make_contacts(dataset.load, split["training"], options.contacts, seed),
        network.expansion,
        dataset.basis,
        options.contact_weight,
    )
    judged = validation or training
    name = f"{'validation' if validation else 'training'} error"

    start = output / "energy-start.pt"
    if not _finished(start, options):
        head, _ = new_energy(
            network, training, validation, options, dataset.basis, seed, contacts=contacts
        )
        _save(start, head, options)
    head = read_energy(start, network)
    errors = energy_errors(head, judged)
    say(f"energies, closed form: {name} {errors}")
    if options.epochs > 0:
        refine_energy(head, training, validation, options, output, seed, contacts=contacts)
        refined = energy_errors(head, judged)
        say(f"energies, gradient training: {name} {refined}")
        if refined.loss(options.energy_weight) < errors.loss(options.energy_weight):
            errors = refined
        else:  # gradients may spoil what the closed form had reached
            head = read_energy(start, network)
    nothing = composition_errors(training, judged, len(dataset.basis.species))
    _add_errors(output / "errors.json", nothing, errors)
    _save(result, head, options)
    return result


def load_energy(output: Path, network: DensityNetwork) -> EnergyHead | None:
    """The trained energies of a run, or None if it has none.

    Parameters
    ----------
    output
        Folder of the run.
    network
        Its trained network.
    """
    path = output / "energy.pt"
    return read_energy(path, network) if path.exists() else None


def validation_figures(output: Path) -> dict[str, float]:
    """Errors of a run's energies on its validation part, for the card of its model."""
    path = output / "errors.json"
    if not (output / "energy.pt").exists() or not path.exists():
        return {}
    figures = json.loads(path.read_text())
    return {f"validation_{name}": figures[name] for name in _FIGURES if name in figures}


def read_energy(path: Path, network: DensityNetwork) -> EnergyHead:
    """The energies of a file of this stage."""
    content = torch.load(path, weights_only=True)
    options = EnergyTrainingOptions.model_validate(content["options"])
    state = content["state"]
    repulsion = None
    if "repulsion.onset" in state:  # runs of before had none
        numbers = state["repulsion.charges"].to(torch.long).tolist()
        repulsion = NuclearRepulsion(numbers, state["repulsion.onset"])
    head = EnergyHead(network.expansion, options.architecture(), repulsion)
    head.load_state_dict(state)
    return head


def predict_energies(
    head: EnergyHead, sample: EnergySample, *, create_graph: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies (n_structures,), eV, and forces (n_atoms, 3), eV/Angstrom.

    The repulsion is part of both. With ``create_graph`` the forces can be differentiated with
    respect to weights.
    """
    expansion = sample.expansion.detach().requires_grad_()
    atoms = head(expansion, sample.species)
    (gradient,) = torch.autograd.grad(atoms.sum(), expansion, create_graph=create_graph)
    n_radial = sample.slopes.shape[2]
    by_species = gradient.reshape(*gradient.shape[:2], -1, n_radial)
    along = by_species[sample.centers, :, sample.species[sample.neighbors]]  # [pair, lm, n]
    pairs = torch.einsum("pan,panc->pc", along, sample.slopes.to(along.dtype))
    energies, forces = repulsion_forces(head, sample)
    forces = forces.index_add(0, sample.centers, pairs).index_add(0, sample.neighbors, -pairs)
    return energies.index_add(0, sample.systems, atoms), forces


def energy_errors(head: EnergyHead, samples: Sequence[EnergySample]) -> EnergyErrors:
    """Errors of energies per atom and of components of forces."""
    energy, forces = [], []
    for sample in samples:
        predicted = predict_energies(head, sample)
        energy.append(((predicted[0] - sample.energies) / sample.counts).detach())
        forces.append((predicted[1] - sample.forces).detach())
    return _errors(energy, forces)


def composition_errors(
    training: Sequence[EnergySample], judged: Sequence[EnergySample], n_species: int
) -> EnergyErrors:
    """Errors of energies that follow from the composition alone, and of no forces."""
    atoms = fit_composition(training, n_species)
    energy = [(s.composition(n_species) @ atoms - s.energies) / s.counts for s in judged]
    return _errors(energy, [s.forces for s in judged])


def new_energy(
    network: DensityNetwork,
    training: Sequence[EnergySample],
    validation: Sequence[EnergySample],
    options: EnergyTrainingOptions,
    basis: Basis,
    seed: int = 0,
    *,
    contacts: Sequence[EnergySample] = (),
) -> tuple[EnergyHead, float]:
    """Energies in closed form, and the ridge term that was best on the validation part.

    Contacts are trained on as the training part is, but not judged by.
    """
    repulsion = None
    if options.repulsion:
        cutoff = network.expansion.table.cutoff
        onset = repulsion_onset(training, basis.species, cutoff)
        repulsion = NuclearRepulsion(basis.species, onset)
    head = EnergyHead(network.expansion, options.architecture(), repulsion)
    table, seen = network.expansion.table, [*training, *contacts]
    initialize_energy(head, table, seen, options.prior(), seed)
    ridge = solve_energy(head, training, validation, options, basis, contacts=contacts)
    return head, ridge


def solve_energy(
    head: EnergyHead,
    training: Sequence[EnergySample],
    validation: Sequence[EnergySample],
    options: EnergyTrainingOptions,
    basis: Basis,
    *,
    contacts: Sequence[EnergySample] = (),
) -> float:
    """Weights in closed form, in place, with the best ridge term, which is returned."""
    fixed = bool(options.free_atoms)
    atoms = (
        _given_atoms(options.free_atoms, basis)
        if fixed
        else fit_composition(training, len(basis.species))
    )
    with torch.no_grad():
        head.baseline.copy_(atoms)
    equations = normal_equations(head, [*training, *contacts], options.energy_weight)
    # without a validation part only the middle of the list can be trusted
    ridges = options.ridges if validation else options.ridges[len(options.ridges) // 2 :][:1]
    found = []
    for ridge in ridges:
        candidate = equations.solve(ridge, options.prior(), head.n_invariants, fixed=fixed)
        _restart(head, atoms, candidate)
        errors = energy_errors(head, validation or training)
        found.append((errors.loss(options.energy_weight), ridge, candidate))
    _, ridge, best = min(found, key=lambda entry: entry[0])
    _restart(head, atoms, best)
    return ridge


def refine_energy(
    head: EnergyHead,
    training: Sequence[EnergySample],
    validation: Sequence[EnergySample],
    options: EnergyTrainingOptions,
    output: Path,
    seed: int,
    *,
    contacts: Sequence[EnergySample] = (),
) -> None:
    """Gradient training in place; the best epoch by validation error is kept."""
    seen = [*training, *contacts]
    state = _Refinement.begin(head, options, len(seen), seed)
    checkpoint = output / "energy-checkpoint.pt"
    if _finished(checkpoint, options):
        state.load(torch.load(checkpoint, weights_only=True))
    while state.epoch < options.epochs:
        state.run_epoch(seen)
        errors = energy_errors(head, validation or training)
        state.remember(errors.loss(options.energy_weight))
        with temporary_sibling(checkpoint) as temporary:
            torch.save({"options": options.model_dump(), **state.dump()}, temporary)
        append_json(output / "metrics.jsonl", {"energy_epoch": state.epoch, **errors.to_dict()})
    head.load_state_dict(state.best)


@dataclass
class _Refinement:
    """Everything that the next epoch depends on."""

    head: EnergyHead
    options: EnergyTrainingOptions
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    seed: int
    best: dict[str, torch.Tensor]
    least: float = float("inf")
    epoch: int = 0

    @classmethod
    def begin(
        cls, head: EnergyHead, options: EnergyTrainingOptions, n_samples: int, seed: int
    ) -> _Refinement:
        """Adam, each tensor of weights moving in proportion to its own size."""
        tensors = [p for name, p in head.named_parameters() if name != "baseline" and p.numel()]
        rates = [options.learning_rate * typical_size(p) for p in tensors]
        groups = [{"params": [p], "lr": rate} for p, rate in zip(tensors, rates, strict=True)]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        steps = options.epochs * -(-n_samples // options.batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=rates, total_steps=steps, pct_start=0.1
        )
        return cls(head, options, optimizer, schedule, seed, copied_state(head))

    def run_epoch(self, samples: Sequence[EnergySample]) -> None:
        """One pass over the training set, in an order that depends on seed and epoch alone."""
        order = epoch_order(len(samples), self.seed, self.epoch)
        for chosen in order.split(self.options.batch_size):
            batch = EnergySample.join([samples[i] for i in chosen.tolist()])
            self.optimizer.zero_grad()
            energy_loss(self.head, batch, self.options.energy_weight).backward()
            self.optimizer.step()
            self.schedule.step()
        self.epoch += 1

    def remember(self, loss: float) -> None:
        """Keep the weights if they are the best ones so far."""
        if loss < self.least:
            self.least, self.best = loss, copied_state(self.head)

    def dump(self) -> dict[str, Any]:
        return {
            "state": copied_state(self.head),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best,
            "least": self.least,
            "epoch": self.epoch,
        }

    def load(self, content: dict[str, Any]) -> None:
        self.head.load_state_dict(content["state"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.schedule.load_state_dict(content["schedule"])
        self.best, self.least = content["best"], content["least"]
        self.epoch = content["epoch"]


def energy_loss(head: EnergyHead, batch: EnergySample, energy_weight: float) -> torch.Tensor:
    """What the closed form minimises too, without ridge term, per component of forces."""
    energies, forces = predict_energies(head, batch, create_graph=True)
    known = ~batch.forces.isnan()
    squares = ((energies - batch.energies) * energy_weight).square() / batch.counts
    residual = (batch.weights[batch.systems, None] * (forces - batch.forces).square())[known]
    return ((batch.weights * squares).sum() + residual.sum()) / (3 * len(batch.species))


def _restart(head: EnergyHead, atoms: torch.Tensor, solution: torch.Tensor) -> None:
    with torch.no_grad():
        head.baseline.copy_(atoms)
    set_weights(head, solution)


def _given_atoms(energies: dict[str, float], basis: Basis) -> torch.Tensor:
    known = {atomic_numbers.get(symbol, 0): energy for symbol, energy in energies.items()}
    missing = sorted(set(basis.species) - set(known))
    if missing or 0 in known:
        raise ValueError(
            f"energy.free_atoms is {energies}: give an energy in eV for the symbol of each of the "
            f"species {list(basis.species)}, and nothing else"
        )
    return torch.tensor([known[z] for z in basis.species], dtype=torch.float64)


def _errors(energy: Sequence[torch.Tensor], forces: Sequence[torch.Tensor]) -> EnergyErrors:
    components = torch.cat([f.flatten() for f in forces])
    components = components[~components.isnan()]
    per_atom = torch.cat(list(energy))
    return EnergyErrors(
        1e3 * float(per_atom.square().mean().sqrt()), 1e3 * float(components.square().mean().sqrt())
    )


def _finished(path: Path, options: EnergyTrainingOptions) -> bool:
    """Whether a file of this stage is there, made with the same options."""
    if not path.exists():
        return False
    previous = torch.load(path, weights_only=True)["options"]
    current = options.model_dump()
    changed = [name for name in current if previous.get(name) != current[name]]
    if changed:
        raise ValueError(
            f"{path} was made with other options (energy.{', energy.'.join(changed)}): remove "
            f"{path.parent / 'energy*.pt'} to train energies anew, or restore the options"
        )
    return True


def _save(path: Path, head: EnergyHead, options: EnergyTrainingOptions) -> None:
    with temporary_sibling(path) as temporary:
        torch.save({"options": options.model_dump(), "state": head.state_dict()}, temporary)


def _add_errors(path: Path, composition: EnergyErrors, best: EnergyErrors) -> None:
    errors = json.loads(path.read_text()) if path.exists() else {}
    baseline = {"composition_energy_rmse_mev_per_atom": composition.energy}
    with atomic_write(path, "w") as stream:
        json.dump({**errors, **best.to_dict(), **baseline}, stream, indent=1)
