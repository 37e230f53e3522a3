"""Logs of gradient training in other programs: TensorBoard, Weights & Biases (the extra ``logs``).

A run of Weights & Biases keeps its id in the folder of the training, so that an interrupted
training goes on in the same one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ...extras import needs
from ...files import atomic_write
from ..options import TrainOptions
from .processes import is_first


def check_logs(options: TrainOptions) -> None:
    """Raise an error if logs are wanted that cannot be written here.

    Raises
    ------
    ImportError
        A package is missing; the message names the extra.
    ValueError
        Nobody is logged in to Weights & Biases.
    """
    if options.logs.tensorboard:
        with needs("tensorboard", "logs", "logs.tensorboard"):
            import tensorboard  # noqa: F401
    if options.logs.wandb is not None:
        with needs("wandb", "logs", "logs.wandb"):
            import wandb
        with _readable(options.logs.wandb):
            if wandb.setup().settings.mode == "online":
                wandb.login()


@contextmanager
def open_loggers(options: TrainOptions) -> Iterator[list[Any]]:
    """Lightning's loggers of this process.

    Parameters
    ----------
    options
        Those of the run, in whose folder the logs are kept.
    """
    from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

    loggers: list[Any] = []
    with ExitStack() as stack:
        if options.logs.tensorboard:
            loggers.append(TensorBoardLogger(options.output, name="tensorboard", version=""))
        if options.logs.wandb is not None and is_first():
            run = stack.enter_context(_open_wandb(options, options.logs.wandb))
            loggers.append(WandbLogger(experiment=run))
        yield loggers


@contextmanager
def _open_wandb(options: TrainOptions, project: str) -> Iterator[Any]:
    """A run of Weights & Biases, which ends with the block, as failed if that fails."""
    import wandb

    with _readable(project):
        run = wandb.init(
            project=project,
            name=options.name,
            id=_run_id(options.output),
            resume="allow",
            dir=options.output,
            config=options.model_dump(mode="json"),
        )
    run.define_metric("*", step_metric="trainer/global_step")
    try:
        yield run
    except BaseException:  # as a context the run would print the traceback
        run.finish(exit_code=1)
        raise
    run.finish()


def _run_id(folder: Path) -> str:
    path = folder / "wandb-run-id"
    if not path.exists():
        with atomic_write(path, "w") as stream:
            stream.write(secrets.token_hex(8))
    return path.read_text()


@contextmanager
def _readable(project: str) -> Iterator[None]:
    """Errors of Weights & Biases with a remedy."""
    import wandb

    try:
        yield
    except wandb.Error as error:
        raise ValueError(
            f"logs.wandb is {project!r}, but Weights & Biases says: {error} Run `wandb login`, set "
            "the variable WANDB_MODE=offline, or leave logs.wandb out"
        ) from error
