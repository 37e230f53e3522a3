"""The command that compares densities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from .fields import check_matplotlib, save_figure
from .inputs import (
    Device,
    Index,
    Level,
    Margin,
    Model,
    Spacing,
    load_density,
    load_density_or_grid,
    output_path,
)

if TYPE_CHECKING:
    from ase import Atoms

    from ..density import Density, Grid

_PICTURES = (".png", ".pdf", ".svg")
_PAGES = (".html", ".htm")
_GRIDS = (".cube", ".cub", ".xsf", ".h5", ".hdf5")


def diff(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="A structure, whose density is predicted; a density (.npz, .h5 of 'predict'); or "
            "a density on a grid (.cube, .xsf, .h5, CHGCAR).",
        ),
    ],
    second: Annotated[
        Path | None, typer.Argument(metavar="B", help="Likewise; what A is compared with.")
    ] = None,
    other_model: Annotated[
        str | None, typer.Option(help="Instead of B: the same structure by this model.")
    ] = None,
    free_atoms: Annotated[
        bool, typer.Option("--free-atoms", help="Instead of B: the free atoms of A's structure.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write A - B: .cube, .xsf, .h5; not for grids also .png, .svg, .pdf, .html.",
        ),
    ] = None,
    spacing: Spacing = 0.1,
    margin: Margin = 3.0,
    level: Level = 3,
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Compare two densities: normalised mean absolute error, electrons, dipole moment.

    The error is 100 times the integral of |A - B| over that of B: of molecules by quadrature,
    of crystals on a grid, and of files on their grid.
    """
    _check_second(second, other_model, free_atoms)
    suffixes = _GRIDS + _PICTURES + _PAGES
    path = None if output is None else output_path(output, first, "", suffixes)
    if path is not None and path.suffix.lower() in _PICTURES:
        check_matplotlib()
    a = load_density_or_grid(first, model, index, device)
    if second is not None:
        b = load_density_or_grid(second, model, index, device)
    elif isinstance(a, tuple):
        raise ValueError(f"{first} is a density on a grid: give B to compare it with")
    else:
        b = load_density(first, other_model, index, device) if other_model else a.free_atoms()
    if isinstance(a, tuple) or isinstance(b, tuple):
        _compare_grids(a, b, path)
    else:
        _compare_densities(a, b, path, spacing, margin, level)


@dataclass(frozen=True)
class _Figures:
    """What is printed of two densities A and B.

    Attributes
    ----------
    nmae
        Percent.
    electrons
        Of A, and what B has less.
    dipole
        Difference in e Angstrom; None for crystals, which cubes may be.
    distance
        Root of the integral of the squared difference, e/Angstrom^1.5.
    similarity
        Carbo's index of the overlap; None for grids.
    """

    nmae: float
    electrons: tuple[float, float]
    dipole: np.ndarray | None
    distance: float
    similarity: float | None = None

    def echo(self) -> None:
        typer.echo(f"{'normalised mean absolute error':34} {self.nmae:12.4f} %")
        typer.echo(f"{'electrons of A':34} {self.electrons[0]:12.6f}")
        typer.echo(f"{'electrons, A - B':34} {self.electrons[1]:12.6f}")
        if self.dipole is not None:
            text = " ".join(f"{x:10.5f}" for x in self.dipole)
            typer.echo(f"{'dipole moment, A - B':34} {text} e Angstrom")
        typer.echo(f"{'distance (L2)':34} {self.distance:12.6f} e/Angstrom^1.5")
        if self.similarity is not None:
            typer.echo(f"{'similarity of the overlap (Carbo)':34} {self.similarity:12.8f}")


def _check_second(second: Path | None, other_model: str | None, free_atoms: bool) -> None:
    if (second is not None) + (other_model is not None) + free_atoms != 1:
        raise ValueError(
            "what to compare with is not clear: give one of B, --other-model and --free-atoms"
        )


def _compare_densities(
    a: Density, b: Density, path: Path | None, spacing: float, margin: float, level: int
) -> None:
    from ..density import l2_distance, nmae, similarity

    difference = a - b
    _Figures(
        nmae=nmae(a, b, level=level, spacing=spacing),
        electrons=(a.number_of_electrons, difference.number_of_electrons),
        dipole=None if a.atoms.pbc.any() else difference.dipole(),
        distance=l2_distance(a, b),
        similarity=similarity(a, b),
    ).echo()
    if path is None:
        return
    if path.suffix.lower() in _PICTURES:
        save_figure(difference.plot().figure, path)  # type: ignore[arg-type]
    elif path.suffix.lower() in _PAGES:
        difference.view(path)
    else:
        difference.write(path, spacing=spacing, margin=margin, progress=True)
    typer.echo(f"wrote {path}")


def _compare_grids(
    a: Density | tuple[Atoms, Grid], b: Density | tuple[Atoms, Grid], path: Path | None
) -> None:
    """Compare where at least one is a file of a grid, at the points of it."""
    from ..density import Grid

    if path is not None and path.suffix.lower() not in _GRIDS:
        raise ValueError(
            f"output is {str(path)!r}: the difference of files goes into a file of a grid, "
            f"{', '.join(_GRIDS)}"
        )
    frame = a[1] if isinstance(a, tuple) else b[1]  # type: ignore[index]
    values = []
    for density in (a, b):
        grid = density[1] if isinstance(density, tuple) else density.on_frame(frame, progress=True)
        _check_same_frame(frame, grid)
        values.append(grid.values)
    difference = Grid(values[0] - values[1], frame.origin, frame.cell)
    norm = values[1].sum() * frame.voxel_volume
    error = 100 * np.abs(difference.values).sum() * frame.voxel_volume / norm
    electrons = (float(values[0].sum() * frame.voxel_volume), difference.integral)
    dipole = _grid_dipole(difference) if _is_molecule(a) or _is_molecule(b) else None
    distance = np.sqrt((difference.values**2).sum() * frame.voxel_volume)
    _Figures(float(error), electrons, dipole, float(distance)).echo()
    if path is not None:
        atoms = a[0] if isinstance(a, tuple) else a.atoms
        _write_difference(path, atoms, difference)
        typer.echo(f"wrote {path}")


def _is_molecule(density: Density | tuple[Atoms, Grid]) -> bool:
    return not isinstance(density, tuple) and not density.atoms.pbc.any()


def _grid_dipole(difference: Grid) -> np.ndarray:
    """Dipole moment of a difference of electrons on a grid: (3,) e Angstrom."""
    values = difference.values * difference.voxel_volume
    moment = values.sum() * difference.origin
    for axis, edge in enumerate(difference.cell):
        along = values.sum(tuple({0, 1, 2} - {axis}))
        moment = moment + np.arange(len(along)) @ along / len(along) * edge
    return -moment


def _check_same_frame(first: Grid, second: Grid) -> None:
    same = first.shape == second.shape and np.allclose(
        np.vstack([first.origin, first.cell]), np.vstack([second.origin, second.cell]), atol=1e-4
    )
    if not same:
        raise ValueError(
            f"the grids of A and B differ: {first.shape} and {second.shape} points, edges "
            f"{np.round(first.cell, 4).tolist()} and {np.round(second.cell, 4).tolist()}; give a "
            "structure or a .npz file for one of them, or write both with the same spacing"
        )


def _write_difference(path: Path, atoms: Atoms, grid: Grid) -> None:
    from ..density import write_grid

    write_grid(path, atoms, grid, comment="Difference", metadata={"quantity": "difference"})
