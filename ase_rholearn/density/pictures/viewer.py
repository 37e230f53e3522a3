"""Isosurfaces in a browser: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols
from ase.data.colors import jmol_colors

from ...files import atomic_write
from ..frame import grid_frame
from ..grid import Grid
from .colours import NEGATIVE, NEUTRAL, POSITIVE
from .html import filled, script_data
from .space import direction, suitable_isovalue
from .structure import STICK, skeleton
from .surface import MOLECULAR

if TYPE_CHECKING:
    from ..density import Density

#: Files of the page, and its scripts in order.
_PAGE = files(__package__) / "page"
_SCRIPTS = ("surface", "skeleton", "scene", "labels", "controls")

#: Values are stored as asinh of what they are relative to this, in their own unit: fine
#: steps for small values, and the same relative ones for large values.
_SOFTENING = 1e-3

#: Points of a field at most, for files of a megabyte; and the finest spacing in Angstrom.
_POINTS, _SPACING = 250_000, 0.12

#: Spacing of potentials (Angstrom), which are smooth where they are shown; values of them that
#: are stored, in limits of the colour scale.
_SMOOTH, _STORED = 0.3, 3.0

#: Radius (Angstrom) and colour of the edges of cells.
_EDGE, _GREY = 0.02, (0.3, 0.3, 0.3)

#: Space around molecules that is to be seen, Angstrom.
_AROUND = 1.8

#: Height of the inline frame in notebooks, pixels.
_HEIGHT = 480


@dataclass(frozen=True)
class Colouring:
    """What the colours of a surface show.

    Attributes
    ----------
    grid
        Values around the surface; over the cell along periodic directions.
    limit
        End of the colour scale on both sides of zero.
    name, unit
        Written beside the scale.
    """

    grid: Grid
    limit: float
    name: str
    unit: str

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"limit is {self.limit}: give a positive value")


@dataclass(frozen=True)
class Field:
    """Something to draw surfaces of.

    Attributes
    ----------
    grid
        Values; over the cell along periodic directions.
    unit
        Of the values.
    signed
        Whether to draw a surface at the negative isovalue too.
    isovalue
        Where the slider begins; chosen from the values if left out.
    colouring
        What is shown by colours on the surface; left out: one colour for each sign.
    """

    grid: Grid
    unit: str = "e/Å³"
    signed: bool = False
    isovalue: float | None = None
    colouring: Colouring | None = None


@dataclass(frozen=True)
class View:
    """A page with isosurfaces; notebooks show it as it is.

    Attributes
    ----------
    page
        The HTML text.
    """

    page: str

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file."""
        with atomic_write(path) as stream:
            stream.write(self.page.encode())

    def _repr_html_(self) -> str:
        source = html.escape(self.page, quote=True)
        return (
            f'<iframe srcdoc="{source}" style="width: 100%; height: {_HEIGHT}px; '
            'border: 1px solid #ccc" sandbox="allow-scripts allow-downloads"></iframe>'
        )


def view(atoms: Atoms, fields: Mapping[str, Field], *, title: str = "") -> View:
    """A page that shows a structure and isosurfaces of fields, one at a time.

    Parameters
    ----------
    atoms
        Drawn as balls and sticks, with the edges of a periodic cell.
    fields
        By the name under which they are to be chosen.
    title
        Left out: the chemical formula.

    Raises
    ------
    ValueError
        There are no fields, or one has nothing to draw.
    """
    if not fields:
        raise ValueError("fields is empty: give at least one")
    data = {
        "fields": [_field(atoms, name, field) for name, field in fields.items()],
        "softening": _SOFTENING,
        **_model(atoms, [field.grid for field in fields.values()]),
    }
    parts = {
        "TITLE": html.escape(title or atoms.get_chemical_formula()),
        "STYLE": (_PAGE / "style.css").read_text(encoding="utf-8"),
        "SCRIPT": "\n".join(
            (_PAGE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS
        ),
        "DATA": script_data(data),
    }
    page = (_PAGE / "page.html").read_text(encoding="utf-8")
    return View(filled(page, parts))


def potential_field(
    rho: Density, isovalue: float = MOLECULAR, *, limit: float | None = None, margin: float = 2.5
) -> Field:
    """Surfaces of a density with the electrostatic potential as their colours.

    Parameters
    ----------
    rho
        The density.
    isovalue
        Where the slider begins, e/Angstrom^3; 0.002 e/bohr^3 if left out.
    limit
        End of the colour scale, V. Left out: what there is near the surface of this value.
    margin
        Space around a molecule, Angstrom.
    """
    box = grid_frame(rho.atoms, 1.0, margin).cell
    grid = rho.on_grid(view_spacing(abs(float(np.linalg.det(box)))), margin)
    potential = rho.potential_on_grid(_SMOOTH, margin)
    if limit is None:
        ratio = rho.on_frame(potential).values / isovalue
        near = (ratio > 0.7) & (ratio < 1.4)
        if not near.any():
            raise ValueError(f"isovalue is {isovalue}: the density has no such value")
        limit = float(np.abs(potential.values[near]).max())
    colouring = Colouring(potential, limit, "electrostatic potential", "V")
    return Field(grid, isovalue=isovalue, colouring=colouring)


def view_spacing(volume: float) -> float:
    """Spacing that suits the viewer for a box of so many Angstrom^3."""
    return max(_SPACING, (volume / _POINTS) ** (1 / 3))


def _field(atoms: Atoms, name: str, field: Field) -> dict[str, Any]:
    values = field.grid.values
    if min(values.shape) < 2 or not np.isfinite(values).all():
        raise ValueError(f"the field {name!r} needs two points along each axis, and finite values")
    size = np.abs(values) if field.signed else values
    if not size.max() > 0:
        raise ValueError(f"the field {name!r} has no positive values: there is nothing to draw")
    most = float(np.quantile(size[size > 0], 0.999))
    start = field.isovalue or suitable_isovalue(size[size > 0])
    return {
        "name": name,
        "unit": field.unit,
        "signed": field.signed,
        "least": min(1e-4 * most, start),
        "most": max(most, start),
        "start": start,
        **_packed(atoms, field.grid, np.arcsinh(values / _SOFTENING)),
        "colouring": _colouring(atoms, name, field.colouring),
    }


def _colouring(atoms: Atoms, name: str, colouring: Colouring | None) -> dict[str, Any] | None:
    if colouring is None:
        return None
    values = colouring.grid.values
    if min(values.shape) < 2 or np.isnan(values).any():
        raise ValueError(f"the colouring of {name!r} needs two points along each axis, and no nan")
    most = _STORED * colouring.limit  # nuclei are infinite
    return {
        "name": colouring.name,
        "unit": colouring.unit,
        "limit": colouring.limit,
        **_packed(atoms, colouring.grid, np.clip(values, -most, most)),
    }


def _packed(atoms: Atoms, grid: Grid, values: np.ndarray) -> dict[str, Any]:
    """Numbers on a grid as words of 16 bits, and where they are."""
    step = grid.cell / np.array(values.shape)[:, None]
    # surfaces go on to the end of a periodic cell
    values = np.pad(values, [(0, int(p)) for p in atoms.pbc], mode="wrap")
    low, high = float(values.min()), float(values.max())
    words = np.rint((values - low) * (65535 / max(high - low, 1e-30))).astype("<u2")
    return {
        "shape": values.shape,
        "origin": grid.origin.tolist(),
        "step": step.tolist(),
        "reciprocal": np.linalg.inv(step).T.tolist(),
        "values": base64.b64encode(np.ascontiguousarray(words).tobytes()).decode("ascii"),
        "low": low,
        "high": high,
    }


def _model(atoms: Atoms, grids: list[Grid]) -> dict[str, Any]:
    """Balls, sticks and edges, and how to look at them."""
    drawn = skeleton(atoms, grids[0].origin, grids[0].cell)
    periodic = atoms.pbc.any()
    # what is to be seen: the cell, or the molecule and what is close to it
    corners = [g.origin + np.array(c) @ g.cell for g in grids for c in np.ndindex(2, 2, 2)]
    seen = np.array(corners) if periodic else drawn.positions
    low, high = seen.min(axis=0), seen.max(axis=0)
    halves = zip(drawn.sticks, jmol_colors[drawn.stick_numbers], strict=True)
    sticks = [_stick(ends, STICK, colour) for ends, colour in halves]
    sticks += [_stick(ends, _EDGE, np.array(_GREY)) for ends in drawn.edges]
    return {
        "balls": [
            {
                "position": np.round(position, 4).tolist(),
                "radius": float(radius),
                "colour": np.round(colour, 3).tolist(),
                "label": f"{chemical_symbols[z]}{index}",
            }
            for index, z, position, radius, colour in zip(
                drawn.atom, drawn.numbers, drawn.positions, drawn.radii, drawn.colours, strict=True
            )
        ],
        "sticks": sticks,
        "centre": ((low + high) / 2).tolist(),
        "radius": float(np.linalg.norm(high - low) / 2 + (0.0 if periodic else _AROUND)),
        "view": direction(atoms, None).tolist(),
        "colours": {"positive": POSITIVE, "negative": NEGATIVE, "neutral": NEUTRAL},
        "bohr": units.Bohr,
    }


def _stick(ends: np.ndarray, radius: float, colour: np.ndarray) -> dict[str, Any]:
    return {
        "ends": np.round(ends, 4).tolist(),
        "radius": radius,
        "colour": np.round(colour, 3).tolist(),
    }
