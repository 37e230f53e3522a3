r"""Electrostatic potential and field of crystals, slabs and large molecules. Atomic units.

Everything tighter than a Gaussian of exponent eta, the nuclei included, is paired with a
Gaussian of that exponent and the opposite multipole: the potential of the pairs ends, and is
summed in real space. What the pairs leave behind is smooth, and is summed over the frequencies G
of a grid with

.. math:: V(G) = \frac{4 \pi}{G^2} \rho(G).

The average of the whole potential over the cell of a crystal is zero. That of a slab goes to
opposite constants on its two sides, which are zero if it has no dipole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gamma

from ..evaluation.grid_task import GridTask
from ..evaluation.points import wrap
from ..evaluation.terms import AtomTerms, gathered_terms
from ..grid import grid_points
from .fourier import NEGLIGIBLE, smooth_potential
from .potential import AtomCharge, Multiplet, short_range_potential
from .screened import screened_on_grid

#: Largest and smallest exponent of the split, bohr^-2.
_SPLIT_RANGE = (0.05, 6.0)

#: Cost of one Gaussian at one point in units of one frequency at one point.
_GAUSSIAN_COST = 60.0

#: Exponent of the split on grids, where both sums are matrix products.
GRID_SPLIT = 0.5

#: What may be neglected in a term of the density, e/bohr^3, or of the potential, Hartree/e.
_TOLERANCE = 1e-12


class SplitPotential:
    """Potential of a neutral crystal or slab, or of a molecule, set up once for many points.

    Parameters
    ----------
    charges
        See :func:`~ase_rholearn.density.electrostatics.potential.atom_charges`; neutral together
        if they are periodic.
    cell, pbc
        Rows are the periods, bohr; all, two or none of the directions are periodic.
    targets
        Points (n, 3) in bohr whose bounding box holds all that will be asked for; only open
        directions matter.
    split
        Exponent eta, bohr^-2. Results do not depend on it.
    tolerance
        What may be neglected in one term.
    """

    def __init__(
        self,
        charges: Sequence[AtomCharge],
        cell: np.ndarray,
        pbc: np.ndarray,
        targets: np.ndarray,
        *,
        split: float | None = None,
        tolerance: float = _TOLERANCE,
    ) -> None:
        eta = split or split_exponent(charges, cell)
        self._eta, self._charges, self._tolerance = eta, charges, tolerance
        divided = [_divide(charge, eta) for charge in charges]
        self._tight = [tight for tight, _ in divided]
        terms = [_terms(smooth, tolerance) for _, smooth in divided]
        highest = 2 * np.sqrt(NEGLIGIBLE * eta)
        self._smooth = smooth_potential(
            terms, cell, pbc, targets, highest=highest, tolerance=tolerance
        )
        self._cell, self._pbc = cell, pbc
        self._average = 0.0
        if pbc.all():
            volume = abs(np.linalg.det(cell))
            self._average = sum(_integral(tight) for tight in self._tight) / volume

    def at(self, points: np.ndarray, *, field: bool = False) -> np.ndarray:
        """Potential, or electric field, at points (n, 3) in bohr.

        Shape (n,) in Hartree/e, infinite at a nucleus; or (n, 3) in Hartree/(e bohr).
        """
        smooth = self._smooth.at(points, field=field)
        inside = wrap(points, self._cell, self._pbc)
        tight = short_range_potential(self._tight, inside, self._cell, self._pbc, field=field)
        return smooth + tight - (0.0 if field else self._average)

    def on_grid(
        self, origin: np.ndarray, cell: np.ndarray, shape: tuple[int, int, int]
    ) -> np.ndarray:
        """Potential on a grid, voxel convention: shape ``shape``, Hartree/e.

        Its axes are along those of the structure, one period long where that has one.
        """
        if any(charge.table is not None for charge in self._charges):
            points = grid_points(origin, cell, shape).reshape(-1, 3)
            return self.at(points).reshape(shape)
        first = (origin - self._smooth.origin) @ np.linalg.inv(self._smooth.cell)
        lengths = np.diag(cell @ np.linalg.inv(self._smooth.cell))
        axes = [
            start + length * np.arange(n) / n
            for start, length, n in zip(first, lengths, shape, strict=True)
        ]
        task = GridTask([], origin, cell, shape, self._cell, self._pbc, tolerance=self._tolerance)
        values = screened_on_grid(self._charges, self._eta, task)
        values += self._smooth.on_axes(axes) - self._average
        return values


def split_exponent(charges: Sequence[AtomCharge], cell: np.ndarray) -> float:
    """Exponent for which both sums cost about the same at single points."""
    volume = abs(np.linalg.det(cell))
    # Gaussians within reach of a point fall with eta^1.5, frequencies grow with it
    n_gaussians = sum(len(m.exponents) for c in charges for m in c.multiplets)
    # a table costs about as much as one Gaussian for each of its l
    n_gaussians += sum(c.table.l_max + 1 for c in charges if c.table is not None)
    spheres = 4 * np.pi / 3 * NEGLIGIBLE**1.5 * n_gaussians / volume * _GAUSSIAN_COST
    boxes = 0.5 * volume * (2 * np.sqrt(NEGLIGIBLE) / np.pi) ** 3
    return float(np.clip((spheres / boxes) ** (1 / 3), *_SPLIT_RANGE))


def _terms(charge: AtomCharge, tolerance: float) -> AtomTerms:
    """A smooth charge, for grids."""
    l_max = max(m.l for m in charge.multiplets)
    exponents = np.concatenate([m.exponents for m in charge.multiplets])
    weights, row = np.zeros((len(exponents), (l_max + 1) ** 2)), 0
    for m in charge.multiplets:
        weights[row : row + len(m.exponents), m.l**2 : (m.l + 1) ** 2] = m.weights
        row += len(m.exponents)
    return gathered_terms(charge.centre, exponents, weights, tolerance=tolerance)


def _divide(charge: AtomCharge, eta: float) -> tuple[AtomCharge, AtomCharge]:
    """What is tighter than eta or tabulated, without multipoles, and the smooth rest."""
    tight, smooth = [], []
    multiplets = {m.l: m for m in charge.multiplets}
    for l in range(charge.table.l_max + 1 if charge.table else 1):
        multiplets.setdefault(l, Multiplet(l, np.zeros(0), np.zeros((0, 2 * l + 1))))
    for l in sorted(multiplets):
        a, q = multiplets[l].exponents, multiplets[l].weights
        inner = a > eta
        # the Gaussian with the same multipole
        moved = (q[inner] * ((eta / a[inner]) ** (l + 1.5))[:, None]).sum(axis=0, keepdims=True)
        if l == 0:
            moved = moved + charge.point * (eta / np.pi) ** 1.5 * np.sqrt(4 * np.pi)
        if charge.table is not None and l <= charge.table.l_max:
            multipoles = charge.table.moments[l * l : (l + 1) ** 2]
            moved = moved + multipoles * eta ** (l + 1.5) / (np.pi * gamma(l + 0.5))
        ends = np.append(a[inner], eta)
        tight.append(Multiplet(l, ends, np.concatenate([q[inner], -moved])))
        starts = np.append(eta, a[~inner])
        smooth.append(Multiplet(l, starts, np.concatenate([moved, q[~inner]])))
    return (
        AtomCharge(charge.centre, charge.point, tuple(tight), charge.table),
        AtomCharge(charge.centre, 0.0, tuple(smooth)),
    )


def _integral(charge: AtomCharge) -> float:
    """Integral of the potential of an atom without multipoles over all space."""
    # by Poisson's equation, -2 pi / 3 times the second moment of the charge
    s = charge.multiplets[0]
    per_weight = np.sqrt(4 * np.pi) * gamma(2.5) / (2 * s.exponents**2.5)
    second = per_weight @ s.weights[:, 0]
    if charge.table is not None:
        second += np.sqrt(4 * np.pi) * charge.table.radial_moments(2)[0]
    return float(-2 * np.pi / 3 * second)
