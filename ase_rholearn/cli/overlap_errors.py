"""``ase-rholearn aims errors``: how good predicted coefficients are, by overlap matrices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .evaluation import Ids, Part, Split, chosen_ids
from .inputs import Device, load_model


def errors(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Shipped name or path of a model.")],
    data: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of a data set.")],
    ids: Ids = None,
    split: Split = None,
    part: Part = "test",
    device: Device = None,
) -> None:
    """Print errors of predictions in the norm of the data set's overlap matrices."""
    from ..training.data import DataSet
    from ..training.evaluation.overlap import overlap_errors

    chosen, _ = chosen_ids([model], data, ids, split, part)
    dataset = DataSet.open(data)
    found = list(overlap_errors(load_model(model, device), dataset, chosen))
    if not found:
        raise ValueError(f"no structure of {data} that was asked for has an overlap matrix")
    typer.echo(f"{'':16} {'':12} {'percent':>9} {'e^2/bohr^3':>12}")
    for one in found:
        typer.echo(f"{one.id:16} {one.formula:12} {one.percent:9.4f} {one.squared:12.4g}")
    mean = sum(one.percent for one in found) / len(found)
    typer.echo(f"{'mean':29} {mean:9.4f}")
