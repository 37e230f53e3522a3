"""Densities and potentials averaged over planes, in ASE's units.

In closed form, see :mod:`ase_rholearn.density.comparison.planar`: there is no grid, and no error
of one, for cells of any shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units

from ..electrostatics.potential import AtomCharge, check_neutral
from ..evaluation.points import completed_cell
from .expansion import Field, charge_terms, electron_terms
from .planar import Line, repeated_integral

#: Exponent x of exp(-x) below which a density counts as vacuum.
_VACUUM = 40.0

#: Height (Angstrom) below which a cell vector lies in the planes.
_FLAT = 1e-6


@dataclass(frozen=True)
class PlanarDensity:
    """Integrals of a density over planes.

    Attributes
    ----------
    heights
        Of the planes along their normal, from the origin of coordinates: shape (n,), Angstrom.
    values
        Electrons of one cell (or of the molecule) an Angstrom of height: shape (n,),
        e/Angstrom.
    electrons_below
        Electrons below each height: shape (n,), e. Where the direction is periodic, those
        between the plane through the origin and the height. Of a difference it is the
        charge-displacement curve (L. Belpassi, I. Infante, F. Tarantelli and L. Visscher,
        J. Am. Chem. Soc. 130, 1048 (2008)).
    area
        Of the cell in the plane, Angstrom^2; None where the plane is not periodic.
    period
        Distance after which the planes repeat, Angstrom; None where they do not.
    """

    heights: np.ndarray
    values: np.ndarray
    electrons_below: np.ndarray
    area: float | None
    period: float | None

    @property
    def average(self) -> np.ndarray:
        """The density averaged over each plane: shape (n,), e/Angstrom^3."""
        if self.area is None:
            raise ValueError(
                "the planes are infinite, and the average over them is zero: use values, the "
                "integrals over the planes"
            )
        return self.values / self.area


@dataclass(frozen=True)
class PlanarPotential:
    """Electrostatic potential of nuclei and electrons, averaged over planes.

    Attributes
    ----------
    heights
        Of the planes along their normal, from the origin of coordinates: shape (n,), Angstrom.
    values
        Energy of a positive unit charge in eV: shape (n,), V.
    vacuum_levels
        Potential far below and far above a slab, V; the zero is halfway between them. None for
        crystals, whose potential has the average zero.
    area
        Of the cell in the plane, Angstrom^2.
    period
        Distance after which the planes repeat, Angstrom; None for slabs.
    """

    heights: np.ndarray
    values: np.ndarray
    vacuum_levels: tuple[float, float] | None
    area: float
    period: float | None

    @property
    def dipole_step(self) -> float:
        """Potential above the slab minus that below it, V: the difference of work functions.

        Of its areal dipole p (e/Angstrom) it is 4 pi p in Gaussian units.
        """
        if self.vacuum_levels is None:
            raise ValueError(
                "the potential is periodic and has no vacuum levels: give a structure that is "
                "not periodic across the slab (atoms.pbc = (True, True, False))"
            )
        return self.vacuum_levels[1] - self.vacuum_levels[0]


def planar_density(
    rho: Field,
    axis: Any = 2,
    *,
    heights: Any = None,
    spacing: float = 0.05,
    margin: float = 3.0,
    windows: float | Sequence[float] = (),
) -> PlanarDensity:
    """Integrals of a density, or of a difference, over planes.

    Parameters
    ----------
    rho
        The density; molecules, slabs and crystals.
    axis
        0, 1 or 2: the planes hold the other two cell vectors, and heights ascend along this
        one. For molecules also a vector (3,)
        normal to the planes.
    heights
        Shape (n,), Angstrom. Left out: over one period, or over the structure with a
        ``margin`` (Angstrom), every ``spacing`` (Angstrom).
    spacing, margin
        See above.
    windows
        One or two lengths (Angstrom) for the macroscopic average of ``values``: the mean over a
        window about each height, for the second length once more (A. Baldereschi, S. Baroni
        and R. Resta, Phys. Rev. Lett. 61, 734 (1988)).

    Raises
    ------
    ValueError
        There is no such axis, or a length is not positive.

    Examples
    --------
    >>> from ase import Atoms
    >>> from ase_rholearn import Basis, Density
    >>> basis = Basis.from_shells({"He": [(0, [1.0])]})
    >>> profile = planar_density(Density(Atoms("He"), basis, [1.0]), spacing=0.1)
    >>> round(float(profile.values.sum() * 0.1), 6)
    2.0
    """
    planes = _Planes.of(rho.atoms, axis)
    at, lengths = _heights(rho.atoms, planes, heights, spacing, margin), _lengths(windows)
    terms, electrons = electron_terms(rho), rho.number_of_electrons
    values = _integral(terms, planes, at, 0, lengths) / units.Bohr
    below = _integral(terms, planes, at, 1)
    if planes.period is None:
        below += 0.5 * electrons
    else:
        values += electrons / planes.period
        below += electrons * at / planes.period - _integral(terms, planes, np.zeros(1), 1)
    return PlanarDensity(at, values, below, planes.area, planes.period)


def planar_potential(
    rho: Field,
    axis: int = 2,
    *,
    heights: Any = None,
    spacing: float = 0.05,
    margin: float = 6.0,
    windows: float | Sequence[float] = (),
) -> PlanarPotential:
    """Electrostatic potential of a slab or a crystal, averaged over planes.

    Poisson's equation in one dimension, with the nuclei as points: their part is linear
    between them. A slab (not periodic along ``axis``) stands alone, without a field outside,
    so that a polar one has two vacuum levels; no dipole correction is needed. The potential of
    electrons is the negative of this: a work function is the vacuum level of electrons minus the
    Fermi level of a calculation with the same zero.

    Parameters
    ----------
    rho
        The density; periodic along the planes. For a difference, the difference of the
        potentials.
    axis, heights, spacing, margin, windows
        See :func:`planar_density`.

    Raises
    ------
    ValueError
        The planes are not periodic, the structure is charged, or an argument is bad.
    """
    planes = _Planes.of(rho.atoms, axis)
    if planes.area is None:
        raise ValueError(
            f"atoms.pbc is {rho.atoms.pbc.tolist()} and axis is {axis}: the average of a "
            "potential needs planes that are periodic in both directions; set pbc, or take "
            "another axis"
        )
    at, lengths = _heights(rho.atoms, planes, heights, spacing, margin), _lengths(windows)
    terms = charge_terms(rho)
    check_neutral(terms, "its potential")
    scale = -4 * np.pi * units.Hartree * units.Bohr**2 / planes.area
    values = scale * _integral(terms, planes, at, 2, lengths)
    levels = None
    if planes.period is None:
        ends = scale * _integral(terms, planes, _far_heights(terms, planes), 2)
        levels = float(ends[0]), float(ends[1])
    return PlanarPotential(at, values, levels, planes.area, planes.period)


@dataclass(frozen=True)
class _Planes:
    """Parallel planes, in Angstrom.

    Attributes
    ----------
    normal
        Unit vector: shape (3,).
    period, area
        See :class:`PlanarDensity`.
    """

    normal: np.ndarray
    period: float | None
    area: float | None

    @classmethod
    def of(cls, atoms: Atoms, axis: Any) -> _Planes:
        if np.shape(axis) == (3,) and not atoms.pbc.any():
            direction = np.asarray(axis, dtype=float)
            length = np.linalg.norm(direction)
            if not (np.isfinite(length) and length > 0):
                raise ValueError(f"axis is {axis}: give a vector that is finite and not zero")
            return cls(direction / length, None, None)
        if np.ndim(axis) != 0 or axis not in (0, 1, 2):
            raise ValueError(
                f"axis is {axis!r}: give 0, 1 or 2, or for a molecule a vector of three numbers"
            )
        cell, pbc = completed_cell(atoms.cell.array, atoms.pbc), atoms.pbc
        in_plane = [k for k in range(3) if k != axis]
        normal = np.cross(*cell[in_plane])
        area = float(np.linalg.norm(normal))
        # up is where the cell vector points to, also that of a vacuum
        along = normal @ atoms.cell.array[axis]
        up = along if abs(along) > _FLAT * area else normal @ cell[axis]
        normal = normal * np.sign(up) / area
        period = float(normal @ cell[axis]) if pbc[axis] else None
        return cls(normal, period, area if pbc[in_plane].all() else None)

    @property
    def line(self) -> Line:
        """The same in bohr."""
        return Line(self.normal, None if self.period is None else self.period / units.Bohr)


def _integral(
    terms: list[AtomCharge],
    planes: _Planes,
    heights: np.ndarray,
    order: int,
    windows: Sequence[float] = (),
) -> np.ndarray:
    """Repeated integral at heights in Angstrom, in e bohr^(order - 1)."""
    lengths = [length / units.Bohr for length in windows]
    return repeated_integral(terms, planes.line, heights / units.Bohr, order, lengths)


def _heights(
    atoms: Atoms, planes: _Planes, heights: Any, spacing: float, margin: float
) -> np.ndarray:
    """Heights in Angstrom, given ones after a check."""
    if heights is not None:
        given = np.array(heights, dtype=float)
        if given.ndim != 1 or not np.isfinite(given).all():
            raise ValueError(
                f"heights has shape {given.shape}: give finite numbers in Angstrom, shape (n,)"
            )
        return given
    if not (np.isfinite(spacing) and spacing > 0):
        raise ValueError(f"spacing is {spacing}: give a positive distance in Angstrom")
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin is {margin}: give a distance in Angstrom, 0 or larger")
    if planes.period is not None:
        n = int(np.ceil(planes.period / spacing - 1e-9))
        return np.arange(n) / n * planes.period
    nuclei = atoms.positions @ planes.normal
    extent = nuclei.max() - nuclei.min() + 2 * margin
    return nuclei.min() - margin + spacing * np.arange(int(np.ceil(extent / spacing)) + 1)


def _lengths(windows: float | Sequence[float]) -> list[float]:
    lengths = np.atleast_1d(np.asarray(windows, dtype=float)).tolist()
    if len(lengths) > 2 or not all(np.isfinite(length) and length > 0 for length in lengths):
        raise ValueError(f"windows is {windows}: give one or two positive lengths in Angstrom")
    return lengths


def _far_heights(terms: list[AtomCharge], planes: _Planes) -> np.ndarray:
    """Heights in Angstrom below and above which there are no electrons."""
    smallest = min(m.exponents.min() for term in terms for m in term.multiplets)
    reach = np.sqrt(_VACUUM / smallest)
    along = np.array([term.centre for term in terms]) @ planes.normal
    return np.array([along.min() - reach, along.max() + reach]) * units.Bohr
