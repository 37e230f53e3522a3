"""The commands that show densities: grids, planes, isosurfaces."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..extras import needs
from .inputs import (
    Device,
    Index,
    Margin,
    Model,
    Spacing,
    Structure,
    atom_list,
    load_density,
    output_path,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..density import Density
    from ..density.field import DensityField
    from ..density.pictures.viewer import View

#: Suffixes of pictures.
PICTURES = (".png", ".pdf", ".svg")
_PAGES = (".html", ".htm")

#: Dots an inch of pictures.
_RESOLUTION = 150


class Quantity(str, Enum):
    """What a grid or picture shows."""

    density = "density"
    deformation = "deformation"
    potential = "potential"


class Core(str, Enum):
    """How values next to nuclei are taken."""

    point = "point"
    average = "voxel-average"


class PlaneName(str, Enum):
    """Directions of planes."""

    best = "best"
    xy = "xy"
    xz = "xz"
    yz = "yz"


_NORMALS = {PlaneName.xy: (0, 0, 1), PlaneName.xz: (0, -1, 0), PlaneName.yz: (1, 0, 0)}


def cube(
    structure: Structure,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File: .cube, .xsf, .h5, CHGCAR, CHG (default: STRUCTURE's name, .cube).",
        ),
    ] = None,
    quantity: Annotated[
        Quantity,
        typer.Option(
            help="density; deformation: minus free atoms; potential: Hartree/e in .cube, V in .h5."
        ),
    ] = Quantity.density,
    spacing: Spacing = 0.1,
    margin: Margin = 3.0,
    core: Annotated[
        Core, typer.Option(help="voxel-average keeps the electrons of narrow cores in the sum.")
    ] = Core.point,
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Write a density on a grid: .cube and .xsf in e/bohr^3, .h5 in e/Angstrom^3."""
    path = output_path(output, structure, ".cube")
    _check_grid_name(path, quantity)
    if core is not Core.point and quantity is Quantity.potential:
        raise ValueError(f"core is {core.value!r}, which is for densities only")
    rho = load_density(structure, model, index, device)
    if quantity is Quantity.potential:
        write_potential(path, rho, spacing, margin)
    else:
        written: DensityField = rho
        if quantity is Quantity.deformation:
            written = rho - rho.free_atoms()
        written.write(path, spacing=spacing, margin=margin, core=core.value, progress=True)
    typer.echo(f"wrote {path}")


def slice_(
    structure: Structure,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Picture: .png, .pdf, .svg (default: STRUCTURE's name, .png)."
        ),
    ] = None,
    plane: Annotated[
        PlaneName, typer.Option(help="Direction; best: the plane through the atoms.")
    ] = PlaneName.best,
    atoms: Annotated[
        str, typer.Option(help="Indices of the atoms to cut through: 0,3,5-7 (default: all).")
    ] = "",
    deformation: Annotated[
        bool, typer.Option("--deformation", help="Draw the density minus free atoms.")
    ] = False,
    margin: Annotated[float, typer.Option(help="Space around these atoms, Angstrom.")] = 2.0,
    points: Annotated[int, typer.Option(min=2, help="Along the longer side.")] = 300,
    limit: Annotated[
        float | None, typer.Option(help="End of the colour scale, e/Angstrom^3.")
    ] = None,
    title: Annotated[str, typer.Option(help="Above the picture.")] = "",
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Draw a density on a plane, in e/Angstrom^3 (needs the extra view)."""
    path = output_path(output, structure, ".png", PICTURES)
    check_matplotlib()
    through = atom_list(atoms) if atoms else None
    rho = load_density(structure, model, index, device)
    drawn: DensityField = rho - rho.free_atoms() if deformation else rho
    normal = _NORMALS.get(plane)
    ax = drawn.plot(
        plane=through, normal=normal, margin=margin, points=points, limit=limit, title=title
    )
    save_figure(ax.figure, path)  # type: ignore[arg-type]
    typer.echo(f"wrote {path}")


def view(
    structure: Structure,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Page: .html (default: STRUCTURE's name, .html); or a picture: .png, .pdf, .svg.",
        ),
    ] = None,
    quantity: Annotated[
        Quantity,
        typer.Option(help="What to see first; potential: on a surface of the density."),
    ] = Quantity.density,
    isovalue: Annotated[
        float | None, typer.Option(help="Where the slider begins, e/Angstrom^3 (default: 0.3).")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option(help="Of the grid, Angstrom (default: for some 0.5 MB).")
    ] = None,
    margin: Annotated[float, typer.Option(help="Space around molecules, Angstrom.")] = 2.5,
    title: Annotated[str, typer.Option(help="Of the page (default: the formula).")] = "",
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Show isosurfaces: a page to turn them on, which works offline, or a picture."""
    path = output_path(output, structure, ".html", (*_PAGES, *PICTURES))
    picture = path.suffix.lower() in PICTURES
    if picture:
        check_surfaces()
    rho = load_density(structure, model, index, device)
    if picture:
        save_figure(_isosurface(rho, quantity, isovalue, title), path)
    else:
        page = _page(rho, quantity, isovalue, spacing, margin, title)
        page.write(path)
    typer.echo(f"wrote {path}")


def _isosurface(rho: Density, quantity: Quantity, isovalue: float | None, title: str) -> Figure:
    from ..density.pictures.surface import MOLECULAR

    if quantity is Quantity.potential:
        ax = rho.plot_potential(isovalue=isovalue or MOLECULAR, title=title)
        return ax.figure  # type: ignore[return-value]
    drawn: DensityField = rho - rho.free_atoms() if quantity is Quantity.deformation else rho
    return drawn.plot_isosurface(isovalue=isovalue, title=title).figure  # type: ignore[return-value]


def _page(
    rho: Density,
    quantity: Quantity,
    isovalue: float | None,
    spacing: float | None,
    margin: float,
    title: str,
) -> View:
    """The wanted quantity first, then the density and what bonding does to it."""
    from ..density.pictures.surface import MOLECULAR
    from ..density.pictures.viewer import potential_field, view

    names = dict.fromkeys((quantity, Quantity.density, Quantity.deformation))
    if not (rho.basis.atomic_densities or rho.basis.mean_atoms):
        names.pop(Quantity.deformation)
    fields = {}
    for name in names:
        value = isovalue if name is quantity else None
        if name is Quantity.potential:
            fields[name.value] = potential_field(rho, value or MOLECULAR, margin=margin)
        else:
            shown: DensityField = rho if name is Quantity.density else rho - rho.free_atoms()
            fields[name.value] = shown.field(value, spacing, margin)
    return view(rho.atoms, fields, title=title)


def check_surfaces() -> None:
    """Raise a readable error, before any work, if surfaces cannot be drawn."""
    check_matplotlib()
    with needs("scikit-image", "view", "surfaces"):
        import skimage  # noqa: F401


def check_matplotlib() -> None:
    """Raise a readable error, before any work, if pictures cannot be drawn."""
    with needs("matplotlib", "view", "pictures"):
        import matplotlib  # noqa: F401


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture, which appears complete or not at all."""
    from ..files import atomic_write

    with atomic_write(path) as stream:
        figure.savefig(stream, format=path.suffix[1:].lower(), dpi=_RESOLUTION)


def _check_grid_name(path: Path, quantity: Quantity) -> None:
    from ..density.files import format_of

    kind = format_of(path)
    if kind == "npz":
        raise ValueError(
            f"output is {str(path)!r}: give .cube, .xsf, .h5, CHGCAR or CHG; "
            "'ase-rholearn predict --npz' writes basis and coefficients"
        )
    if quantity is Quantity.potential and kind not in ("cube", "hdf5"):
        raise ValueError(f"output is {str(path)!r}: potentials go into .cube and .h5 files")


def write_potential(path: Path, rho: Density, spacing: float, margin: float) -> None:
    """Write a potential on a grid: a cube in Hartree/e, as programs expect, or HDF5 in V.

    Nuclei are smeared out over some points, so that all values are finite.
    """
    from ase import units

    from ..density import write_cube
    from ..density.files import write_grid_hdf5

    grid = rho.potential_on_grid(spacing, margin, nuclei="smeared")
    if path.suffix.lower() in (".h5", ".hdf5"):
        write_grid_hdf5(path, rho.atoms, grid, unit="V", metadata={"quantity": "potential"})
    else:
        comment = "Electrostatic potential, Hartree/e"
        write_cube(path, rho.atoms, grid, comment=comment, unit=1 / units.Hartree)
