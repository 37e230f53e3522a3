"""The gradient training of a run: lightning's trainer, checkpoints and logs."""

from __future__ import annotations

import csv
import datetime
import json
import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.strategies import DDPStrategy

from ...files import atomic_write
from ...model import DensityNetwork
from ..options import TrainOptions
from .frozen import FrozenNetwork
from .logs import open_loggers
from .module import DensityTraining, SeededSampler, convert, loader
from .processes import rank
from .samples import Sample

#: How long processes wait for each other: all but the first prepare their samples meanwhile.
_PATIENCE = datetime.timedelta(days=1)

#: Precision of the weights, and of lightning, whose "32-true" leaves everything as it is.
_PRECISIONS = {
    "float32": (torch.float32, "32-true"),
    "float64": (torch.float64, "32-true"),
    "bfloat16": (torch.float32, "bf16-mixed"),
}


def train_by_gradients(
    network: DensityNetwork,
    options: TrainOptions,
    training: list[Sample],
    validation: list[Sample],
    scale: float,
    progress_bar: bool,
) -> None:
    """Train in place, or go on from the last checkpoint; the best epoch is kept.

    Parameters
    ----------
    network
        In double precision, which it has again afterwards.
    options
        Those of the run, in whose folder checkpoints and logs are kept.
    training, validation
        The best epoch is that with the least error on ``validation``, or on ``training`` if
        that is empty.
    scale
        Loss that is logged as 1.
    progress_bar
        Whether to show one.
    """
    if options.gradient.train == "all":
        _train(network, options, training, validation, scale, progress_bar)
        return
    frozen = FrozenNetwork(network, training, options.start.components)
    features = (frozen.samples(training), frozen.samples(validation))
    _train(frozen, options, *features, scale, progress_bar)
    frozen.store(network)


def _train(
    network: DensityNetwork | FrozenNetwork,
    options: TrainOptions,
    training: list[Sample],
    validation: list[Sample],
    scale: float,
    progress_bar: bool,
) -> None:
    gradient, processes = options.gradient, options.hardware.processes
    if processes * gradient.batch_size > len(training) > gradient.batch_size:
        raise ValueError(
            f"{processes} devices with gradient.batch_size {gradient.batch_size} need more than "
            f"the {len(training)} training structures: make one of the two smaller"
        )
    dtype, _ = _PRECISIONS[gradient.precision]
    # tables and transforms come out as they went in, whatever the precision of the steps
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    module = DensityTraining(network.to(dtype), gradient, scale)
    sampler = SeededSampler(len(training), options.seed, rank=rank(), processes=processes)
    size = gradient.batch_size
    folder = options.output / "checkpoints"
    last = folder / "last.ckpt"
    with _quiet_lightning(), open_loggers(options) as loggers:
        _fit(
            _trainer(options, folder, bool(validation), loggers, progress_bar),
            module,
            loader(convert(training, dtype), size, sampler),
            loader(convert(validation, dtype), size) if validation else None,
            str(last) if last.exists() else None,
        )
    chosen = torch.load(folder / "best.ckpt", weights_only=False)["state_dict"]
    network.to("cpu").to(torch.float64)
    weights = {name.removeprefix("network."): value.double() for name, value in chosen.items()}
    network.load_state_dict({**weights, **buffers})


def _trainer(
    options: TrainOptions, folder: Path, validates: bool, loggers: list[Any], progress_bar: bool
) -> Any:
    gradient, hardware = options.gradient, options.hardware
    return lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=DDPStrategy(timeout=_PATIENCE) if hardware.processes > 1 else "auto",
        use_distributed_sampler=False,
        precision=_PRECISIONS[gradient.precision][1],
        max_epochs=gradient.epochs,
        gradient_clip_val=gradient.clip,
        callbacks=_callbacks(options, folder, validates, progress_bar),
        logger=loggers,
        log_every_n_steps=1,
        enable_progress_bar=progress_bar,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=options.output,
    )


def _callbacks(
    options: TrainOptions, folder: Path, validates: bool, progress_bar: bool
) -> list[Callback]:
    gradient = options.gradient
    monitored = "validation_loss" if validates else "training_loss"
    callbacks: list[Callback] = [
        ModelCheckpoint(
            folder,
            filename="best",
            monitor=monitored,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        ),
        # of every epoch: what lightning calls the last is the last that was the best
        ModelCheckpoint(
            folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True
        ),
        # also ends a run whose error is no number any more
        EarlyStopping(
            monitored,
            patience=gradient.patience or gradient.epochs,
            check_on_train_epoch_end=True,
        ),
        MetricsFiles(options.output),
    ]
    if gradient.average is not None:
        callbacks.append(EMAWeightAveraging(decay=gradient.average, use_buffers=False))
    if progress_bar:
        callbacks.append(TQDMProgressBar())
    return callbacks


class MetricsFiles(Callback):
    """Errors and learning rate of each epoch: ``metrics.jsonl``, and the same as CSV.

    An epoch that is repeated after an interruption replaces its former self.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Write the files."""
        if not trainer.is_global_zero:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        groups = trainer.optimizers[0].param_groups
        entry = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            **metrics,
            # that of the options, not of a tensor of weights, which goes with its size
            "learning_rate": max(group["lr"] / group["size"] for group in groups),
        }
        former = [e for e in read_metrics(self.folder) if e["epoch"] < entry["epoch"]]
        self._write([*former, entry])

    def _write(self, entries: list[dict[str, float]]) -> None:
        with atomic_write(self.folder / "metrics.jsonl", "w") as stream:
            stream.writelines(json.dumps(entry) + "\n" for entry in entries)
        with atomic_write(self.folder / "metrics.csv", "w") as stream:
            writer = csv.DictWriter(stream, list(entries[-1]), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(entries)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's ``metrics.jsonl``; none if it has not come that far."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _fit(
    trainer: Any, module: DensityTraining, training: Any, validation: Any, checkpoint: str | None
) -> None:
    """``trainer.fit``, from which Ctrl-C comes out as in any other code."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        # a checkpoint of this run, which holds more than weights
        trainer.fit(module, training, validation, ckpt_path=checkpoint, weights_only=False)
    except SystemExit:
        if not trainer.interrupted:
            raise
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    if trainer.interrupted:
        # lightning goes on to ignore it
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without its remarks about hardware, workers and folders."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # it warns of what it does itself
            for category in (UserWarning, DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", module="lightning", category=category)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
