"""A training run: closed-form start, gradient training, last solve for the readout.

The run's folder holds, in the order in which they appear,

    options.yaml    the options, complete
    split.json      ids of the training, validation and test part
    start.pt        weights of the closed-form start
    checkpoints/    of the gradient training
    metrics.jsonl   errors after each epoch
    errors.json     error of each stage
    network.pt      the trained weights, those of the best stage

Each stage that is there is not repeated, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import logging
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar

from ...basis import Basis
from ...files import atomic_write, temporary_sibling
from ...model import DensityNetwork, build_network
from ..data import DataSet, groups_by, read_split, split_ids, write_split
from ..options import TrainOptions
from .closed_form import initialize, solve_readout
from .module import (
    DensityTraining,
    SeededSampler,
    convert,
    loader,
    loss_of_free_atoms,
    mean_loss,
)
from .samples import BlockOrder, Sample, expand, loss_metric

#: In which the radial functions are made orthonormal.
ORTHONORMAL_METRIC = "overlap"

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
    output = options.output
    split = _prepare_folder(options, dataset)
    result = output / "network.pt"
    if result.exists():
        say(f"{result} is there already")
        return result

    torch.manual_seed(options.seed)
    network = build_network(options.model.network(), dataset.basis, metric=ORTHONORMAL_METRIC)
    say(f"preparing {len(split['training']) + len(split['validation'])} structures")
    training = prepare(dataset, split["training"], network, options.loss.coulomb)
    validation = prepare(dataset, split["validation"], network, options.loss.coulomb)
    scale = loss_of_free_atoms(training)

    def judge(stage: str) -> float:
        judged = validation or training
        error = 100 * (mean_loss(network, judged) / scale) ** 0.5
        name = "validation" if validation else "training"
        say(f"{stage}: {name} error {error:.3f} % of the deformation density")
        return error

    closed_form = options.start.closed_form()
    start = output / "start.pt"
    if not start.exists():
        initialize(network, training, closed_form, options.seed)
        solve_readout(network, training, closed_form)
        _save(network, start)
    network.load_state_dict(torch.load(start, weights_only=True))
    errors = {"start": judge("closed-form start")}
    states = {"start": _state(network)}

    if options.gradient.epochs > 0:
        _train_by_gradients(network, options, training, validation, scale, progress_bar)
        errors["gradient"] = judge("gradient training")
        states["gradient"] = _state(network)
        if options.gradient.finish:
            solve_readout(network, training, closed_form)
            errors["finish"] = judge("readout solved again")
            states["finish"] = _state(network)
        # a stage may have spoiled what the one before had reached
        best = min(errors, key=errors.__getitem__)
        network.load_state_dict(states[best])
    with atomic_write(output / "errors.json", "w") as stream:
        json.dump(errors, stream, indent=1)
    _save(network, result)
    return result


def load_network(options: TrainOptions, basis: Basis) -> DensityNetwork:
    """The trained network of a run that has ended."""
    path = options.output / "network.pt"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: train first")
    network = build_network(options.model.network(), basis, metric=ORTHONORMAL_METRIC)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network


def prepare(
    dataset: DataSet, names: Sequence[str], network: DensityNetwork, coulomb: float
) -> list[Sample]:
    """Everything about the structures that does not depend on weights."""
    samples = []
    for name in names:
        reference = dataset.load(name)
        atoms = reference.atoms
        order = BlockOrder(dataset.basis, atoms.numbers, ORTHONORMAL_METRIC)
        metric = order.metric(loss_metric(dataset.basis, atoms, coulomb))
        samples.append(
            Sample(
                expansions=expand(network, dataset.basis, atoms),
                target=torch.from_numpy(order.from_flat(reference.coefficients)),
                # half of the memory; differences of densities do not need more digits
                metric=torch.from_numpy(metric).to(torch.float32),
                electrons=float(atoms.numbers.sum()),
            )
        )
    return samples


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
    """Options without those of the export, and without paths, which may be written differently."""
    left_out = ("dataset", "output", "card", "uncertainty")
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


def _train_by_gradients(
    network: DensityNetwork,
    options: TrainOptions,
    training: list[Sample],
    validation: list[Sample],
    scale: float,
    progress_bar: bool,
) -> None:
    """Train in place; the best epoch by validation error is kept."""
    gradient = options.gradient
    dtype = getattr(torch, gradient.precision)
    folder = options.output / "checkpoints"
    best = ModelCheckpoint(
        folder,
        filename="best",
        monitor="validation_loss" if validation else "training_loss",
        save_last=True,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    callbacks: list[Callback] = [best, _MetricsFile(options.output / "metrics.jsonl")]
    if progress_bar:
        callbacks.append(TQDMProgressBar())
    # tables and transforms come out as they went in, whatever the precision of the steps
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    module = DensityTraining(network.to(dtype), gradient, scale)
    last = folder / "last.ckpt"
    with _quiet_lightning():
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=1,
            max_epochs=gradient.epochs,
            gradient_clip_val=gradient.clip,
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=progress_bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        _fit(
            trainer,
            module,
            loader(
                convert(training, dtype),
                gradient.batch_size,
                SeededSampler(len(training), options.seed),
            ),
            loader(convert(validation, dtype), gradient.batch_size) if validation else None,
            str(last) if last.exists() else None,
        )
    chosen = torch.load(folder / "best.ckpt", weights_only=False)["state_dict"]
    network.to("cpu").to(torch.float64)
    weights = {name.removeprefix("network."): value.double() for name, value in chosen.items()}
    network.load_state_dict({**weights, **buffers})


def _fit(
    trainer: Any, module: DensityTraining, training: Any, validation: Any, checkpoint: str | None
) -> None:
    """``trainer.fit``, from which Ctrl-C comes out as in any other code."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, training, validation, ckpt_path=checkpoint)
    except SystemExit:
        if not trainer.interrupted:
            raise
    if trainer.interrupted:
        # lightning goes on to ignore it
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt


class _MetricsFile(Callback):
    """Append the errors of each epoch to a file, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Write one line."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        with self.path.open("a") as stream:
            stream.write(json.dumps({"epoch": trainer.current_epoch, **metrics}) + "\n")


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without its remarks about hardware, workers and folders."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # it warns of what it does itself
            for category in (UserWarning, DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", module="lightning", category=category)
            yield
    finally:
        logger.setLevel(level)
