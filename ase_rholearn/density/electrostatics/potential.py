r"""Electrostatic potential and field of a molecule at points, in closed form. Atomic units.

The potential of a solid-harmonic Gaussian is

.. math:: \int \frac{S_{lm}(r') e^{-a r'^2}}{|r - r'|} d^3r' =
          \frac{2 \pi}{a} F_l(a r^2) S_{lm}(r), \qquad S_{lm} = r^l Y_{lm},

with the Boys function F. Beyond the reach of a Gaussian this is, to rounding, the potential
of a point multipole: there all Gaussians of one atom and one l become a single term. For
tabulated functions see :mod:`~ase_rholearn.density.electrostatics.tabulated`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import gamma

from ...basis import AtomicDensity, Basis, Shell, solid_harmonics
from ...basis.boys import boys, boys_far
from ...basis.harmonics import harmonic_derivatives
from ...basis.numerical import no_tables
from ...basis.radial_tables import RadialTable, radial_tables
from ...basis.tabulated import TabulatedFunctions
from ..evaluation.points import Images, compact_blocks
from .tabulated import ChargeTable

if TYPE_CHECKING:
    from ..field import DensityField

#: Total charge of a cell (e) that counts as none.
NEUTRAL = 1e-6

#: Largest ratio of the reaches of Gaussians that are evaluated together.
_CLASS_RATIO = 1.3


#: Distance from a nucleus (bohr) that counts as none.
AT_NUCLEUS = 1e-9


@dataclass(frozen=True)
class Multiplet:
    """Charge distribution sum_km q_km S_lm exp(-a_k r^2) of one atom and one l.

    Attributes
    ----------
    l
        Angular momentum.
    exponents
        a_k in bohr^-2, descending: shape (n,).
    weights
        q_km, positive charge: shape (n, 2 l + 1).
    """

    l: int
    exponents: np.ndarray
    weights: np.ndarray

    @property
    def reaches(self) -> np.ndarray:
        """Beyond them (bohr, ascending) each Gaussian acts like a point: shape (n,)."""
        return np.sqrt(boys_far(self.l) / self.exponents)

    @property
    def moments(self) -> np.ndarray:
        """M_km in the far potential M S_lm / r^(2l + 1): shape (n, 2 l + 1)."""
        half = self.l + 0.5
        return self.weights * (np.pi * gamma(half) / self.exponents ** (half + 1))[:, None]

    @cached_property
    def classes(self) -> tuple[slice, ...]:
        """Runs of Gaussians of similar reach, from the shortest to the longest."""
        reaches, runs, start = self.reaches, [], 0
        while start < len(reaches):
            # widened, so that two of exactly this ratio do not depend on rounding
            stop = int(np.searchsorted(reaches, reaches[start] * _CLASS_RATIO * (1 + 1e-9)))
            runs.append(slice(start, stop))
            start = stop
        return tuple(runs)


@dataclass(frozen=True)
class AtomCharge:
    """What one atom adds to the charge density.

    Attributes
    ----------
    centre
        Position in bohr: shape (3,).
    point
        Charge of the nucleus or core.
    multiplets
        The electrons, negative; at most one for each l, ascending.
    table
        Those in tabulated functions, if there are any.
    """

    centre: np.ndarray
    point: float
    multiplets: tuple[Multiplet, ...]
    table: ChargeTable | None = None

    @property
    def electrons(self) -> AtomCharge:
        """The same without the nucleus."""
        return replace(self, point=0.0)

    def __neg__(self) -> AtomCharge:
        """The opposite charge."""
        multiplets = tuple(replace(m, weights=-m.weights) for m in self.multiplets)
        table = self.table and replace(self.table, weights=-self.table.weights)
        return AtomCharge(self.centre, -self.point, multiplets, table)

    @property
    def reach(self) -> float:
        """Beyond it (bohr) the atom acts like a point multipole."""
        tabulated = self.table.reach if self.table else 0.0
        return max(tabulated, *(float(m.reaches[-1]) for m in self.multiplets), 0.0)

    @property
    def total(self) -> float:
        """Charge of nucleus and electrons."""
        electrons = sum(m.moments[:, 0].sum() for m in self.multiplets if m.l == 0)
        tabulated = self.table.total if self.table else 0.0
        return float(self.point + electrons / np.sqrt(4 * np.pi) + tabulated)


def gaussian_charges(rho: DensityField, purpose: str) -> list[AtomCharge]:
    """Nuclei and electrons of every atom, if all functions are Gaussians.

    Raises
    ------
    ValueError
        Some are tables, which do not serve the purpose; it is named in the message.
    """
    charges = rho.atom_charges()
    if any(charge.table is not None for charge in charges):
        raise no_tables("tabulated functions", purpose)
    return charges


def check_neutral(charges: Sequence[AtomCharge], what: str) -> None:
    """Raise a ValueError if a cell is charged, and something therefore infinite."""
    total = total_charge(charges)
    if abs(total) > NEUTRAL:
        raise ValueError(
            f"the cell holds a charge of {total:g} e: {what} is infinite; give a neutral "
            "structure, and a density with normalize=True"
        )


def total_charge(charges: Sequence[AtomCharge]) -> float:
    """Charge of all atoms together, e."""
    return sum(charge.total for charge in charges)


def atom_charges(
    basis: Basis,
    numbers: np.ndarray,
    positions: np.ndarray,
    coefficients: np.ndarray,
    points: np.ndarray,
) -> list[AtomCharge]:
    """Nuclei and electrons of every atom, atomic densities included.

    Parameters
    ----------
    basis
        Auxiliary basis, with or without atomic densities.
    numbers, positions
        Atomic numbers, and positions in bohr.
    coefficients
        Flat vector in e/bohr^1.5.
    points
        Charges of the nuclei or cores: shape (natoms,).
    """
    species = {z: _SpeciesCharges.of(basis, z) for z in set(numbers.tolist())}
    offsets = basis.offsets(numbers)
    charges = []
    for atom, z in enumerate(numbers.tolist()):
        own = coefficients[offsets[atom] : offsets[atom + 1]]
        multiplets, table = species[z].multiplets(own), species[z].table(own)
        charges.append(AtomCharge(positions[atom], float(points[atom]), multiplets, table))
    return charges


@dataclass(frozen=True)
class _SpeciesCharges:
    """What turns the coefficients of an atom into charges.

    Attributes
    ----------
    tables
        Gaussians, with the free atom as the first function if it is a sum of them.
    gaussian
        Which of the coefficients belong to Gaussians.
    atomic
        Whether there is such a free atom.
    functions
        What is tabulated.
    """

    tables: tuple[RadialTable, ...]
    gaussian: np.ndarray
    atomic: bool
    functions: TabulatedFunctions | None

    @classmethod
    def of(cls, basis: Basis, z: int) -> _SpeciesCharges:
        shells, free = basis.shells[z], basis.atomic_densities.get(z)
        atomic = free if isinstance(free, AtomicDensity) else None
        kinds = [isinstance(shell, Shell) for shell in shells]
        tables = radial_tables(
            [shell for shell in shells if isinstance(shell, Shell)], atomic, purpose="atom_charges"
        )
        gaussian = np.repeat(kinds, [2 * shell.l + 1 for shell in shells])
        return cls(tables, gaussian, atomic is not None, basis.tabulated[z])

    def multiplets(self, coefficients: np.ndarray) -> tuple[Multiplet, ...]:
        """Electrons in Gaussians."""
        ahead = np.ones(1 if self.atomic else 0)
        vector = np.concatenate([ahead, coefficients[self.gaussian]])
        multiplets, start = [], 0
        for table in self.tables:
            own = vector[start : start + table.size].reshape(-1, 2 * table.l + 1)
            start += table.size
            multiplets.append(Multiplet(table.l, table.exponents, -(table.contraction @ own)))
        return tuple(multiplets)

    def table(self, coefficients: np.ndarray) -> ChargeTable | None:
        """Electrons in tabulated functions."""
        if self.functions is None:
            return None
        return ChargeTable(self.functions, -self.functions.weights(coefficients, baseline=True))


def smeared(charge: AtomCharge, exponent: float) -> AtomCharge:
    """The same with a Gaussian (exponent in bohr^-2) instead of a point for the nucleus."""
    own = next((m for m in charge.multiplets if m.l == 0), None)
    own = own or Multiplet(0, np.zeros(0), np.zeros((0, 1)))
    weight = charge.point * (exponent / np.pi) ** 1.5 * np.sqrt(4 * np.pi)
    at = int(np.searchsorted(-own.exponents, -exponent))
    together = Multiplet(
        0, np.insert(own.exponents, at, exponent), np.insert(own.weights, at, weight, axis=0)
    )
    others = tuple(m for m in charge.multiplets if m.l > 0)
    return AtomCharge(charge.centre, 0.0, (together, *others), charge.table)


def open_potential(
    charges: Sequence[AtomCharge], points: np.ndarray, *, field: bool = False
) -> np.ndarray:
    """Potential of a molecule, or its negative gradient, at points.

    Parameters
    ----------
    charges
        See :func:`atom_charges`.
    points
        Shape (n, 3), bohr.
    field
        Whether to return the electric field instead.

    Returns
    -------
    numpy.ndarray
        Shape (n,) in Hartree/e, infinite at a nucleus; or (n, 3) in Hartree/(e bohr), not
        finite there.
    """
    result = np.zeros((len(points), 3 if field else 1))
    if len(points):
        for chosen in compact_blocks(points):
            block = torch.from_numpy(np.ascontiguousarray(points[chosen]))
            values = torch.zeros((len(chosen), result.shape[1]), dtype=torch.float64)
            for charge in charges:
                values += _atom_potential(charge, block - torch.from_numpy(charge.centre), field)
            result[chosen] = values.numpy()
    return result if field else result[:, 0]


def short_range_potential(
    charges: Sequence[AtomCharge],
    points: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    *,
    field: bool = False,
) -> np.ndarray:
    """As :func:`open_potential`, with images, for atoms without multipoles.

    Their potentials end at their reach. Points are inside the cell.
    """
    result = np.zeros((len(points), 3 if field else 1))
    if len(points):
        centres = np.array([c.centre for c in charges]).reshape(-1, 3)
        images = Images.near(centres, [c.reach for c in charges], points, cell, pbc)
        for chosen in compact_blocks(points):
            block = torch.from_numpy(np.ascontiguousarray(points[chosen]))
            values = torch.zeros((len(chosen), result.shape[1]), dtype=torch.float64)
            for atom, centre in images.touching(points[chosen]):
                vectors = block - torch.from_numpy(centre)
                reach2 = charges[atom].reach ** 2
                near = torch.nonzero((vectors * vectors).sum(dim=1) < reach2).squeeze(1)
                if len(near):
                    own = _atom_potential(charges[atom], vectors[near], field)
                    values.index_add_(0, near, own)
            result[chosen] = values.numpy()
    return result if field else result[:, 0]


def _atom_potential(charge: AtomCharge, vectors: torch.Tensor, field: bool) -> torch.Tensor:
    """Potential (n, 1) or field (n, 3) of one atom at vectors from it."""
    r, order = torch.sort(torch.linalg.norm(vectors, dim=1))
    # periods may move a point off a nucleus by rounding
    r = torch.where(r < AT_NUCLEUS, 0.0, r)
    vectors = vectors[order]
    l_max = max((m.l for m in charge.multiplets), default=0)
    harmonics = solid_harmonics(vectors, l_max)
    slopes = torch.einsum("ikj,nj->ink", harmonic_derivatives(l_max), harmonics) if field else None
    total = torch.zeros((len(r), 3 if field else 1), dtype=torch.float64)
    if charge.point:
        inverse = charge.point / r
        total += vectors * (inverse / (r * r))[:, None] if field else inverse[:, None]
    if charge.table is not None:
        total += torch.from_numpy(charge.table.potential(vectors.numpy(), field=field))
    for multiplet in charge.multiplets:
        l = multiplet.l
        radial, slope = _radial(multiplet, r, field)
        own = slice(l * l, (l + 1) ** 2)
        if slopes is None:
            total += (radial * harmonics[:, own]).sum(dim=1, keepdim=True)
        else:
            along = (slope * harmonics[:, own]).sum(dim=1, keepdim=True)
            total += vectors * along - torch.einsum("nm,inm->ni", radial, slopes[:, :, own])
    result = torch.empty_like(total)
    result[order] = total
    return result


def _radial(
    multiplet: Multiplet, r: torch.Tensor, field: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """g_m(r) of the potential sum_m g_m S_lm, and -g_m'/r if asked for: shapes (n, 2 l + 1).

    Distances r ascend.
    """
    l = multiplet.l
    radial = torch.zeros((len(r), 2 * l + 1), dtype=torch.float64)
    slope = torch.zeros_like(radial) if field else radial
    reaches, moments = multiplet.reaches, multiplet.moments
    # points below the reach of a class, in the order of the classes
    ends = torch.searchsorted(
        r, torch.tensor([reaches[run.stop - 1] for run in multiplet.classes])
    ).tolist()
    far = np.zeros(2 * l + 1)
    for run, end, following in zip(multiplet.classes, ends, [*ends[1:], len(r)], strict=True):
        a = torch.from_numpy(multiplet.exponents[run].copy())
        q = torch.from_numpy(multiplet.weights[run].copy())
        if end:
            x = (r[:end] * r[:end])[:, None] * a
            radial[:end] += boys(l, x) @ (q * (2 * np.pi / a)[:, None])
            if field:
                slope[:end] += boys(l + 1, x) @ (q * (4 * np.pi))
        far = far + moments[run].sum(axis=0)
        # from here to the reach of the next class, these and the tighter ones are points
        if following > end:
            part = r[end:following, None]
            power = torch.from_numpy(far) * part ** (-2 * l - 1)
            radial[end:following] += power
            if field:
                slope[end:following] += (2 * l + 1) * power / (part * part)
    return radial, slope
