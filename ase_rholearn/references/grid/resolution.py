r"""Which Gaussians a grid can carry.

The sum over the points of a grid equals the integral up to the Fourier components of the
integrand at the reciprocal vectors K of the lattice of points. For :math:`\exp(-a r^2)` these
are :math:`\exp(-K^2 / 4a)` of the integral. With the effective spacing
:math:`h = 2 \pi / \min |K|` the points miss a share of some

.. math:: 6 \exp\left(-\frac{\pi^2}{a h^2}\right)

of the charge of a function: 3e-4 at a h^2 = 1, 2e-3 at 1.2 and 4 % at 2. A Gaussian is then
1.7 h wide at half height, and tighter ones are a matter of single points. Measured on densities
of PySCF (sodium chloride, water) against a grid two to three times finer, the error of a fit
falls up to a h^2 = 1.2, and what the fit's own grid says of it begins to be too small at 0.8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np
from ase import units
from ase.data import chemical_symbols
from ase.geometry import minkowski_reduce

from ...basis import Basis
from ...basis.numerical import gaussian_shells
from ...density import Grid

#: Largest product of an exponent and the square of the effective spacing.
LIMIT = 1.0

#: Largest product of an exponent and the square of the radius around a nucleus within which
#: points are left out. With 6 the density inside oscillates by ten times its size.
LIMIT_OUTSIDE = 3.0


def point_lattice(grid: Grid) -> np.ndarray:
    """Shortest reciprocal vectors of the lattice of points, with 2 pi: (3, 3), 1/Angstrom.

    Frequencies that differ by a sum of these are the same on the grid.
    """
    voxel = grid.cell / np.array(grid.shape)[:, None]
    reduced, _ = minkowski_reduce(2 * np.pi * np.linalg.inv(voxel).T)
    return np.asarray(reduced)


def neighbours(lattice: np.ndarray) -> np.ndarray:
    """The 26 combinations of reduced vectors with -1, 0 and 1, without zero: (26, 3)."""
    steps = [step for step in product((-1, 0, 1), repeat=3) if any(step)]
    return np.array(steps) @ lattice


def effective_spacing(grid: Grid) -> float:
    """``2 pi / min |K|`` over the reciprocal vectors K of the lattice of points, in Angstrom.

    The distance of neighbouring points for an orthogonal grid, where the widest counts. For
    others it takes the packing of the points into account.
    """
    shortest = np.linalg.norm(neighbours(point_lattice(grid)), axis=1).min()
    return float(2 * np.pi / shortest)


def largest_exponent(spacing: float) -> float:
    """The largest exponent (bohr^-2) that a grid with an effective spacing in Angstrom carries.

    >>> round(largest_exponent(0.1), 2)
    28.0
    """
    return LIMIT / (spacing / units.Bohr) ** 2


def largest_outside(radius: float) -> float:
    """The largest exponent (bohr^-2) that points outside a radius in Angstrom determine.

    >>> round(largest_outside(0.3), 2)
    9.33
    """
    return LIMIT_OUTSIDE / (radius / units.Bohr) ** 2 if radius > 0 else np.inf


def check_resolution(
    basis: Basis, species: Iterable[int], spacing: float, radii: Mapping[int, float] | None = None
) -> None:
    """Raise a ValueError if a grid is too coarse for the functions of some species.

    Parameters
    ----------
    basis
        The auxiliary basis. Its atomic densities may be tighter: they are subtracted, not
        fitted.
    species
        Atomic numbers that the structure has.
    spacing
        Effective spacing, Angstrom.
    radii
        Distance from the nuclei of a species within which points are left out, Angstrom.
    """
    radii = radii or {}
    tightest = {
        z: max(a for s in gaussian_shells(basis.shells[z], "fit_grid") for a in s.exponents)
        for z in sorted(set(species))
    }
    # a spacing that is a rounded number must not refuse the exponents made for it
    limit = largest_exponent(spacing) * (1 + 1e-6)
    if wrong := {z: a for z, a in tightest.items() if a > limit}:
        needed = np.sqrt(LIMIT / max(wrong.values())) * units.Bohr
        raise ValueError(
            f"the grid is too coarse for the basis: exponents of {_named(wrong)} bohr^-2, but "
            f"points {spacing:.4f} Angstrom apart carry at most {limit:.4g} bohr^-2. Give a grid "
            f"with a spacing below {needed:.4f} Angstrom, or a basis without these functions "
            "(grid_basis makes one)"
        )
    outside = {z: largest_outside(radii.get(z, 0.0)) * (1 + 1e-6) for z in tightest}
    if wrong := {z: a for z, a in tightest.items() if a > outside[z]}:
        first = next(iter(wrong))
        raise ValueError(
            f"exponents of {_named(wrong)} bohr^-2 are too tight for excluded_radius: points "
            f"more than {radii[first]:g} Angstrom from {chemical_symbols[first]} determine those "
            f"up to {outside[first]:.4g} bohr^-2. Give a smaller radius, or a basis without "
            "these functions (grid_basis makes one)"
        )


def _named(exponents: Mapping[int, float]) -> str:
    return ", ".join(f"{chemical_symbols[z]} up to {a:g}" for z, a in exponents.items())
