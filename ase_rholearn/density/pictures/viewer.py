"""Isosurfaces in a browser: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.neighborlist import natural_cutoffs, neighbor_list

from ...files import atomic_write
from ..grid import Grid
from .plane import plane_through

#: Values are stored as asinh of what they are relative to this, in their own unit: fine
#: steps for small values, and the same relative ones for large values.
_SOFTENING = 1e-3

#: Points of a field at most, for files of a megabyte; and the finest spacing in Angstrom.
_POINTS, _SPACING = 250_000, 0.12

#: Space around molecules that is to be seen, Angstrom.
_AROUND = 1.8

#: Height of the inline frame in notebooks, pixels.
_HEIGHT = 480


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
    """

    grid: Grid
    unit: str = "e/Å³"
    signed: bool = False
    isovalue: float | None = None


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
            'border: 1px solid #ccc" sandbox="allow-scripts"></iframe>'
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
    page = files(__package__).joinpath("viewer.html").read_text(encoding="utf-8")
    text = json.dumps(data, allow_nan=False).replace("</", "<\\/")
    page = page.replace("@TITLE@", html.escape(title or atoms.get_chemical_formula()))
    return View(page.replace("@DATA@", text))


def view_spacing(volume: float) -> float:
    """Spacing that suits the viewer for a box of so many Angstrom^3."""
    return max(_SPACING, (volume / _POINTS) ** (1 / 3))


def _field(atoms: Atoms, name: str, field: Field) -> dict[str, Any]:
    grid = field.grid
    values = grid.values
    if min(values.shape) < 2 or not np.isfinite(values).all():
        raise ValueError(f"the field {name!r} needs two points along each axis, and finite values")
    step = grid.cell / np.array(values.shape)[:, None]
    # surfaces go on to the end of a periodic cell
    values = np.pad(values, [(0, int(p)) for p in atoms.pbc], mode="wrap")
    size = np.abs(values) if field.signed else values
    if not size.max() > 0:
        raise ValueError(f"the field {name!r} has no positive values: there is nothing to draw")
    most = float(np.quantile(size[size > 0], 0.999))
    start = field.isovalue or float(np.quantile(size[size > 0], 0.9 if field.signed else 0.8))
    soft = np.arcsinh(values / _SOFTENING)
    low, high = float(soft.min()), float(soft.max())
    words = np.rint((soft - low) * (65535 / max(high - low, 1e-30))).astype("<u2")
    return {
        "name": name,
        "unit": field.unit,
        "signed": field.signed,
        "shape": values.shape,
        "origin": grid.origin.tolist(),
        "step": step.tolist(),
        "reciprocal": np.linalg.inv(step).T.tolist(),
        "values": base64.b64encode(np.ascontiguousarray(words).tobytes()).decode("ascii"),
        "low": low,
        "high": high,
        "least": min(1e-4 * most, start),
        "most": max(most, start),
        "start": start,
    }


def _model(atoms: Atoms, grids: list[Grid]) -> dict[str, Any]:
    """Balls, sticks and edges, and how to look at them."""
    first, second, shift = neighbor_list("ijS", atoms, natural_cutoffs(atoms, mult=1.15))
    inside = (first < second) & ~shift.any(axis=1)
    corners = np.array(
        [g.origin + np.array(c) @ g.cell for g in grids for c in np.ndindex(2, 2, 2)]
    )
    # what is to be seen: the cell, or the molecule and what is close to it
    seen = corners if atoms.pbc.any() else atoms.positions
    low, high = seen.min(axis=0), seen.max(axis=0)
    around = 0.0 if atoms.pbc.any() else _AROUND
    edges = []
    if atoms.pbc.any():
        for corner in np.ndindex(2, 2, 2):
            for axis in np.flatnonzero(np.array(corner) == 0):
                start = np.array(corner) @ grids[0].cell + grids[0].origin
                edges.append([start.tolist(), (start + grids[0].cell[axis]).tolist()])
    plane = plane_through(atoms)
    return {
        "atoms": [
            {
                "position": position.tolist(),
                "radius": 0.4 * float(covalent_radii[z]),
                "colour": np.round(jmol_colors[z], 3).tolist(),
            }
            for z, position in zip(atoms.numbers, atoms.positions, strict=True)
        ],
        "bonds": np.stack([first[inside], second[inside]], axis=1).tolist(),
        "edges": edges,
        "centre": ((low + high) / 2).tolist(),
        "radius": float(np.linalg.norm(high - low) / 2 + around),
        "view": np.vstack([plane.axes, plane.normal]).tolist(),
    }
