"""A density on a grid with what it takes to fit it: structure, kind, core charges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.data import atomic_numbers, chemical_symbols

from ...density import Grid
from ...density.evaluation.points import fractional
from ...structures import check_atoms, total_charge
from .resolution import effective_spacing

#: Electrons that the sum over the points may lack or have in excess: a constant, and a share
#: of all of them. Cores are sampled badly, and the box of a molecule cuts its tails off.
_TOLERANCE = {"all-electron": (0.1, 0.05), "valence": (0.1, 0.01)}

#: How far (Angstrom) the edges of a periodic grid may be from the cell's: cubes have six
#: decimals a voxel.
_SAME_CELL = 1e-2


@dataclass(frozen=True)
class GridDensity:
    """An electron density at the points of a uniform grid.

    Attributes
    ----------
    atoms
        The structure. ``atoms.pbc`` says which directions are periodic, and
        ``atoms.info["charge"]`` the total charge.
    grid
        e/Angstrom^3. Along periodic directions it spans the cell.
    kind
        ``"all-electron"`` or ``"valence"``.
    core_charges
        Charge of nucleus and core electrons of each species, by symbol or atomic number;
        for valence densities only.

    Raises
    ------
    ValueError
        Values are not finite, an atom of a molecule is outside the box, the grid does not
        span the cell, or core charges are missing.

    Examples
    --------
    An array of a periodic calculation, in e/Angstrom^3:

    >>> from ase.build import bulk
    >>> si = bulk("Si")
    >>> values = np.full((8, 8, 8), 8 / si.get_volume())
    >>> rho = GridDensity(si, Grid(values, np.zeros(3), si.cell.array), "valence", {"Si": 4})
    >>> round(rho.number_of_electrons, 6), rho.expected_electrons
    (8.0, 8.0)
    """

    atoms: Atoms
    grid: Grid
    kind: Literal["all-electron", "valence"]
    core_charges: Mapping[Any, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_atoms(self.atoms)
        _check_values(self.grid)
        object.__setattr__(self, "core_charges", _core_charges(self.kind, self.core_charges))
        if self.kind == "valence":
            missing = sorted(set(self.atoms.numbers.tolist()) - set(self.core_charges))
            if missing:
                raise ValueError(
                    f"core_charges has no entry for {_symbols(missing)}: give the charge of "
                    "nucleus and core electrons of every species, which is the number of "
                    "valence electrons of its pseudopotential"
                )
        _check_box(self.atoms, self.grid)

    @property
    def number_of_electrons(self) -> float:
        """Sum over the points times the volume of a voxel."""
        return self.grid.integral

    @property
    def expected_electrons(self) -> float:
        """Core charges less the total charge."""
        return float(sum(map(self.core_charge, self.atoms.numbers))) - total_charge(self.atoms)

    def core_charge(self, z: int) -> float:
        """Charge of the nucleus (all-electron) or of nucleus and core (valence)."""
        return self.core_charges[int(z)] if self.kind == "valence" else float(z)

    @cached_property
    def spacing(self) -> float:
        """Distance of the points that limits what the grid resolves, Angstrom.

        See :func:`~ase_rholearn.references.grid.resolution.effective_spacing`.
        """
        return effective_spacing(self.grid)

    def check_electrons(self, tolerance: float | None = None) -> None:
        """Raise a ValueError if the grid does not hold the electrons of the structure.

        Parameters
        ----------
        tolerance
            Electrons. Left out: 0.1 and one per cent of all for valence densities, 0.1 and
            five per cent for all-electron ones, whose cores a grid does not resolve.
        """
        found, expected = self.number_of_electrons, self.expected_electrons
        constant, share = _TOLERANCE[self.kind]
        allowed = constant + share * abs(expected) if tolerance is None else tolerance
        if abs(found - expected) <= allowed:
            return
        raise ValueError(
            f"the grid holds {found:.4f} electrons but the structure "
            f"({self.atoms.get_chemical_formula()}, {self.kind}, charge "
            f"{total_charge(self.atoms)}) has {expected:g}: {_likely_cause(self)}"
        )


def _likely_cause(density: GridDensity) -> str:
    """What is probably wrong with a grid of a wrong number of electrons."""
    found, expected = density.number_of_electrons, density.expected_electrons
    positive = float(np.abs(density.grid.values).sum() * density.grid.voxel_volume)
    if abs(found) < 0.2 * positive or positive == 0.0:
        return "it looks like a spin density or a difference of densities; give the total density"
    all_electron = float(density.atoms.numbers.sum()) - total_charge(density.atoms)
    if density.kind == "valence" and abs(found - all_electron) < 0.03 * all_electron:
        return 'it looks like an all-electron density: give kind="all-electron"'
    ratio = found / expected
    volume = abs(np.linalg.det(density.grid.cell))
    for name, factor in (
        ("in e/Angstrom^3 instead of e/bohr^3", units.Bohr**-3),
        ("in e/bohr^3 instead of e/Angstrom^3", units.Bohr**3),
        ("multiplied by the cell volume in Angstrom^3", volume),
        ("multiplied by the cell volume in bohr^3", volume * units.Bohr**-3),
        ("divided by the number of grid points", 1 / density.grid.values.size),
    ):
        # the reader's own conversion may have come on top
        if any(abs(ratio / f - 1) < 0.05 for f in (factor, 1 / factor) if abs(f - 1) > 0.2):
            return f"the values look as if they were {name}; correct the unit"
    if density.kind == "all-electron":
        return (
            'give kind="valence" with core_charges if it comes from pseudopotentials, use a '
            "finer grid if cores are missing, or correct the total charge"
        )
    charges = {chemical_symbols[z]: charge for z, charge in density.core_charges.items()}
    return (
        f"correct core_charges ({charges}, the valence electrons of each pseudopotential) or "
        "the total charge, or use a larger box"
    )


def _core_charges(kind: str, core_charges: Mapping[Any, float]) -> dict[int, float]:
    """Core charges by atomic number, after checks."""
    if kind not in ("all-electron", "valence"):
        raise ValueError(f'kind is {kind!r}: give "all-electron" or "valence"')
    if kind == "all-electron" and core_charges:
        raise ValueError(
            f'core_charges are {dict(core_charges)} but kind is "all-electron": leave them '
            'out, or give kind="valence"'
        )
    if kind == "valence" and not core_charges:
        raise ValueError(
            "a valence density needs core_charges: give the number of valence electrons of each "
            'pseudopotential, such as {"Si": 4}'
        )
    by_number = {}
    for species, charge in core_charges.items():
        z = atomic_numbers.get(species, 0) if isinstance(species, str) else int(species)
        if not 0 < z < len(chemical_symbols):
            raise ValueError(f"core_charges: {species!r} is not a chemical symbol")
        if not (np.isfinite(charge) and 0 < charge <= z):
            raise ValueError(
                f"core_charges: {chemical_symbols[z]} has {charge}; it lies between 0 and {z}"
            )
        by_number[z] = float(charge)
    return dict(sorted(by_number.items()))


def _check_values(grid: Grid) -> None:
    if grid.values.ndim != 3 or grid.values.size == 0:
        raise ValueError(f"the grid has shape {grid.values.shape}: give three axes with points")
    wrong = int(np.sum(~np.isfinite(grid.values)))
    if wrong:
        raise ValueError(
            f"{wrong} of {grid.values.size} values of the grid are NaN or infinite: the file is "
            "damaged, or the calculation failed"
        )
    if not abs(np.linalg.det(grid.cell)) > 0:
        raise ValueError(f"the edges of the grid are {grid.cell.tolist()}: they span no volume")


def _check_box(atoms: Atoms, grid: Grid) -> None:
    """Whether the grid covers the structure."""
    pbc, lattice = atoms.pbc, atoms.cell.array
    # each direction by itself: the other edges may be longer than the cell's
    for axis in np.flatnonzero(pbc):
        if not np.allclose(grid.cell[axis], lattice[axis], rtol=0, atol=_SAME_CELL):
            raise ValueError(
                f"edge {axis} of the grid is {grid.cell[axis].tolist()} but the period is "
                f"{lattice[axis].tolist()} Angstrom: give a grid of one whole cell, without "
                "repeated end points"
            )
    along = fractional(atoms.positions - grid.origin, grid.cell, np.array([True] * 3))
    outside = ((along < 0) | (along > 1)) & ~pbc
    if outside.any():
        first = int(np.flatnonzero(outside.any(axis=1))[0])
        raise ValueError(
            f"atom {first} ({atoms.symbols[first]}) at {atoms.positions[first].tolist()} is "
            "outside the grid: give a box around the whole molecule, check the unit of the "
            "coordinates, or say periodic=True if it is a crystal"
        )


def _symbols(numbers: list[int]) -> str:
    return ", ".join(chemical_symbols[z] for z in numbers)
