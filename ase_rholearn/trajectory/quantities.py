"""What is kept of the density of each frame."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..density import Density, Grid, grid_frame
from ..density.charges import SCHEMES, molecular_dipoles
from ..density.electrostatics.quantities import potential_on_frame
from ..density.evaluation.quadrature import check_level

#: Fields on grids, and their units.
FIELD_UNITS: dict[str, str] = {
    "density": "e/Angstrom^3",
    "deformation": "e/Angstrom^3",
    "potential": "V",
}


@dataclass(frozen=True)
class Quantities:
    """What to compute of each frame's density.

    The dipole moment of molecules is always there; it costs next to nothing.

    Attributes
    ----------
    charges
        Scheme of partial charges, see :meth:`Density.charges`; None for none.
    molecular_dipoles
        Whether to divide the density among molecules, an approximation; see
        :func:`~ase_rholearn.density.charges.molecular_dipoles`.
    level
        Quality of the quadrature of both, 0 to 5.
    field
        Name of a field on a grid: density, deformation (density minus free atoms) or
        potential; None for none.
    spacing, margin
        Of its grid, Angstrom, see :meth:`Density.on_grid`.
    """

    charges: str | None = None
    molecular_dipoles: bool = False
    level: int = 3
    field: str | None = None
    spacing: float = 0.2
    margin: float = 3.0

    def __post_init__(self) -> None:
        if self.charges is not None and self.charges not in SCHEMES:
            raise ValueError(f"charges is {self.charges!r}: give one of {', '.join(SCHEMES)}")
        check_level(self.level)
        if self.field is not None and self.field not in FIELD_UNITS:
            raise ValueError(f"field is {self.field!r}: give one of {', '.join(FIELD_UNITS)}")
        if not (np.isfinite(self.spacing) and self.spacing > 0):
            raise ValueError(f"spacing is {self.spacing}: give a positive distance in Angstrom")
        if not (np.isfinite(self.margin) and self.margin >= 0):
            raise ValueError(f"margin is {self.margin}: give a distance in Angstrom, 0 or larger")

    def to_dict(self) -> dict[str, Any]:
        """For the header of a file."""
        return asdict(self)

    def per_frame(self, rho: Density) -> dict[str, np.ndarray]:
        """Everything but the field, by name, as far as the structure has it.

        ``dipole`` (3,) and ``charges`` (natoms,), ``molecules`` (natoms,),
        ``molecular_charges`` (nmolecules,) and ``molecular_dipoles`` (nmolecules, 3); e and
        e Angstrom.
        """
        found: dict[str, np.ndarray] = {}
        if not rho.atoms.pbc.any():
            found["dipole"] = rho.dipole()
        if self.charges is not None:
            found["charges"] = rho.charges(self.charges, level=self.level)
        if self.molecular_dipoles:
            parts = molecular_dipoles(rho, level=self.level)
            found["molecules"] = parts.labels
            found["molecular_charges"] = parts.charges
            found["molecular_dipoles"] = parts.dipoles
        return found


def field_on_frame(rho: Density, field: str, frame: Grid) -> Grid:
    """A field at the points of a grid, whose values are ignored: e/Angstrom^3, or V."""
    if field == "potential":
        return potential_on_frame(rho, frame)
    return (rho - rho.free_atoms() if field == "deformation" else rho).on_frame(frame)


def field_frame(rho: Density, quantities: Quantities, first: Grid | None) -> Grid:
    """Where the field of a frame lies, all frames having the same number of points.

    ``first`` is the grid of the first frame. Molecules keep its place in space; the grid of
    a crystal follows the cell.
    """
    if first is None:
        return grid_frame(rho.atoms, quantities.spacing, quantities.margin)
    if not rho.atoms.pbc.any():
        return first
    return grid_frame(rho.atoms, quantities.spacing, quantities.margin, first.shape)
