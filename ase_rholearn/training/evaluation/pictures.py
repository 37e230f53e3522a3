"""Pictures of where predictions are worst; matplotlib and scikit-image (the extra ``view``)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...basis import Basis
from ...density import Density, DensityDifference
from ...model import DensityModel
from ...references import Reference
from ..data import DataSet

#: Inches and dots an inch: small pages, and sharp enough for a phone.
_SIZE, _RESOLUTION = (5.4, 4.6), 90

#: Pixels along the longer side of surfaces.
_PIXELS = 520


@dataclass(frozen=True)
class Worst:
    """One of the worst structures, with pictures of predicted minus reference density.

    Attributes
    ----------
    entry
        Its result.
    surface, plane
        PNG files: two isosurfaces, and the best plane through all atoms. Empty where there is
        no difference to draw.
    """

    entry: Mapping[str, Any]
    surface: bytes
    plane: bytes


def draw_worst(
    model: DensityModel,
    dataset: DataSet,
    structures: Sequence[Mapping[str, Any]],
    figure: str,
    count: int,
) -> list[Worst]:
    """Pictures of the structures with the largest errors, the worst first.

    Parameters
    ----------
    model, dataset
        What was judged.
    structures
        Their results.
    figure
        By which they are ranked.
    count
        How many.
    """
    ranked = sorted(structures, key=lambda entry: -entry[figure])[:count]
    return [_draw(model, dataset.basis, dataset.load(entry["id"]), entry) for entry in ranked]


def _draw(
    model: DensityModel, basis: Basis, reference: Reference, entry: Mapping[str, Any]
) -> Worst:
    atoms = reference.atoms
    predicted = Density(atoms, model.basis, model.coefficients([atoms])[0])
    difference = predicted - Density(atoms, basis, reference.coefficients)
    return Worst(entry, *(_picture(difference, kind) for kind in ("surface", "plane")))


def _picture(difference: DensityDifference, kind: str) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained", facecolor="white")
    ax = figure.subplots()
    try:
        if kind == "surface":
            difference.plot_isosurface(ax=ax, pixels=_PIXELS)
        else:
            difference.plot(ax=ax)
    except ValueError:  # it is zero everywhere, or has no surface
        return b""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_RESOLUTION)
    return stream.getvalue()
