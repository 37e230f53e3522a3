"""Numerical radial functions and atomic densities: tables on a radial mesh. Atomic units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .atomic_density import AtomicDensity
from .radial_spline import DEGREE, RadialSpline
from .shells import Shell
from .unknown import UnknownShell

#: A table ends where its function has fallen to this part of its largest value.
_END = 1e-6

#: A free atom ends where its density has fallen to this, e/bohr^3.
_VACUUM = 1e-6

#: Points that a spline needs at least.
_FEWEST = 2 * DEGREE


@dataclass(frozen=True)
class NumericalShell:
    r"""One radial function R(r) of one angular momentum, as a table.

    The functions are :math:`R(r) Y_{lm}`. Between the radii of the mesh, :math:`R / r^l` is a
    quintic spline in r; beyond the last one R is zero. Programs that tabulate u = r R need
    u / r here. Functions need neither have unit norm nor be orthogonal.

    Attributes
    ----------
    l
        Angular momentum.
    r
        The mesh, ascending, in bohr. Of any kind; logarithmic ones suit.
    values
        R at these radii, in bohr^-1.5 if the norm is one. The last one is zero, or below 1e-6
        of the largest.

    Examples
    --------
    >>> r = np.geomspace(1e-4, 8.0, 400)
    >>> shell = NumericalShell(0, r, 2 * np.exp(-2 * r * r))
    >>> shell.cutoff
    8.0
    >>> bool(abs(shell.radial(0.5) - 2 * np.exp(-0.5)) < 1e-8)
    True
    """

    l: int
    r: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.l < 0:
            raise ValueError(f"l is {self.l}: an angular momentum is 0 or larger")
        r, values = _checked_table(self.r, self.values)
        largest = np.abs(values).max()
        if not largest > 0:
            raise ValueError("values are all zero: leave this radial function out")
        if abs(values[-1]) > _END * largest:
            raise ValueError(
                f"the table ends at r = {r[-1]:g} bohr, where the function is {values[-1]:g}, not "
                "zero: give the whole function, up to its cut-off"
            )
        object.__setattr__(self, "r", tuple(r.tolist()))
        object.__setattr__(self, "values", tuple(values.tolist()))

    def __reduce__(self) -> tuple[Any, ...]:
        # without the spline
        return NumericalShell, (self.l, self.r, self.values)

    @cached_property
    def spline(self) -> RadialSpline:
        """R / r^l between the radii."""
        r, values = _used(self.r, self.values)
        if self.l > 0 and r[0] == 0:
            r, values = r[1:], values[1:]
        return RadialSpline.through(r, values / r**self.l)

    @property
    def cutoff(self) -> float:
        """Radius beyond which the function is zero, bohr."""
        return self.spline.cutoff

    def reach(self, tolerance: float) -> float:
        """Radius (bohr) beyond which the functions R Y_lm stay below a tolerance for good."""
        r = self.spline.knots
        bound = np.abs(self.radial(r)) * np.sqrt((2 * self.l + 1) / (4 * np.pi))
        above = np.flatnonzero(bound > tolerance)
        return float(r[min(above[-1] + 1, len(r) - 1)]) if len(above) else 0.0

    def radial(self, r: np.ndarray | float, derivative: int = 0) -> np.ndarray:
        """R(r), or its first or second derivative, at radii in bohr, of any shape."""
        if derivative not in (0, 1, 2):
            raise ValueError(f"derivative is {derivative}: give 0, 1 or 2")
        r = np.asarray(r, dtype=float)
        l, flat = self.l, r.ravel()
        g = [self.spline.at(flat, order)[:, 0] for order in range(derivative + 1)]
        if derivative == 0:
            result = flat**l * g[0]
        elif derivative == 1:
            result = flat**l * g[1] + l * _power(flat, l - 1) * g[0]
        else:
            result = flat**l * g[2] + 2 * l * _power(flat, l - 1) * g[1]
            result += l * (l - 1) * _power(flat, l - 2) * g[0]
        return np.asarray(result.reshape(r.shape))

    def moment(self, power: int) -> float:
        """The integral of R(r) r^power dr from 0 to infinity."""
        return float(self.spline.integral(self.l + power)[0])

    def to_dict(self) -> dict[str, Any]:
        """Plain data (JSON); floats survive unchanged."""
        return {"l": self.l, "r": list(self.r), "values": list(self.values)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NumericalShell:
        """The inverse of :meth:`to_dict`."""
        return cls(int(data["l"]), tuple(data["r"]), tuple(data["values"]))


@dataclass(frozen=True)
class NumericalAtomicDensity:
    """A spherical density of a free atom, as a table; it is a quintic spline in between.

    Attributes
    ----------
    r
        The mesh, ascending, in bohr.
    values
        The density at these radii, in electrons per bohr^3. The last one is zero, or below
        1e-6; beyond it the density is zero.
    """

    r: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        r, values = _checked_table(self.r, self.values)
        if abs(values[-1]) > _VACUUM:
            raise ValueError(
                f"the table ends at r = {r[-1]:g} bohr, where the density is {values[-1]:g} "
                "e/bohr^3, not zero: give the whole atom"
            )
        object.__setattr__(self, "r", tuple(r.tolist()))
        object.__setattr__(self, "values", tuple(values.tolist()))

    def __reduce__(self) -> tuple[Any, ...]:
        return NumericalAtomicDensity, (self.r, self.values)

    @cached_property
    def spline(self) -> RadialSpline:
        """The density between the radii."""
        return RadialSpline.through(*_used(self.r, self.values))

    @property
    def number_of_electrons(self) -> float:
        """The integral over space."""
        return self.moment(0)

    def moment(self, power: int) -> float:
        """The integral of the density times r^power over space, e bohr^power."""
        return float(4 * np.pi * self.spline.integral(power + 2)[0])

    def value(self, r: np.ndarray) -> np.ndarray:
        """Density at radii in bohr, in electrons per bohr^3."""
        r = np.asarray(r, dtype=float)
        return np.asarray(self.spline.at(r.ravel())[:, 0].reshape(r.shape))

    def to_dict(self) -> dict[str, Any]:
        """Plain data (JSON); floats survive unchanged."""
        return {"r": list(self.r), "values": list(self.values)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NumericalAtomicDensity:
        """The inverse of :meth:`to_dict`."""
        return cls(tuple(data["r"]), tuple(data["values"]))


#: All kinds of radial function, and both kinds of atomic density.
RadialFunction = Shell | NumericalShell | UnknownShell
FreeAtom = AtomicDensity | NumericalAtomicDensity


def radial_function(data: dict[str, Any]) -> RadialFunction:
    """A radial function of any kind from its dictionary."""
    if "overlaps" in data:
        return UnknownShell.from_dict(data)
    return NumericalShell.from_dict(data) if "values" in data else Shell.from_dict(data)


def free_atom(data: dict[str, Any]) -> FreeAtom:
    """An atomic density of either kind from its dictionary."""
    if "values" in data:
        return NumericalAtomicDensity.from_dict(data)
    return AtomicDensity.from_dict(data)


def gaussian_shells(shells: Iterable[RadialFunction], purpose: str) -> tuple[Shell, ...]:
    """The shells, if all of them are Gaussians.

    Raises
    ------
    ValueError
        Some are tables, which do not serve the purpose; it is named in the message.
    """
    own = tuple(shells)
    gaussian = tuple(shell for shell in own if isinstance(shell, Shell))
    if len(gaussian) < len(own):
        raise no_tables("numerical radial functions", purpose)
    return gaussian


def gaussian_density(density: FreeAtom, purpose: str) -> AtomicDensity:
    """The atomic density, if it is a sum of Gaussians; otherwise a ValueError."""
    if not isinstance(density, AtomicDensity):
        raise no_tables("tabulated atomic densities", purpose)
    return density


def no_tables(what: str, purpose: str) -> ValueError:
    """The error for tables that do not serve a purpose."""
    return ValueError(
        f"the basis has {what}: {purpose} needs Gaussians; use a basis of Gaussian shells, or "
        "fit the density again in one"
    )


def _checked_table(r: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mesh and values as arrays, after checks of what all tables have in common."""
    r, values = np.asarray(r, dtype=float), np.asarray(values, dtype=float)
    if r.ndim != 1 or r.shape != values.shape:
        raise ValueError(
            f"r has shape {r.shape} and values {values.shape}: give one value for each radius"
        )
    if len(r) < _FEWEST:
        raise ValueError(f"the mesh has {len(r)} radii: give at least {_FEWEST}")
    if not (np.isfinite(r).all() and np.isfinite(values).all()):
        raise ValueError("the table contains NaN or infinity: give finite numbers")
    if r[0] < 0 or not (np.diff(r) > 0).all():
        raise ValueError(
            f"r runs from {r[0]:g} to {r[-1]:g} bohr but is not ascending from zero or above: "
            "sort the mesh, and leave out radii that occur twice"
        )
    return r, values


def _used(r: tuple[float, ...], values: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The table up to the first of the zeros at its end."""
    used = np.flatnonzero(values)
    stop = max(_FEWEST, int(used[-1]) + 2) if len(used) else _FEWEST
    return np.array(r[:stop]), np.array(values[:stop])


def _power(r: np.ndarray, exponent: int) -> np.ndarray:
    """r to a power; zero where the power is negative, whose factor vanishes."""
    return r**exponent if exponent >= 0 else np.zeros_like(r)
