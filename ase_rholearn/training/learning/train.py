"""A training run: closed-form start, gradient training, last solve for the readout.

The run's folder holds, in the order in which they appear,

    options.yaml       the options, complete
    split.json         ids of the training, validation and test part
    start.pt           weights of the closed-form start
    gradient-start.pt  those that gradients start from
    checkpoints/       of the gradient training
    metrics.jsonl      errors after each epoch; metrics.csv has the same
    errors.json        error of each stage
    network.pt         the trained weights, those of the best stage
    energy.pt          weights of the energies, if the options have that section; see .energies

Each stage that is there is not repeated, so that an interrupted run goes on where it was. Of
several processes that train together, the first one writes all this.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from ase.data import chemical_symbols

from ...basis import Basis
from ...files import atomic_write, temporary_sibling
from ...model import DensityNetwork, build_network
from ..data import DataSet, groups_by, read_split, split_ids, write_split
from ..options import TrainOptions
from .closed_form import initialize
from .energies.stage import train_energies
from .initial import fine_tuned, freeze, load_initial
from .logs import check_logs
from .loop import train_by_gradients
from .module import loss_of_free_atoms, mean_loss
from .prepare import ORTHONORMAL_METRIC, prepare
from .processes import is_first, wait_for
from .readout import readout_corrections, readout_solutions, solve_readout
from .samples import Sample
from .steps import copied_state

Say = Callable[[str], None]


def train(
    options: TrainOptions, *, say: Say = lambda text: None, progress_bar: bool = False
) -> Path:
    """Train a network, or go on with a run that was interrupted.

    Parameters
    ----------
    options
        The run.
    say
        Called with a line of text at each stage.
    progress_bar
        Show one during gradient training.

    Returns
    -------
    pathlib.Path
        The file of the trained weights.
    """
    dataset = DataSet.open(options.dataset)
    if not is_first():
        return _help(options, dataset)
    split = _prepare_folder(options, dataset)
    result = options.output / "network.pt"
    if result.exists():
        say(f"{result} is there already")
    else:
        if options.gradient.epochs > 0:
            check_logs(options)
        say(f"preparing {len(split['training']) + len(split['validation'])} structures")
        stages = _Stages(options, say, dataset.basis, *_prepare(options, dataset, split))
        stages.start()
        if options.gradient.epochs > 0:
            stages.train_by_gradients(progress_bar)
        stages.keep_best(result)
    _train_energies(options, dataset, split, say)
    return result


class _Stages:
    """The stages of a run, each of which is judged; the best one is kept."""

    def __init__(
        self,
        options: TrainOptions,
        say: Say,
        basis: Basis,
        network: DensityNetwork,
        training: list[Sample],
        validation: list[Sample],
    ) -> None:
        self.options, self.say, self.basis = options, say, basis
        self.network, self.training, self.validation = network, training, validation
        self.scale = loss_of_free_atoms(training)
        self.errors: dict[str, float] = {}
        self.states: dict[str, dict[str, torch.Tensor]] = {}

    def start(self) -> None:
        """Closed form, or what another run has left of it."""
        path = self.options.output / "start.pt"
        if not path.exists():
            self._initialize()
            self._solve()
            _save(self.network, path)
        self.network.load_state_dict(torch.load(path, weights_only=True))
        self._judge("start", "closed-form start")

    def train_by_gradients(self, progress_bar: bool) -> None:
        """Gradients, and the readout that goes with the gates and tensors that they found."""
        path = self.options.output / "gradient-start.pt"
        if not path.exists():
            self._smooth()
            _save(self.network, path)
        self.network.load_state_dict(torch.load(path, weights_only=True))
        train_by_gradients(
            self.network, self.options, self.training, self.validation, self.scale, progress_bar
        )
        if not self._judge("gradient", "gradient training"):
            self.say(
                "gradient training diverged and is dropped: make gradient.learning_rate smaller"
            )
        elif self.options.gradient.finish:
            self._solve()
            self._judge("finish", "readout solved again")

    def keep_best(self, path: Path) -> None:
        """Write errors and weights; a stage may have spoiled what the one before had reached."""
        best = min(self.errors, key=self.errors.__getitem__)
        if best != list(self.errors)[-1]:
            self.say(f"kept, as the smallest: {self._text(self.errors[best])}")
        self.network.load_state_dict(self.states[best])
        with atomic_write(self.options.output / "errors.json", "w") as stream:
            json.dump(self.errors, stream, indent=1)
        _save(self.network, path)

    def _initialize(self) -> None:
        """Gates and tensors, of those species that initial weights do not know."""
        known: Sequence[int] = ()
        if self.options.initial is not None:
            known = load_initial(self.options.initial.model).basis.species
        leave = [self.basis.species.index(z) for z in known]
        closed_form = self.options.start.closed_form()
        initialize(self.network, self.training, closed_form, self.options.seed, leave=leave)

    def _solve(self) -> None:
        """The readout, or its correction if there are initial weights; the best ridge term."""
        initial, start = self.options.initial, self.options.start
        if initial is not None and ("readouts" in initial.freeze or start.iterations == 0):
            return
        solutions = readout_solutions if initial is None else readout_corrections
        found = []
        turns = solutions(self.network, self.training, start.closed_form(), start.ridges)
        for ridge, _ in zip(start.ridges, turns, strict=True):
            error = self._error() if len(start.ridges) > 1 else 0.0
            found.append((error, ridge, copied_state(self.network)))
        _, ridge, state = min(found, key=lambda entry: entry[0])
        self.network.load_state_dict(state)
        if len(start.ridges) > 1:
            self.say(f"ridge term {ridge:g} is the best of {len(start.ridges)}")

    def _smooth(self) -> None:
        """A readout that gradients can start from."""
        gradient = self.options.gradient
        if self.options.initial is None and gradient.train == "all":
            closed_form = self.options.start.closed_form(gradient.start_ridge)
            solve_readout(self.network, self.training, closed_form)

    def _error(self) -> float:
        """In percent of the deformation density, on the validation part if there is one."""
        loss = mean_loss(self.network, self.validation or self.training) / self.scale
        return 100 * float(np.sqrt(np.maximum(loss, 0.0)))  # nan stays nan

    def _judge(self, name: str, stage: str) -> bool:
        """Note a stage; False if its error is no number, which is not noted."""
        error = self._error()
        self.say(f"{stage}: {self._text(error)}")
        if math.isfinite(error):
            self.errors[name], self.states[name] = error, copied_state(self.network)
        return math.isfinite(error)

    def _text(self, error: float) -> str:
        part = "validation" if self.validation else "training"
        return f"{part} error {error:.3f} % of the deformation density"


def _help(options: TrainOptions, dataset: DataSet) -> Path:
    """What the other processes of a run do: wait for its start, and take part in each step."""
    start = options.output / "gradient-start.pt"
    wait_for(start)
    split = read_split(options.output / "split.json", dataset.ids)
    network, training, validation = _prepare(options, dataset, split)
    network.load_state_dict(torch.load(start, weights_only=True))
    scale = loss_of_free_atoms(training)
    train_by_gradients(network, options, training, validation, scale, progress_bar=False)
    return options.output / "network.pt"


def _prepare(
    options: TrainOptions, dataset: DataSet, split: dict[str, list[str]]
) -> tuple[DensityNetwork, list[Sample], list[Sample]]:
    """The network with its initial weights, and training and validation samples."""
    torch.manual_seed(options.seed)
    network = new_network(options, dataset.basis)
    dtype = torch.float64 if options.gradient.precision == "float64" else torch.float32
    training, validation = (
        prepare(dataset, split[part], network, options.loss, dtype)
        for part in ("training", "validation")
    )
    return network, training, validation


def new_network(options: TrainOptions, basis: Basis) -> DensityNetwork:
    """A network with the architecture of a run; with weights only if there are initial ones."""
    if options.initial is None:
        return build_network(options.model.network(), basis, metric=ORTHONORMAL_METRIC)
    initial = load_initial(options.initial.model)
    new = [chemical_symbols[z] for z in basis.species if z not in initial.basis.species]
    if new and options.start.iterations == 0:
        raise ValueError(
            f"start.iterations is 0, but initial.model has no weights for {', '.join(new)}: give "
            "at least 1, so that these species have a start"
        )
    network = fine_tuned(initial, basis)
    freeze(network, options.initial.freeze)
    return network


def _train_energies(
    options: TrainOptions, dataset: DataSet, split: dict[str, list[str]], say: Say
) -> None:
    """The stage after the density, if the options ask for it."""
    if options.energy is not None:
        network = load_network(options, dataset.basis)
        train_energies(
            options.energy, options.output, network, dataset, split, seed=options.seed, say=say
        )


def load_network(options: TrainOptions, basis: Basis) -> DensityNetwork:
    """The trained network of a run that has ended."""
    path = options.output / "network.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: train first")
    network = new_network(options, basis)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network


def _prepare_folder(options: TrainOptions, dataset: DataSet) -> dict[str, list[str]]:
    """Write options and split, or check that they are those of the folder."""
    output = options.output
    relevant = _relevant(options.model_dump(mode="json"))
    options_file, split_file = output / "options.yaml", output / "split.json"
    if options_file.exists():
        # options that have come since have the defaults
        previous = TrainOptions.model_validate(yaml.safe_load(options_file.read_text()))
        kept = _relevant(previous.model_dump(mode="json"))
        changed = [key for key in relevant if kept[key] != relevant[key]]
        if changed:
            raise ValueError(
                f"{output} holds a run with other options ({', '.join(changed)}): choose another "
                "output, or remove it"
            )
    # a split that cannot be made leaves nothing behind, so that other options can follow
    split = None if split_file.exists() else _split(options, dataset)
    output.mkdir(parents=True, exist_ok=True)
    if not options_file.exists():
        with atomic_write(options_file, "w") as stream:
            yaml.safe_dump(options.model_dump(mode="json"), stream, sort_keys=False)
    if split is not None:
        write_split(split_file, split)
    return read_split(split_file, dataset.ids)


def _relevant(options: dict[str, Any]) -> dict[str, Any]:
    """Options without the card, and without paths, which may be written differently later.

    Energies may be added to a run that has ended, whose stage checks its own options, and so may
    what the export needs.
    """
    left_out = ("dataset", "output", "card", "energy", "uncertainty")
    kept = {k: v for k, v in options.items() if k not in left_out}
    kept["split"] = {k: v for k, v in kept.get("split", {}).items() if k != "file"}
    return kept


def _split(options: TrainOptions, dataset: DataSet) -> dict[str, list[str]]:
    """Ids of each part, as the options say."""
    part = options.split
    if part.file is not None:
        return read_split(part.file, dataset.ids)
    groups = groups_by(dataset, part.group) if part.group else None
    return split_ids(dataset.ids, part.validation, part.test, part.seed, groups=groups)


def _save(network: DensityNetwork, path: Path) -> None:
    with temporary_sibling(path) as temporary:
        torch.save(network.state_dict(), temporary)
