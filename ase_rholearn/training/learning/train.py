"""A training run: closed-form start, gradient training, last solve for the readout.

The run's folder holds, in the order in which they appear,

    options.yaml    the options, complete
    split.json      ids of the training, validation and test part
    start.pt        weights of the closed-form start
    checkpoints/    of the gradient training
    metrics.jsonl   errors after each epoch; metrics.csv has the same
    errors.json     error of each stage
    network.pt      the trained weights, those of the best stage
    energy.pt       weights of the energies, if the options have that section; see .energies

Each stage that is there is not repeated, so that an interrupted run goes on where it was. Of
several processes that train together, the first one writes all this.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from ...basis import Basis
from ...files import atomic_write, temporary_sibling
from ...model import DensityNetwork, build_network
from ..data import DataSet, groups_by, read_split, split_ids, write_split
from ..options import TrainOptions
from .closed_form import correct_readout, initialize, solve_readout
from .energies import train_energies
from .initial import fine_tuned, freeze, load_initial
from .loop import train_by_gradients
from .module import loss_of_free_atoms, mean_loss
from .prepare import ORTHONORMAL_METRIC, prepare
from .processes import is_first, wait_for
from .samples import Sample

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
    dataset = DataSet.open(options.dataset)
    if not is_first():
        return _help(options, dataset)
    output = options.output
    split = _prepare_folder(options, dataset)
    result = output / "network.pt"
    if result.exists():
        say(f"{result} is there already")
        _train_energies(options, dataset, split, say)
        return result

    say(f"preparing {len(split['training']) + len(split['validation'])} structures")
    network, training, validation = _prepare(options, dataset, split)
    scale = loss_of_free_atoms(training)

    def judge(stage: str) -> float:
        judged = validation or training
        loss = mean_loss(network, judged) / scale
        error = 100 * float(np.sqrt(np.maximum(loss, 0.0)))  # nan stays nan
        name = "validation" if validation else "training"
        say(f"{stage}: {name} error {error:.3f} % of the deformation density")
        return error

    start = output / "start.pt"
    if not start.exists():
        _start(options, dataset.basis, network, training)
        _save(network, start)
    network.load_state_dict(torch.load(start, weights_only=True))
    errors = {"start": judge("closed-form start")}
    states = {"start": _state(network)}

    if options.gradient.epochs > 0:
        train_by_gradients(network, options, training, validation, scale, progress_bar)
        error = judge("gradient training")
        if math.isfinite(error):
            errors["gradient"] = error
            states["gradient"] = _state(network)
            if options.gradient.finish:
                _finish(options, network, training)
                errors["finish"] = judge("readout solved again")
                states["finish"] = _state(network)
        else:
            say("gradient training diverged and is dropped: make gradient.learning_rate smaller")
        # a stage may have spoiled what the one before had reached
        best = min(errors, key=errors.__getitem__)
        network.load_state_dict(states[best])
    with atomic_write(output / "errors.json", "w") as stream:
        json.dump(errors, stream, indent=1)
    _save(network, result)
    _train_energies(options, dataset, split, say)
    return result


def _help(options: TrainOptions, dataset: DataSet) -> Path:
    """What the other processes of a run do: wait for its start, and take part in each step."""
    output = options.output
    wait_for(output / "start.pt")
    split = read_split(output / "split.json", dataset.ids)
    network, training, validation = _prepare(options, dataset, split)
    network.load_state_dict(torch.load(output / "start.pt", weights_only=True))
    scale = loss_of_free_atoms(training)
    train_by_gradients(network, options, training, validation, scale, progress_bar=False)
    return output / "network.pt"


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


def _start(
    options: TrainOptions, basis: Basis, network: DensityNetwork, training: list[Sample]
) -> None:
    """The closed-form start, or that of fine-tuning: a correction of the readout alone."""
    closed_form = options.start.closed_form()
    if options.initial is None:
        initialize(network, training, closed_form, options.seed)
        solve_readout(network, training, closed_form)
        return
    known = load_initial(options.initial.model).basis.species
    leave = [basis.species.index(z) for z in known]
    initialize(network, training, closed_form, options.seed, leave=leave)
    if "readouts" not in options.initial.freeze:
        correct_readout(network, training, closed_form)


def _finish(options: TrainOptions, network: DensityNetwork, training: list[Sample]) -> None:
    """Solve for the readout that goes with the trained gates and tensors."""
    closed_form = options.start.closed_form()
    if options.initial is None:
        solve_readout(network, training, closed_form)
    elif "readouts" not in options.initial.freeze:
        correct_readout(network, training, closed_form)


def new_network(options: TrainOptions, basis: Basis) -> DensityNetwork:
    """A network with the architecture of a run; with weights only if there are initial ones."""
    if options.initial is None:
        return build_network(options.model.network(), basis, metric=ORTHONORMAL_METRIC)
    network = fine_tuned(load_initial(options.initial.model), basis)
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
    output.mkdir(parents=True, exist_ok=True)
    relevant = _relevant(options.model_dump(mode="json"))
    options_file, split_file = output / "options.yaml", output / "split.json"
    if options_file.exists():
        previous = _relevant(yaml.safe_load(options_file.read_text()))
        changed = [key for key in relevant if previous.get(key) != relevant[key]]
        if changed:
            raise ValueError(
                f"{output} holds a run with other options ({', '.join(changed)}): choose another "
                "output, or remove it"
            )
    else:
        with atomic_write(options_file, "w") as stream:
            yaml.safe_dump(options.model_dump(mode="json"), stream, sort_keys=False)
    if not split_file.exists():
        write_split(split_file, _split(options, dataset))
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


def _state(network: DensityNetwork) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _save(network: DensityNetwork, path: Path) -> None:
    with temporary_sibling(path) as temporary:
        torch.save(network.state_dict(), temporary)
