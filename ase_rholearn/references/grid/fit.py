"""Fit of an auxiliary basis to a density on a grid, with the exact charge.

The charge is fixed by a Lagrange multiplier: in a crystal the Coulomb metric does not see it
(the frequency zero is missing), and a grid is never integrated to the last electron.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
from ase import Atoms, units
from ase.data import chemical_symbols

from ...basis import Basis
from ...density import Density, Grid
from ...density.evaluation.functions import function_blocks
from ...density.evaluation.points import Images, wrap
from ..reference import Reference, settings_with_basis
from .density import GridDensity
from .fourier import FourierMetric
from .overlap import ExcludedMetric, OverlapMetric
from .potential import PotentialMetric
from .resolution import check_resolution
from .solve import ChargedSolver

#: Steps of the solution. All but the first correct it by the residual at the points: the
#: rounding of ill-conditioned metrics, and the tails of a molecule that its box cuts off.
_STEPS = 10

#: Length of a step, as a fraction of the first, below which no other is needed.
_CONVERGED = 1e-11


def fit_grid(
    density: GridDensity,
    basis: Basis,
    *,
    metric: Literal["overlap", "coulomb"] = "overlap",
    excluded_radius: float | Mapping[str, float] = 0.0,
    settings: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    converged: bool | None = None,
    energy: float | None = None,
    forces: np.ndarray | None = None,
    tolerance: float | None = None,
) -> Reference:
    """Fit a basis to a density on a grid.

    The coefficients hold exactly the electrons of the structure: core charges less the
    total charge.

    Parameters
    ----------
    density
        See :func:`~ase_rholearn.references.grid.read_grid_density`.
    basis
        Of the same kind and with the same core charges. Its atomic densities, if any, are
        subtracted at the points of the grid before the fit.
    metric
        ``"overlap"``: least squares at the points, for any structure. ``"coulomb"``: for
        molecules (needs PySCF) and for structures that are periodic in all directions.
    excluded_radius
        Points closer to a nucleus than this (Angstrom), or than that of its symbol, are left
        out, with the overlap metric. Use it where points do not resolve what the code
        computed: 0.3 for all-electron densities of PAW codes, 0 for pseudised ones.
    settings
        How the density was made, as plain data: code, functional, cut-off. Part of the
        identity of the reference.
    provenance
        Plain data that is not part of the identity, such as the name of the file.
    converged
        Whether the calculation had converged. Data sets take only True.
    energy, forces
        eV and eV/Angstrom, if known.
    tolerance
        Electrons that the sum over the grid may be off, see
        :meth:`GridDensity.check_electrons`.

    Returns
    -------
    Reference
        ``fit`` has ``electron_error``, ``nmae`` (per cent, at the points of the fit),
        ``grid_electrons`` (sum over the grid), ``charge_shift`` (electrons that the
        constraint added), ``condition`` (of the metric) and ``dependent`` (combinations of
        functions that were left out as linearly dependent).

    Raises
    ------
    ValueError
        The basis does not fit the density, the grid is too coarse for it or does not hold
        the right number of electrons, or the metric does not exist here. Before any work.
    """
    _check_basis(density, basis)
    _check_metric(metric, density.atoms, excluded_radius)
    radii = dict(
        zip(density.atoms.numbers.tolist(), _radii(density.atoms, excluded_radius), strict=True)
    )
    check_resolution(basis, radii, density.spacing, radii)
    density.check_electrons(tolerance)

    atoms, grid, numbers = density.atoms, density.grid, density.atoms.numbers
    used = _used_points(density, excluded_radius)
    measure = _metric(metric, density, basis, used)
    per_function = basis.electrons(numbers)
    solver = ChargedSolver.of(measure.matrix, per_function, unit_norms=metric == "overlap")
    target = density.expected_electrons - basis.baseline_electrons(numbers).sum()

    coefficients = np.zeros(len(per_function))
    deformation = residual = grid.values - _values(atoms, basis, coefficients, grid)
    shift, first, previous = 0.0, 0.0, np.inf
    for attempt in range(_STEPS):
        missing = target - float(per_function @ coefficients)
        step, added = solver.solve(measure.project(residual * units.Bohr**3, missing), missing)
        length = float(np.sqrt(step @ measure.matrix @ step))
        if attempt == 0:
            shift, first = added, length
        elif not length < 0.5 * previous:
            break  # rounding, or a direction that the box does not determine
        coefficients = coefficients + step
        residual = grid.values - _values(atoms, basis, coefficients, grid)
        previous = length
        if length <= _CONVERGED * first:
            break
    return Reference(
        atoms=atoms.copy(),
        coefficients=coefficients,
        settings=settings_with_basis(
            grid_settings(density, metric, excluded_radius, settings or {}), basis
        ),
        converged=converged,
        energy=energy,
        forces=forces,
        dipole=None if atoms.pbc.any() else _dipole(density, basis, deformation),
        fit={
            "electron_error": float(per_function @ coefficients - target),
            "nmae": 100 * float(np.abs(residual[used]).sum() / grid.values[used].sum()),
            "grid_electrons": density.number_of_electrons,
            "charge_shift": shift,
            "condition": solver.condition,
            "dependent": float(solver.dependent),
        },
        provenance={
            "grid": list(grid.shape),
            "spacing": density.spacing,
            **(provenance or {}),
        },
    )


class _Metric(Protocol):
    """What a fit needs to know of a metric."""

    matrix: np.ndarray

    def project(self, values: np.ndarray, charge: float) -> np.ndarray:
        """(P | values) of every function: values (nx, ny, nz) in e/bohr^3 with this charge."""


def _metric(metric: str, density: GridDensity, basis: Basis, used: np.ndarray) -> _Metric:
    atoms, grid = density.atoms, density.grid
    positions, cell = atoms.positions / units.Bohr, atoms.cell.array / units.Bohr
    volume = grid.voxel_volume / units.Bohr**3
    if atoms.pbc.all():
        whole = FourierMetric(metric, basis, atoms.numbers, positions, grid)
        if used.all():
            return whole
        left_out = grid.points()[~used] / units.Bohr
        blocks = function_blocks(basis, atoms.numbers, positions, left_out, cell, atoms.pbc)
        return ExcludedMetric(whole, blocks, volume, used)
    points = grid.points()[used] / units.Bohr
    if metric == "coulomb":
        return PotentialMetric(basis, atoms, points, volume)
    return OverlapMetric(basis, atoms.numbers, positions, cell, atoms.pbc, points, volume, used)


def _check_basis(density: GridDensity, basis: Basis) -> None:
    """Whether basis and density describe the same electrons."""
    basis.check_species(density.atoms.numbers)
    if basis.kind != density.kind:
        raise ValueError(
            f"the basis is {basis.kind} but the density on the grid is {density.kind}: give a "
            "basis of the same kind, grid_basis makes one"
        )
    for z in sorted(set(density.atoms.numbers.tolist())):
        if abs(basis.core_charge(z) - density.core_charge(z)) > 1e-8:
            raise ValueError(
                f"core_charges: {chemical_symbols[z]} has {basis.core_charge(z):g} in the basis "
                f"and {density.core_charge(z):g} in the density: give both the same"
            )
    if not basis.electrons(density.atoms.numbers).any():
        raise ValueError(
            "the basis has no s functions on these species, so that the charge cannot be fixed: "
            "add some"
        )


def _check_metric(metric: str, atoms: Atoms, excluded_radius: float | Mapping[str, float]) -> None:
    if metric not in ("overlap", "coulomb"):
        raise ValueError(f'metric is {metric!r}: give "overlap" or "coulomb"')
    radii = _radii(atoms, excluded_radius)
    if not (np.isfinite(radii).all() and (radii >= 0).all()):
        raise ValueError(f"excluded_radius is {excluded_radius}: give Angstrom, 0 or larger")
    if metric == "coulomb" and radii.any():
        raise ValueError(
            f"excluded_radius is {excluded_radius}, which the Coulomb metric cannot respect, "
            'because it acts over distances: leave it out, or give metric="overlap"'
        )
    if metric == "coulomb" and atoms.pbc.any() and not atoms.pbc.all():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: the Coulomb metric is there for molecules and "
            'for crystals, not in between; give metric="overlap", or pbc=True if the vacuum '
            "belongs to the cell"
        )


def _radii(atoms: Atoms, excluded_radius: float | Mapping[str, float]) -> np.ndarray:
    """Radius of each atom that is left out: shape (natoms,), Angstrom."""
    if isinstance(excluded_radius, Mapping):
        return np.array([float(excluded_radius.get(s, 0.0)) for s in atoms.symbols])
    return np.full(len(atoms), float(excluded_radius))


def _used_points(density: GridDensity, excluded_radius: float | Mapping[str, float]) -> np.ndarray:
    """Whether a point of the grid takes part in the fit: shape (nx, ny, nz)."""
    atoms, grid = density.atoms, density.grid
    radii = _radii(atoms, excluded_radius)
    used = np.ones(grid.values.size, dtype=bool)
    if radii.any():
        cell = atoms.cell.array
        points = wrap(grid.points().reshape(-1, 3), cell, atoms.pbc)
        images = Images.near(atoms.positions, radii.tolist(), points, cell, atoms.pbc)
        for centre, radius in zip(images.centre, images.reach, strict=True):
            offsets = points - centre
            used &= np.einsum("ij,ij->i", offsets, offsets) >= radius**2
    if not used.any():
        raise ValueError(f"excluded_radius is {excluded_radius}: it leaves no point of the grid")
    return used.reshape(grid.shape)


def _values(atoms: Atoms, basis: Basis, coefficients: np.ndarray, grid: Grid) -> np.ndarray:
    """Density of the coefficients, with the baseline, at the points of a grid, e/Angstrom^3."""
    return Density(atoms, basis, coefficients, normalize=False).on_frame(grid).values


def _dipole(density: GridDensity, basis: Basis, deformation: np.ndarray) -> np.ndarray:
    """Dipole of a molecule about the centre of its core charges: (3,) e Angstrom.

    The atomic densities count in closed form, the rest (e/Angstrom^3) at the points.
    """
    atoms, grid = density.atoms, density.grid
    cores = np.array([density.core_charge(z) for z in atoms.numbers])
    origin = cores @ atoms.positions / cores.sum()
    monopoles = cores - basis.baseline_electrons(atoms.numbers)
    at_points = np.tensordot(deformation, grid.points() - origin, axes=3) * grid.voxel_volume
    return np.asarray(monopoles @ (atoms.positions - origin) - at_points)


def grid_settings(
    density: GridDensity,
    metric: str,
    excluded_radius: float | Mapping[str, float],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """What identifies a fit: the caller's level of theory and ours, without the basis.

    Parameters
    ----------
    density, metric, excluded_radius
        As for :func:`fit_grid`.
    given
        The caller's ``settings``.
    """
    own: dict[str, Any] = {
        "source": "grid",
        "metric": metric,
        "constraint": "charge",
        "kind": density.kind,
    }
    if density.kind == "valence":
        # all that are given: structures of one data set differ in their species
        own["core_charges"] = {chemical_symbols[z]: c for z, c in density.core_charges.items()}
    if _radii(density.atoms, excluded_radius).any():
        radii = excluded_radius
        own["excluded_radius"] = dict(radii) if isinstance(radii, Mapping) else float(radii)
    clash = sorted(set(given) & {*own, "basis"})
    if clash:
        raise ValueError(f"settings has the entries {clash}, which the fit sets itself: drop them")
    return {"code": "unknown", **given, **own}
