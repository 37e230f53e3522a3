"""The command that computes electrostatic potentials."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from .fields import PICTURES, check_surfaces, save_figure, write_potential
from .inputs import Device, Index, Margin, Model, Structure, load_density, output_path
from .tables import TABLES, write_table

if TYPE_CHECKING:
    from ..density import Density

_GRIDS = (".cube", ".cub", ".h5", ".hdf5")


def esp(
    structure: Structure,
    points: Annotated[
        str | None,
        typer.Option(help="File of points, a line each with x y z in Angstrom; -: from stdin."),
    ] = None,
    surface: Annotated[
        float | None,
        typer.Option(help="On the surface of this density, e/Angstrom^3 (0.002 e/bohr^3: 0.0135)."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Of points: .csv, .json (default: on the screen). Of a surface: these, or a "
            "picture: .png, .pdf, .svg. Of a grid: .cube (Hartree/e), .h5 (V).",
        ),
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Of the grid (0.2) or the surface (0.15), Angstrom.")
    ] = None,
    margin: Margin = 3.0,
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Compute the electrostatic potential: at points in V, on a surface, or on a grid.

    With --points at these, with --surface on a surface of the density, otherwise on a grid, whose
    default is STRUCTURE's name, -esp.cube.
    """
    if points is not None and surface is not None:
        raise ValueError("points and surface are both given: choose one")
    allowed = TABLES if points is not None else TABLES + PICTURES if surface else _GRIDS
    default = Path(f"{structure.stem}-esp.cube") if allowed is _GRIDS else None
    chosen = output or default
    path = None if chosen is None else output_path(chosen, structure, "", allowed)
    if points is not None:
        _at_points(structure, read_points(points), path, index, model, device)
    elif surface is not None:
        check_surfaces()
        rho = load_density(structure, model, index, device)
        _on_surface(rho, surface, spacing or 0.15, path)
    else:
        assert path is not None  # it has a default
        rho = load_density(structure, model, index, device)
        write_potential(path, rho, spacing or 0.2, margin)
    if path is not None:
        typer.echo(f"wrote {path}")


def _on_surface(rho: Density, isovalue: float, spacing: float, path: Path | None) -> None:
    """Print what chemists read off such surfaces, and write it if there is a file for it."""
    if path is not None and path.suffix.lower() in PICTURES:
        save_figure(rho.plot_potential(isovalue=isovalue).figure, path)  # type: ignore[arg-type]
        return
    found = rho.surface_potential(isovalue, spacing=spacing)
    for name, value, unit in (
        ("area", found.surface.area, "Angstrom^2"),
        ("volume inside", found.surface.volume, "Angstrom^3"),
        ("minimum", found.minimum, "V"),
        ("maximum", found.maximum, "V"),
        ("mean", found.mean, "V"),
        ("mean where positive", found.mean_positive, "V"),
        ("mean where negative", found.mean_negative, "V"),
        ("variance where positive", found.variance_positive, "V^2"),
        ("variance where negative", found.variance_negative, "V^2"),
        ("mean deviation", found.deviation, "V"),
    ):
        typer.echo(f"{name:34} {value:12.5f} {unit}")
    if path is not None:
        columns = zip(("x_A", "y_A", "z_A"), found.surface.vertices.T.tolist(), strict=True)
        write_table(path, {**dict(columns), "potential_V": found.values.tolist()})


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
