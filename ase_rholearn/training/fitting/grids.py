"""Files of densities on a grid as sources of references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ase import Atoms

from ...basis import Basis
from ...density import Grid
from ...references import Reference
from ...references.grid import (
    GridDensity,
    fit_grid,
    grid_basis,
    grid_settings,
    read_grid_density,
)

if TYPE_CHECKING:
    from .sources import Statement


@dataclass(frozen=True, eq=False)
class GridStatement:
    """What the user says about densities on grids, and how they are fitted.

    Attributes
    ----------
    kind, core_charges, periodic, charge, unit, tolerance
        See :func:`~ase_rholearn.references.grid.read_grid_density`.
    metric, excluded_radius
        See :func:`~ase_rholearn.references.grid.fit_grid`.
    settings
        How the densities were made, as plain data: code, functional, cut-off.
    beta, l_max, smallest, largest
        See :func:`~ase_rholearn.references.grid.grid_basis`.
    atoms_xc, atoms_orbital_basis
        Level of theory of the free atoms below all-electron densities.
    """

    kind: Literal["all-electron", "valence"]
    core_charges: Mapping[str, float] = field(default_factory=dict)
    periodic: bool | None = None
    charge: int = 0
    unit: str = "e/bohr^3"
    tolerance: float | None = None
    metric: Literal["overlap", "coulomb"] = "overlap"
    excluded_radius: float | Mapping[str, float] = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    beta: float = 1.8
    l_max: int | Mapping[str, int] | None = None
    smallest: float | Mapping[str, float] | None = None
    largest: float | Mapping[str, float] | None = None
    atoms_xc: str = "PBE"
    atoms_orbital_basis: str = "def2-tzvp"

    def read(self, path: Path) -> GridDensity:
        """The density of a file."""
        return read_grid_density(
            path,
            kind=self.kind,
            core_charges=self.core_charges,
            periodic=self.periodic,
            charge=self.charge,
            unit=self.unit,
            tolerance=self.tolerance,
        )

    def basis(self, outlines: Iterable[GridDensity]) -> Basis:
        """A basis that all grids carry."""
        outlines = list(outlines)
        free_atoms = None
        if self.kind == "all-electron":
            from ...references.pyscf import atomic_densities

            species = {int(z) for outline in outlines for z in outline.atoms.numbers}
            free_atoms = atomic_densities(
                species, xc=self.atoms_xc, orbital_basis=self.atoms_orbital_basis
            )
        return grid_basis(
            outlines,
            beta=self.beta,
            l_max=self.l_max,
            smallest=self.smallest,
            largest=self.largest,
            excluded_radius=self.excluded_radius,
            atomic_densities=free_atoms,
        )


@dataclass(frozen=True)
class GridFile:
    """A cube or a CHGCAR.

    Attributes
    ----------
    path
        The file.
    """

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def records_convergence(self) -> bool:
        """No file of a density does."""
        return False

    def describe(self, statement: Statement) -> tuple[Atoms, dict[str, Any]]:
        """Structure and settings."""
        grid = self._grid(statement)
        outline = _outline(self.path, grid)
        settings = grid_settings(outline, grid.metric, grid.excluded_radius, grid.settings)
        return outline.atoms, settings

    def outline(self, statement: Statement) -> GridDensity:
        """The density without its values."""
        return _outline(self.path, self._grid(statement))

    def fit(self, basis: Basis, statement: Statement) -> Reference:
        """The fit of the density."""
        grid = self._grid(statement)
        return fit_grid(
            grid.read(self.path),
            basis,
            metric=grid.metric,
            excluded_radius=grid.excluded_radius,
            settings=grid.settings,
            provenance={"file": self.name},
            converged=statement.converged or None,
            tolerance=grid.tolerance,
        )

    def _grid(self, statement: Statement) -> GridStatement:
        if statement.grid is None:
            raise ValueError(
                f"{self.path} is a density on a grid: say what it is in a section grid, such as "
                "kind and core_charges"
            )
        return statement.grid


@cache
def _outline(path: Path, grid: GridStatement) -> GridDensity:
    """A density whose values, zeros, need no memory: it is read once, but not kept."""
    density = grid.read(path)
    shape = density.grid.shape
    empty = Grid(np.broadcast_to(0.0, shape), density.grid.origin, density.grid.cell)
    return GridDensity(density.atoms, empty, density.kind, density.core_charges)
