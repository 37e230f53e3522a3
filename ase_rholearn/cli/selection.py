"""The command of active learning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from .inputs import Device, Model, load_model

Candidates = Annotated[
    Path, typer.Argument(metavar="STRUCTURES", help="File that ASE reads, with the candidates.")
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="How many to choose.")]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Structures with equal atoms.info[KEY], such as smiles, take turns with others "
        "(default: those of one formula).",
    ),
]
Known = Annotated[
    Path | None, typer.Option(help="Data set whose structures are left out: they are known.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="File of the chosen structures, extended xyz.")
]


def select(
    structures: Candidates,
    model: Model,
    count: Count = 50,
    group: Group = None,
    known: Known = None,
    output: Output = Path("chosen.xyz"),
    device: Device = None,
) -> None:
    """Choose the structures from which a model has most to learn: those of large expected error."""
    from ..structure_files import iterate_structures
    from ..training.data import DataSet
    from ..training.selection import candidates, group_of, select, write_selected

    dataset = DataSet.open(known) if known else None
    found = list(iterate_structures(structures))
    new = [atoms for atoms in found if not dataset or dataset.id_of(atoms) not in dataset]
    if not new:
        raise ValueError(f"structures: all {len(found)} of {structures} are in {known}")
    for atoms in new:  # before the work of predictions
        group_of(atoms, group, "--group")
    with tqdm(total=len(new), unit="structure", disable=None, leave=False) as bar:
        expected = candidates(load_model(model, device), new, lambda done: bar.update(done - bar.n))
    chosen = select(expected, count, group=group, argument="--group")
    write_selected(output, chosen)
    for one in chosen:
        name = one.atoms.info.get("name") or one.atoms.info.get("smiles") or ""
        typer.echo(
            f"{one.atoms.get_chemical_formula():16} expected error {one.expected_percent:6.2f} %, "
            f"extrapolation {one.extrapolation:5.2f}  {name}"
        )
    typer.echo(f"wrote {len(chosen)} of {len(new)} structures to {output}")
