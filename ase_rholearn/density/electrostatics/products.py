r"""Overlap and Coulomb interaction of densities, in closed form. Atomic units.

For two solid-harmonic Gaussians both are the integrals over k of
:mod:`ase_rholearn.basis.coulomb`: the overlap has two more powers of k than the interaction,
p + 1 for p, and no factor of 4 pi. To smooth a density by a Gaussian adds to s.

In crystals all images within reach are summed. The interaction, which has no reach, is
divided as by Ewald: what is left after smoothing by :math:`\sigma` is summed over images, the
smooth part over frequencies,

.. math:: \frac{4\pi}{V} \sum_{G \ne 0} \frac{e^{-\sigma G^2}}{G^2} \rho_1(G)^* \rho_2(G).

At G = 0 one of the two must have no charge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import torch

from ...basis import solid_harmonics
from ...basis.coulomb import gaunt, radial_integral, transform_scale
from ..evaluation.points import Images
from .potential import AtomCharge
from .transform import fourier_transform

Operator = Literal["overlap", "coulomb"]

#: Exponent x of exp(-x) below which a product is taken for zero.
_NEGLIGIBLE = 38.0

#: Pairs whose distances differ by more than this ratio are not evaluated together, unless
#: they are few.
_CLASS_RATIO, _FEW = 1.3, 2**16

#: Numbers that one temporary array may hold (16 MB).
_TEMPORARY = 2**21

#: Smoothing of the Coulomb interaction of crystals, in units of the largest s.
_SMOOTHING = 0.25


@dataclass(frozen=True)
class Shells:
    """Functions of one l on several atoms: sum_km q_km S_lm exp(-a_k r^2).

    Attributes
    ----------
    l
        Angular momentum.
    exponents
        a_k, descending: shape (n,).
    weights
        q_km of every atom: shape (natoms, n, 2 l + 1).
    """

    l: int
    exponents: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class AtomGroup:
    """Atoms with the same exponents.

    Attributes
    ----------
    centres
        Positions in bohr: shape (natoms, 3).
    shells
        By l, ascending.
    """

    centres: torch.Tensor
    shells: tuple[Shells, ...]

    @property
    def smallest_exponent(self) -> float:
        """Of the most diffuse function."""
        return min(float(part.exponents[-1]) for part in self.shells)


@dataclass(frozen=True)
class Kernel:
    """What stands between two densities.

    Attributes
    ----------
    operator
        ``"overlap"`` or ``"coulomb"``.
    smoothing
        Added to s of every pair of Gaussians, bohr^2.
    without
        Of the interaction, what is left after this smoothing is subtracted; 0 for none.
    """

    operator: Operator
    smoothing: float = 0.0
    without: float = 0.0

    @property
    def has_reach(self) -> bool:
        """Whether pairs that are far away add nothing."""
        return self.operator == "overlap" or self.without > 0

    def reach(self, a: torch.Tensor | float, b: float) -> torch.Tensor:
        """Distance (bohr) from which Gaussians with these exponents add nothing."""
        s = 0.25 / torch.as_tensor(a, dtype=torch.float64) + 0.25 / b
        return torch.sqrt(4 * _NEGLIGIBLE * (s + self.smoothing + self.without))


def grouped(atoms: Sequence[AtomCharge]) -> list[AtomGroup]:
    """Atoms put together by their exponents; points are left out."""
    alike: dict[tuple[tuple[int, bytes], ...], list[AtomCharge]] = {}
    for atom in atoms:
        key = tuple((m.l, m.exponents.tobytes()) for m in atom.multiplets)
        alike.setdefault(key, []).append(atom)
    return [
        AtomGroup(
            torch.from_numpy(np.array([atom.centre for atom in members])),
            tuple(
                Shells(
                    multiplet.l,
                    torch.from_numpy(multiplet.exponents),
                    torch.from_numpy(np.stack([atom.multiplets[k].weights for atom in members])),
                )
                for k, multiplet in enumerate(members[0].multiplets)
            ),
        )
        for members in alike.values()
    ]


def inner_product(
    first: Sequence[AtomCharge],
    second: Sequence[AtomCharge],
    operator: Operator,
    cell: np.ndarray,
    pbc: np.ndarray,
) -> float:
    """Overlap (e^2/bohr^3) or interaction (Hartree), of a cell with everything if periodic.

    Parameters
    ----------
    first, second
        Densities, without their points. Where both are charged, a constant background makes
        each cell of a crystal neutral.
    operator
        ``"overlap"`` or ``"coulomb"``.
    cell, pbc
        Periods in bohr.
    """
    left = grouped(first)
    right = left if second is first else grouped(second)
    if not pbc.any():
        return float(molecular_product(left, right, Kernel(operator)))
    if operator == "overlap":
        return _lattice_sum(left, right, Kernel(operator), cell, pbc)
    smallest = min(group.smallest_exponent for group in (*left, *right))
    smoothing = _SMOOTHING * 0.5 / smallest
    short = _lattice_sum(left, right, Kernel(operator, without=smoothing), cell, pbc)
    smooth = _frequency_sum(first, second, smoothing, cell)
    # the short range lacks 1/r's infinite average, but has one of its own
    left_charge, right_charge = (sum(atom.total for atom in part) for part in (first, second))
    average = 4 * np.pi * smoothing / abs(np.linalg.det(cell)) * left_charge * right_charge
    return short + smooth - average


def molecular_product(
    left: Sequence[AtomGroup], right: Sequence[AtomGroup], kernel: Kernel
) -> torch.Tensor:
    """Sum over all pairs of atoms, a scalar of which derivatives can be taken."""
    total = torch.zeros((), dtype=torch.float64)
    for k, a in enumerate(left):
        for h, b in enumerate(right):
            if left is right and h > k:
                continue  # the same as (h, k)
            pairs = torch.cartesian_prod(torch.arange(len(a.centres)), torch.arange(len(b.centres)))
            rows, columns = pairs.reshape(-1, 2).T
            value = _pairs(a, b, rows, columns, a.centres[rows] - b.centres[columns], kernel)
            total = total + (2 * value if left is right and h < k else value)
    return total


def _lattice_sum(
    left: Sequence[AtomGroup],
    right: Sequence[AtomGroup],
    kernel: Kernel,
    cell: np.ndarray,
    pbc: np.ndarray,
) -> float:
    """Sum over all pairs of atoms and images within reach."""
    total = 0.0
    for a in left:
        for b in right:
            reach = float(kernel.reach(a.smallest_exponent, b.smallest_exponent))
            reaches = [reach] * len(b.centres)
            for row, centre in enumerate(a.centres.numpy()):
                images = Images.near(b.centres.numpy(), reaches, centre[None], cell, pbc)
                columns = torch.from_numpy(images.atom)
                rows = torch.full_like(columns, row)
                vectors = torch.from_numpy(centre - images.centre)
                total += float(_pairs(a, b, rows, columns, vectors, kernel))
    return total


def _frequency_sum(
    first: Sequence[AtomCharge], second: Sequence[AtomCharge], smoothing: float, cell: np.ndarray
) -> float:
    """The smooth part of the interaction of crystals."""
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    longest = np.sqrt(_NEGLIGIBLE / smoothing)
    last = np.floor(longest * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
    # half of the frequencies; the others are the complex conjugates
    integers = [np.arange(0 if axis == 2 else -last[axis], last[axis] + 1) for axis in range(3)]
    box = np.stack(np.meshgrid(*integers, indexing="ij"), axis=-1).reshape(-1, 3)
    total, volume = 0.0, abs(np.linalg.det(cell))
    for start in range(0, len(box), _TEMPORARY // 100):
        part = box[start : start + _TEMPORARY // 100]
        vectors = part @ reciprocal
        g2 = np.einsum("ij,ij->i", vectors, vectors)
        used = np.flatnonzero((g2 < longest**2) & (g2 > 0))
        vectors, g2, counts = vectors[used], g2[used], np.where(part[used, 2] > 0, 2.0, 1.0)
        one = fourier_transform(first, vectors, g2)
        other = one if second is first else fourier_transform(second, vectors, g2)
        strengths = counts * np.exp(-smoothing * g2) / g2
        total += 4 * np.pi / volume * float(strengths @ (one.conj() * other).real)
    return total


def _pairs(
    left: AtomGroup,
    right: AtomGroup,
    rows: torch.Tensor,
    columns: torch.Tensor,
    vectors: torch.Tensor,
    kernel: Kernel,
) -> torch.Tensor:
    """Sum over pairs of atoms, in portions of similar distances."""
    total = torch.zeros((), dtype=torch.float64)
    distances = torch.linalg.norm(vectors.detach(), dim=1)
    for chosen, nearest in _portions(distances, left, right):
        near = _within(left, right, nearest, kernel), _within(right, left, nearest, kernel)
        if near[0].shells and near[1].shells:
            total = total + _portion(*near, rows[chosen], columns[chosen], vectors[chosen], kernel)
    return total


def _portions(
    distances: torch.Tensor, left: AtomGroup, right: AtomGroup
) -> Iterator[tuple[torch.Tensor, float]]:
    """Indices of pairs that fit into memory together, and their smallest distance."""
    one, other = (sum(len(part.exponents) for part in g.shells) for g in (left, right))
    most, few = max(1, _TEMPORARY // (one * other)), max(1, _FEW // (one * other))
    ascending, order = torch.sort(distances)
    start = 0
    while start < len(order):
        nearest = float(ascending[start])
        end = int(torch.searchsorted(ascending, max(1.0, _CLASS_RATIO * nearest)))
        stop = min(max(start + few, end), start + most)
        yield order[start:stop], nearest
        start = stop


def _within(group: AtomGroup, other: AtomGroup, distance: float, kernel: Kernel) -> AtomGroup:
    """The functions of a group that reach the other one."""
    if not kernel.has_reach:
        return group
    shells = []
    for part in group.shells:
        first = int(torch.sum(kernel.reach(part.exponents, other.smallest_exponent) < distance))
        if first < len(part.exponents):
            shells.append(Shells(part.l, part.exponents[first:], part.weights[:, first:]))
    return replace(group, shells=tuple(shells))


def _portion(
    left: AtomGroup,
    right: AtomGroup,
    rows: torch.Tensor,
    columns: torch.Tensor,
    vectors: torch.Tensor,
    kernel: Kernel,
) -> torch.Tensor:
    """Sum over pairs of atoms, all at once."""
    harmonics = solid_harmonics(vectors, left.shells[-1].l + right.shells[-1].l)
    r2 = (vectors * vectors).sum(dim=1)[:, None, None]
    radial = _Radial.of(left, right, r2, kernel)
    strengths = [
        [part.weights[index].transpose(1, 2) for part in group.shells]
        for group, index in ((left, rows), (right, columns))
    ]
    total = torch.zeros((), dtype=torch.float64)
    for i, one in enumerate(left.shells):
        for j, other in enumerate(right.shells):
            la, lb = one.l, other.l
            for l in range(abs(la - lb), la + lb + 1, 2):
                block = radial.block(i, j, l, (la + lb - l) // 2)
                mixed = strengths[0][i] @ block @ strengths[1][j].transpose(1, 2)  # [n, m, m']
                own = harmonics[:, l * l : (l + 1) ** 2]
                angular = torch.tensordot(own, gaunt(la, lb, l), dims=([1], [2]))
                total = total + (-1) ** ((la - lb + l) // 2) * (mixed * angular).sum()
    return total


@dataclass(frozen=True)
class _Radial:
    """Integrals over k of pairs of atoms and exponents.

    Attributes
    ----------
    kernel
        See :class:`Kernel`.
    slices
        Where the exponents of each l stand among all: of the first and of the second atom.
    scale
        Factors of the Fourier transforms: shape (na, nb).
    s
        Of the smoothed Gaussians and, if something is subtracted, of what that is: (na, nb).
    x, decay
        R^2 / 4s and exp(-x): shapes (npairs, na, nb).
    """

    kernel: Kernel
    slices: tuple[list[slice], list[slice]]
    scale: torch.Tensor
    s: list[torch.Tensor]
    x: list[torch.Tensor]
    decay: list[torch.Tensor]

    @classmethod
    def of(cls, left: AtomGroup, right: AtomGroup, r2: torch.Tensor, kernel: Kernel) -> _Radial:
        a, b = (torch.cat([part.exponents for part in g.shells]) for g in (left, right))
        scales = [
            torch.cat([transform_scale(part.l, part.exponents) for part in group.shells])
            for group in (left, right)
        ]
        s = [0.25 / a[:, None] + 0.25 / b + kernel.smoothing]
        if kernel.without:
            s.append(s[0] + kernel.without)
        x = [r2 * (0.25 / one) for one in s]
        return cls(
            kernel,
            (_slices(left), _slices(right)),
            2 / np.pi * scales[0][:, None] * scales[1],
            s,
            x,
            [torch.exp(-one) for one in x],
        )

    def block(self, i: int, j: int, l: int, p: int) -> torch.Tensor:
        """Of shells i and j, for one l of the product: shape (npairs, na, nb)."""
        part = self.slices[0][i], self.slices[1][j]
        if self.kernel.operator == "overlap":
            return self._part(0, part, l, p + 1) * (self.scale[part] / (4 * np.pi))
        value = self._part(0, part, l, p)
        if self.kernel.without:
            value = value - self._part(1, part, l, p)
        return value * self.scale[part]

    def _part(self, k: int, part: tuple[slice, slice], l: int, p: int) -> torch.Tensor:
        every = (slice(None), *part)
        return radial_integral(l, p, self.s[k][part], self.x[k][every], self.decay[k][every])


def _slices(group: AtomGroup) -> list[slice]:
    ends = np.cumsum([0] + [len(part.exponents) for part in group.shells])
    return [slice(int(a), int(b)) for a, b in pairwise(ends)]
