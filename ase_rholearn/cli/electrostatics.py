"""The command that computes electrostatic potentials."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .fields import write_potential
from .inputs import Device, Index, Margin, Model, Spacing, Structure, load_density, output_path
from .tables import TABLES, write_table

_GRIDS = (".cube", ".cub", ".h5", ".hdf5")


def esp(
    structure: Structure,
    points: Annotated[
        str | None,
        typer.Option(help="File of points, a line each with x y z in Angstrom; -: from stdin."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Of points: .csv, .json (default: on the screen). Of a grid: .cube (Hartree/e), "
            ".h5 (V).",
        ),
    ] = None,
    spacing: Spacing = 0.2,
    margin: Margin = 3.0,
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Compute the electrostatic potential: at points in V, or on a grid.

    With --points at these, otherwise on a grid, whose default is STRUCTURE's name, -esp.cube.
    """
    if points is not None:
        path = None if output is None else output_path(output, structure, "", TABLES)
        _at_points(structure, read_points(points), path, index, model, device)
        return
    default = Path(f"{structure.stem}-esp.cube")
    path = output_path(output or default, structure, "", _GRIDS)
    rho = load_density(structure, model, index, device)
    write_potential(path, rho, rho.potential_on_grid(spacing, margin))
    typer.echo(f"wrote {path}")


def _at_points(
    structure: Path,
    points: np.ndarray,
    path: Path | None,
    index: int,
    model: str,
    device: str | None,
) -> None:
    rho = load_density(structure, model, index, device)
    values = rho.potential(points)
    if path is None:
        for (x, y, z), value in zip(points, values, strict=True):
            typer.echo(f"{x:14.6f} {y:14.6f} {z:14.6f} {value:16.8f}")
        return
    columns = dict(zip(("x_A", "y_A", "z_A"), points.T.tolist(), strict=True))
    write_table(path, {**columns, "potential_V": values.tolist()})
    typer.echo(f"wrote {path}")


def read_points(source: str) -> np.ndarray:
    """Points (n, 3) of a text file, or of standard input for ``-``.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or a line does not begin with three numbers.
    """
    if source == "-":
        lines = sys.stdin.read().splitlines()
    elif Path(source).is_file():
        lines = Path(source).read_text().splitlines()
    else:
        raise FileNotFoundError(f"points: there is no file {source}")
    points = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            x, y, z = map(float, words[:3])
        except ValueError:
            raise ValueError(
                f"points: line {number} of {source} is {line.strip()!r}: give x y z in Angstrom"
            ) from None
        points.append((x, y, z))
    if not points:
        raise ValueError(f"points: {source} holds none: give a line with x y z in Angstrom each")
    return np.array(points)
