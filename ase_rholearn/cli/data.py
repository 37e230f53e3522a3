"""``ase-rholearn data``: looking after data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from .progress import counting

app = typer.Typer(help="Look after data sets.", no_args_is_help=True, rich_markup_mode=None)

DataFolder = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a data set.")]
Ids = Annotated[
    Path | None, typer.Option(help="Only these: a file with one id a line, or a split.")
]
Part = Annotated[
    str | None, typer.Option(help="Which part of the split: training, validation or test.")
]


@app.command("info")
def data_info(
    folder: DataFolder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is in a data set."""
    from ..training.data import info, info_lines

    with counting() as count:
        found = info(folder, on_progress=count)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for title, text in info_lines(found):
        typer.echo(f"{title:18} {text}")


@app.command("check")
def data_check(
    folder: DataFolder,
    quick: Annotated[bool, typer.Option("--quick", help="Compare checksums alone.")] = False,
) -> None:
    """Look for everything that is wrong with a data set; status 1 if there is anything."""
    from ..training.data import check

    problems = 0
    with counting() as count:
        for problem in check(folder, quick=quick, on_progress=count):
            problems += 1
            with tqdm.external_write_mode():
                typer.echo(problem)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{folder} is whole")


@app.command("merge")
def data_merge(
    folders: Annotated[list[Path], typer.Argument(metavar="DATASETS", help="Data sets.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the result.")],
    orbitals: Annotated[bool, typer.Option(help="Copy occupied orbitals too.")] = True,
    forces: Annotated[bool, typer.Option(help="Copy forces too.")] = True,
    mixed: Annotated[
        bool,
        typer.Option(
            "--mixed", help="Methods and tolerances may differ; those of the first count."
        ),
    ] = False,
    ids: Ids = None,
    part: Part = None,
) -> None:
    """Put data sets into one, each reference once; compacts a single one."""
    from ..training.data import merge, read_ids

    selected = read_ids(ids, part) if ids else None
    with counting() as count:
        result = merge(
            folders,
            output,
            orbitals=orbitals,
            forces=forces,
            mixed=mixed,
            ids=selected,
            on_progress=count,
        )
    typer.echo(f"{output} has {len(result)} references in {len(result.shards)} shards")


@app.command("split")
def data_split(
    folder: DataFolder,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.")] = Path("split.json"),
    validation: Annotated[float, typer.Option(help="Fraction.")] = 0.1,
    test: Annotated[float, typer.Option(help="Fraction.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Of the random draw.")] = 0,
    group: Annotated[
        str | None, typer.Option(metavar="KEY", help="Keep equal atoms.info[KEY] together.")
    ] = None,
    extend: Annotated[
        Path | None,
        typer.Option(
            metavar="SPLIT",
            help="Keep the parts of this split; all else joins training, but for what --group "
            "finds in the validation or test part. Nothing is drawn: fractions and --seed do not "
            "count.",
        ),
    ] = None,
) -> None:
    """Divide a data set into parts for training, validation and test."""
    from ..training.data import (
        DataSet,
        extend_split,
        groups_by,
        read_split,
        split_ids,
        write_split,
    )

    dataset = DataSet.open(folder)
    groups = groups_by(dataset, group) if group else None
    if extend:
        parts = extend_split(read_split(extend, dataset.ids), dataset.ids, groups=groups)
    else:
        parts = split_ids(dataset.ids, validation, test, seed, groups=groups)
    write_split(output, parts)
    for name, ids in parts.items():
        typer.echo(f"{name:18} {len(ids)}")
    if left := len(dataset.ids) - sum(map(len, parts.values())):
        typer.echo(f"{'left out':18} {left}")


@app.command("export")
def data_export(
    folder: DataFolder,
    output: Annotated[Path, typer.Argument(help=".xyz, .extxyz, or .zip for metatrain.")],
    target: Annotated[str, typer.Option(help="Name of the densities in metatrain.")] = "",
    ids: Ids = None,
    part: Part = None,
) -> None:
    """Write a data set as extended xyz, or with its densities as metatrain's DiskDataset."""
    import yaml

    from ..training.data import DataSet, export, read_ids

    selected = read_ids(ids, part) if ids else None
    with counting() as count:
        number = export(folder, output, target=target, ids=selected, on_progress=count)
    typer.echo(f"wrote {number} structures to {output}")
    if output.suffix == ".zip":
        from ..training.data.diskdataset import target_options

        options = {"targets": target_options(DataSet.open(folder), output, target)}
        typer.echo("in the options of metatrain, under training_set:")
        typer.echo(yaml.safe_dump(options, sort_keys=False, default_flow_style=None), nl=False)


@app.command("import")
def data_import(
    path: Annotated[Path, typer.Argument(metavar="ZIP", help="A DiskDataset of metatrain.")],
    folder: DataFolder,
    basis: Annotated[
        str, typer.Option(help="Of the densities: a data set, JSON file, model, or PySCF name.")
    ],
    target: Annotated[str, typer.Option(help="Name of the densities in the file.")] = "",
) -> None:
    """Bring the densities of a DiskDataset into a data set, which may be there already."""
    from ..training.data.diskdataset import import_zip

    with counting() as count:
        number = import_zip(path, folder, basis, target=target, on_progress=count)
    typer.echo(f"{number} new references in {folder}")
