"""The commands that make references and models."""

from __future__ import annotations

import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .progress import following

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..training.generation import Progress


class Job(str, Enum):
    """Commands that read a file of options."""

    generate = "generate"
    fit = "fit"
    train = "train"
    aims = "aims"


OptionsFile = Annotated[Path, typer.Argument(metavar="OPTIONS", help="YAML file of options.")]


def generate(options: OptionsFile) -> None:
    """Make reference densities for a file of molecules."""
    from ..training.generation.job import generate_from_options
    from ..training.options import GenerateOptions, load_options

    loaded = load_options(GenerateOptions, options)
    with following("sampling") as sampling, following("references") as show:
        end = generate_from_options(loaded, say=typer.echo, on_sampling=sampling, on_progress=show)
    _report_end(end)


def fit(options: OptionsFile) -> None:
    """Make reference densities from calculations that exist already."""
    from ..training.fitting.job import fit_from_options
    from ..training.options import FitOptions, load_options

    loaded = load_options(FitOptions, options)
    with following("reading") as reading, following("fits") as show:
        end = fit_from_options(loaded, on_reading=reading, on_progress=show)
    _report_end(end)


def train(options: OptionsFile) -> None:
    """Train a network, or go on with an interrupted run."""
    from ..training.learning.processes import is_first
    from ..training.learning.train import train as run
    from ..training.options import TrainOptions, load_options

    result = run(
        load_options(TrainOptions, options), say=typer.echo, progress_bar=sys.stderr.isatty()
    )
    if is_first():
        typer.echo(f"weights: {result}")


def export(
    options: OptionsFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.")] = Path("model.pt"),
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    basis: Annotated[
        Path | None,
        typer.Option(help="JSON file of the basis with radial functions, of FHI-aims' densities."),
    ] = None,
) -> None:
    """Write the network of a run as a model file, with its errors if they were evaluated."""
    from ..model.files.others import as_basis
    from ..training.export import export_run
    from ..training.options import TrainOptions, load_options

    export_run(load_options(TrainOptions, options), output, dtype, basis=as_basis(basis))
    typer.echo(f"wrote {output}")


def update(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Model file, or the name of a shipped model.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.")] = Path("model.pt"),
) -> None:
    """Write a model again with the code of this version, which its file runs from then on."""
    from ..model import update_model

    update_model(model, output)
    typer.echo(f"wrote {output}")


def options(
    command: Annotated[Job, typer.Argument(help="The command that reads the file.")],
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema instead, for editors.")
    ] = False,
) -> None:
    """Print a commented options file with every key, its range, unit and default."""
    from ..training.options import AimsOptions, FitOptions, GenerateOptions, TrainOptions, template

    kinds: dict[Job, type[BaseModel]] = {
        Job.generate: GenerateOptions,
        Job.fit: FitOptions,
        Job.train: TrainOptions,
        Job.aims: AimsOptions,
    }
    if schema:
        typer.echo(json.dumps(template.schema(kinds[command]), indent=1))
    else:
        typer.echo(template.template(kinds[command]), nl=False)


def _report_end(end: Progress) -> None:
    typer.echo(f"{end.done} of {end.total} structures have a reference")
    if end.failed:
        typer.echo(f"{end.failed} failed: see failures.jsonl in the data set")
        raise typer.Exit(1)
