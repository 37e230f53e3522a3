"""The command that judges models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .inputs import Level
from .progress import following

#: Suffixes of the options of a run.
_OPTIONS = (".yaml", ".yml")

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Shipped name or path of a model file; several are compared, by what each was "
        "trained on.",
    ),
]
Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA|OPTIONS",
        help="Folder of a data set; or, without a model, the options (.yaml) of a run, whose "
        "network is judged.",
    ),
]
Ids = Annotated[Path | None, typer.Option(help="Only these: a text file with one id a line.")]
Split = Annotated[
    Path | None, typer.Option(help="Only a part of this split, such as split.json of a run.")
]
Part = Annotated[str, typer.Option(help="Of the split or run: training, validation or test.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Folder of the report [default: evaluation; of a run: evaluation-PART in its folder].",
    ),
]
OneShot = Annotated[bool, typer.Option(help="Compute figures (d) and (e), the slow ones.")]
Processes = Annotated[int, typer.Option(min=1, help="Structures that are judged at once.")]
OtherBasis = Annotated[
    bool,
    typer.Option(
        "--other-basis",
        help="The data set may be fitted in another auxiliary basis than the model's: compare "
        "with its SCF densities alone.",
    ),
]
ModelBasis = Annotated[
    Path | None, typer.Option("--basis", help="Of a model of another program: its basis, JSON.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ... (default: the best here).")]
Page = Annotated[bool, typer.Option(help="Write report.html too; needs the extra 'view'.")]
Pictures = Annotated[int, typer.Option(min=0, help="Pictures of so many of the worst structures.")]


def evaluate(
    models: Models = None,
    *,
    data: Data,
    ids: Ids = None,
    split: Split = None,
    part: Part = "test",
    output: Output = None,
    level: Level = 2,
    one_shot: OneShot = True,
    processes: Processes = 1,
    other_basis: OtherBasis = False,
    basis: ModelBasis = None,
    device: Device = None,
    page: Page = True,
    pictures: Pictures = 3,
) -> None:
    """Judge models on a data set, or the network of a run on a part of its own.

    Each structure's result is kept as soon as it is there: the same command goes on after an
    interruption. The report is one HTML file that needs nothing else, and evaluation.json.
    """
    from ..training.evaluation import Job, Reporting, Settings, evaluate_models
    from ..training.generation import Workers

    reporting = Reporting(page, pictures)
    workers = Workers(count=processes)
    if not models and data.suffix.lower() in _OPTIONS:
        given = {"--ids": ids, "--split": split, "--output": output, "--basis": basis}
        _only_for_models({**given, "--device": device, "--other-basis": other_basis or None})
        _evaluate_run(data, part, Settings(level, one_shot), workers, reporting)
        return
    chosen, training = chosen_ids(models, data, ids, split, part)
    jobs = [
        Job(model, data, Settings(level, one_shot), other_basis, basis, device)
        for model in models or ()
    ]
    folder = output or Path("evaluation")
    with following("structures") as show:
        found = evaluate_models(
            jobs, chosen, folder, reporting, training=training, workers=workers, on_progress=show
        )
    _print(found, folder, reporting.page)


def _evaluate_run(path: Path, part: str, settings: Any, workers: Any, reporting: Any) -> None:
    from ..training.export import evaluate_run, evaluation_folder
    from ..training.options import TrainOptions, load_options

    loaded = load_options(TrainOptions, path)
    with following("structures") as show:
        found = evaluate_run(
            loaded,
            part,
            settings.level,
            settings.one_shot,
            workers=workers,
            reporting=reporting,
            on_progress=show,
        )
    _print([found], evaluation_folder(loaded, part), reporting.page)


def _only_for_models(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} is for model files: a run knows it, leave it out")


def chosen_ids(
    models: Sequence[str] | None, data: Path, ids: Path | None, split: Path | None, part: str
) -> tuple[list[str] | None, list[str]]:
    """Ids to judge (None: all), and those of the training part as far as they are known."""
    from ..training.data.split import PARTS, read_ids, read_split

    if not models:
        raise ValueError(
            f"{data} is given alone: give a model and a data set, or the options (.yaml) of a run"
        )
    if data.suffix.lower() in _OPTIONS:
        raise ValueError(f"{data} holds options: give the folder of a data set after the model")
    if ids is not None and split is not None:
        raise ValueError("--ids and --split are given: give one of them")
    if ids is not None:
        return read_ids(ids), []
    if split is None:
        return None, []
    if part not in PARTS:
        raise ValueError(f"part is {part!r}: give one of {', '.join(PARTS)}")
    parts = read_split(split)
    if not parts[part]:
        raise ValueError(f"the {part} part of {split} is empty: there is nothing to judge")
    return parts[part], parts["training"]


def _print(found: Sequence[Mapping[str, Any]], folder: Path, page: bool) -> None:
    for result in found:
        if len(found) > 1:
            typer.echo(f"{result['model']['name']} ({result['model']['file']})")
        known = {name: text for name, text in result["meaning"].items() if name in result["mean"]}
        width = max(map(len, known.values()), default=0)
        typer.echo(f"{'':{width}} {'mean':>9} {'worst':>9}")
        for name, text in known.items():
            mean, worst = result["mean"][name], result["worst"][name]
            typer.echo(f"{text:{width}} {mean:9.4f} {worst:9.4f}")
    typer.echo(f"wrote {folder / ('report.html' if page else 'evaluation.json')}")
