"""From finished runs to tables of radial functions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import units

from ...basis import NumericalShell
from ...basis.radial_metric import radial_metric
from ..basis_info import read_basis_info
from ..geometry import read_geometry
from ..grid_files import read_grid_density
from ..ri_files import RIFit, read_ri_fit
from .plan import Displacement
from .setup import directory_of, read_plan
from .tabulate import RadialValues, length_unit, read_off, tabulated_function

#: Largest part of a difference that may not be one radial function times its harmonic.
_RESIDUAL = 1e-3

#: Largest difference between overlaps of tables and of FHI-aims, whose own have 1e-3 of noise.
_OVERLAP_ERROR = 0.02


@dataclass(frozen=True)
class Recovered:
    """Radial functions, and how sure they are.

    Attributes
    ----------
    shells
        Of each atomic number, by l and n, for :meth:`ase_rholearn.Basis.with_functions`.
    residual
        What of any difference is not one function times its harmonic, relative, at most.
    asymmetry
        By how much the functions on both atoms of a pair differ, relative, at most.
    overlap_error
        Largest difference between overlaps of the tables and those of FHI-aims on the atoms,
        relative to the norms; None without ``ri_ovlp.out``.
    """

    shells: Mapping[int, tuple[NumericalShell, ...]]
    residual: float
    asymmetry: float
    overlap_error: float | None


def recover_functions(root: str | os.PathLike[str]) -> Recovered:
    """Radial functions from the runs that :func:`set_up_recovery` has set up. Experimental.

    Parameters
    ----------
    root
        Folder of the runs, all of them finished.

    Raises
    ------
    FileNotFoundError
        There is no plan, or a run has no density on its grid.
    ValueError
        Grids differ, or a difference is no radial function times its harmonic: then FHI-aims
        does something else with coefficients than this method takes for granted.
    """
    folder = Path(root)
    fit_folder, plan = read_plan(folder)
    unchanged = directory_of(folder, None)
    atoms = read_geometry(unchanged).atoms
    positions, numbers = atoms.positions / units.Bohr, atoms.numbers
    grid, before = _rebuilt(unchanged)
    points = grid * length_unit(grid, positions)
    found: dict[tuple[int, int, int], RadialValues] = {}
    residual = asymmetry = 0.0
    for run in sorted({one.run for one in plan}):
        directory = directory_of(folder, run)
        same, after = _rebuilt(directory)
        if not np.array_equal(same, grid):
            raise ValueError(f"{directory} has another grid than {unchanged}")
        if read_basis_info(directory) != read_basis_info(unchanged):
            raise ValueError(f"{directory} has another product basis than {unchanged}")
        for one in (d for d in plan if d.run == run):
            first, second = (
                read_off(points, sign * (after - before) / one.size, atom, positions, one.l)
                for sign, atom in zip((1, -1), one.atoms, strict=True)
            )
            _check(one, directory, first, second)
            residual = max(residual, first.residual, second.residual)
            asymmetry = max(asymmetry, _asymmetry(first, second))
            mean = RadialValues(first.r, (first.values + second.values) / 2, first.residual)
            found[int(numbers[one.atoms[0]]), one.l, one.n] = mean
    shells = {
        z: tuple(tabulated_function(l, found[k, l, n]) for k, l, n in sorted(found) if k == z)
        for z in sorted({z for z, _, _ in found})
    }
    overlap_error = _overlap_error(fit_folder, numbers, shells) if fit_folder.is_dir() else None
    if overlap_error is not None and overlap_error > _OVERLAP_ERROR:
        raise ValueError(
            f"overlaps of the recovered functions differ from those of {fit_folder} by "
            f"{100 * overlap_error:.2g} % of their norms: FHI-aims has not added what the "
            "coefficients say, or its grid is too coarse (radial_multiplier)"
        )
    return Recovered(shells, residual, asymmetry, overlap_error)


def _rebuilt(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points, and the density that FHI-aims made of the coefficients there."""
    grid = read_grid_density(directory)
    if grid.rebuilt is None:
        raise FileNotFoundError(
            f"{directory} has no rho_rebuilt_ri.out: has the run ended, with ri_full_output?"
        )
    return grid.points, grid.rebuilt


def _check(one: Displacement, directory: Path, first: RadialValues, second: RadialValues) -> None:
    worst = max(first.residual, second.residual)
    if worst > _RESIDUAL:
        raise ValueError(
            f"{directory}: {100 * worst:.2g} % of the change on atoms {one.atoms} is no radial "
            f"function times the harmonic of l = {one.l}, m = 0: are the atoms far enough from "
            "each other, and is FHI-aims' order of functions that of this version?"
        )
    if not np.allclose(first.r, second.r, rtol=1e-4, atol=1e-6):
        raise ValueError(f"{directory}: the grids of atoms {one.atoms} differ")


def _asymmetry(first: RadialValues, second: RadialValues) -> float:
    return float(np.abs(first.values - second.values).max() / np.abs(first.values).max())


def _overlap_error(
    folder: Path, numbers: np.ndarray, shells: Mapping[int, Sequence[NumericalShell]]
) -> float | None:
    """Largest relative difference of overlaps on the atoms."""
    fit: RIFit = read_ri_fit(folder)
    if fit.overlap is None:
        return None
    layout, worst = fit.basis.layout, 0.0
    for z, own in shells.items():
        atom = int(np.flatnonzero(numbers == z)[0])
        for l in {shell.l for shell in own}:
            chosen = (layout.atom == atom) & (layout.l == l) & (layout.m == 0)
            rows = np.flatnonzero(chosen)
            expected = fit.overlap[np.ix_(rows, rows)]
            found = radial_metric([shell for shell in own if shell.l == l], "overlap")
            scale = np.sqrt(np.outer(expected.diagonal(), expected.diagonal()))
            worst = max(worst, float(np.abs((found - expected) / scale).max()))
    return worst
