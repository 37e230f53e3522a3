"""The command that divides densities among atoms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .inputs import Device, Index, Level, Model, Structure, load_density, output_path
from .tables import TABLES, text_table, write_table

if TYPE_CHECKING:
    import numpy as np

    from ..density import Density

_XYZ = (".extxyz", ".xyz")


def charges(
    structure: Structure,
    scheme: Annotated[
        list[str] | None,
        typer.Option(
            help="hirshfeld, voronoi, ...; may be given several times (default: hirshfeld)."
        ),
    ] = None,
    level: Level = 3,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Also write: .csv, .json, or .extxyz with the first scheme."
        ),
    ] = None,
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Print partial charges, in e; they add up to the total charge."""
    schemes = scheme or ["hirshfeld"]
    _check_schemes(schemes)
    path = None if output is None else output_path(output, structure, "", TABLES + _XYZ)
    rho = load_density(structure, model, index, device)
    found = {name: rho.charges(name, level=level) for name in schemes}
    symbols = rho.atoms.get_chemical_symbols()
    atoms = {"index": list(range(len(symbols))), "atom": symbols}
    typer.echo(text_table({**atoms, **{f"{n} / e": q.tolist() for n, q in found.items()}}))
    if path is None:
        return
    if path.suffix.lower() in _XYZ:
        _write_xyz(path, rho, schemes[0], found[schemes[0]])
    else:
        write_table(path, {**atoms, **{f"{n}_e": q.tolist() for n, q in found.items()}})
    typer.echo(f"wrote {path}")


def _check_schemes(schemes: list[str]) -> None:
    from ..density.charges import SCHEMES

    for name in schemes:
        if name not in SCHEMES:
            raise ValueError(f"scheme is {name!r}: give one of {', '.join(SCHEMES)}")


def _write_xyz(path: Path, rho: Density, scheme: str, found: np.ndarray) -> None:
    """The structure with charges as a result, so that atoms.get_charges() has them."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    from ..files import atomic_write

    atoms = rho.atoms.copy()
    atoms.info["charges_scheme"] = scheme
    atoms.calc = SinglePointCalculator(atoms, charges=found)
    with atomic_write(path, "w") as stream:
        write(stream, atoms, format="extxyz")
