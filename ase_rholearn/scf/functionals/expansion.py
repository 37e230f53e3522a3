"""The density at points as a differentiable function of its coefficients. Atomic units.

At points the density and its gradient are linear in the coefficients. Values come from the
evaluation of :mod:`ase_rholearn.density`; what goes back through them, a sum over points for
every function, from values of the functions in blocks, so that memory does not grow with the
product of points and functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from ase import Atoms, units

from ...basis import Basis, from_pyscf_order, pyscf_permutation
from ...density.evaluation.points import evaluate_at_points
from ...density.evaluation.quadrature import molecular_quadrature
from ...density.evaluation.terms import density_terms
from ...extras import needs
from ...references.pyscf.integrals import auxiliary_molecule

#: What is neglected in each term, e/bohr^3.
_TOLERANCE = 1e-14

#: Doubles that the functions of one block of points may take (32 MB).
_BLOCK_SIZE = 2**22


@dataclass(frozen=True)
class Quadrature:
    """Points and weights of an integral over space.

    Attributes
    ----------
    points
        (n, 3) bohr.
    weights
        (n,) bohr^3.
    """

    points: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape != (len(self.weights), 3):
            raise ValueError(
                f"points has shape {self.points.shape} and weights {self.weights.shape}: give "
                "(n, 3) and (n,)"
            )

    @classmethod
    def of(cls, atoms: Atoms, level: int = 3) -> Quadrature:
        """That of a molecule.

        ``level`` is 0 (coarse) to 5 (fine), see
        :func:`~ase_rholearn.density.evaluation.quadrature.molecular_quadrature`.
        """
        _check_molecule(atoms)
        parts = molecular_quadrature(atoms.numbers, atoms.positions / units.Bohr, level)
        points, weights = zip(*parts, strict=True)
        return cls(np.concatenate(points), np.concatenate(weights))


@dataclass(frozen=True)
class Expansion:
    """Density and gradient of a molecule at points, from coefficients.

    Attributes
    ----------
    atoms
        The molecule.
    basis
        Its functions and atomic densities.
    points
        (n, 3) bohr.
    gradient
        Whether the gradient is wanted too.
    """

    atoms: Atoms
    basis: Basis
    points: np.ndarray
    gradient: bool = True

    def __post_init__(self) -> None:
        _check_molecule(self.atoms)
        self.basis.check_species(self.atoms.numbers)

    def __call__(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Rows rho, d rho/dx, d rho/dy, d rho/dz, or rho alone: (4, n) or (1, n).

        ``coefficients`` is the flat vector of the basis, float64. First and second derivatives
        by autograd need PySCF.
        """
        expected = (self.basis.size(self.atoms.numbers),)
        if tuple(coefficients.shape) != expected or coefficients.dtype != torch.float64:
            raise ValueError(
                f"coefficients is {coefficients.dtype} of shape {tuple(coefficients.shape)}: "
                f"give float64 of shape {expected}"
            )
        return self._free_atoms + _Values.apply(coefficients, self)

    def values(self, coefficients: np.ndarray, *, baseline: bool = False) -> np.ndarray:
        """What the functions, or also the atomic densities, are at the points: (4 or 1, n)."""
        terms = density_terms(
            self.basis,
            self.atoms.numbers,
            self.atoms.positions / units.Bohr,
            coefficients,
            tolerance=_TOLERANCE,
            baseline=baseline,
        )
        open_space = np.zeros((3, 3)), np.zeros(3, dtype=bool)
        rho = evaluate_at_points(terms, self.points, *open_space)[None]
        if not self.gradient:
            return rho
        slopes = evaluate_at_points(terms, self.points, *open_space, derivative="gradient")
        return np.concatenate([rho, slopes.T])

    def projections(self, fields: np.ndarray) -> np.ndarray:
        """Sum over points and rows of fields (4 or 1, n) times the functions': (size,)."""
        total = np.zeros(self.basis.size(self.atoms.numbers))
        for chosen, functions in self.function_blocks(1 if self.gradient else 0):
            total += np.einsum("xpm,xp->m", functions, fields[:, chosen], optimize=True)
        return from_pyscf_order(self.basis, self.atoms.numbers, total)

    def function_blocks(self, derivatives: int) -> Iterator[tuple[slice, np.ndarray]]:
        """Functions in PySCF's order at blocks of points.

        Yields
        ------
        slice
            Which points.
        numpy.ndarray
            (k, n, size): values, then the 3 first and the 6 second derivatives xx, xy, xz, yy,
            yz, zz, as far as wanted.
        """
        with needs("pyscf", "pyscf"):
            from pyscf.dft.numint import eval_ao
        rows = (1, 4, 10)[derivatives]
        step = max(1, _BLOCK_SIZE // (rows * self._auxiliary.nao))
        for start in range(0, len(self.points), step):
            chosen = slice(start, start + step)
            values = eval_ao(self._auxiliary, self.points[chosen], deriv=derivatives)
            yield chosen, values.reshape(rows, -1, self._auxiliary.nao)

    def to_pyscf(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients in the order of :meth:`function_blocks`."""
        result = np.empty_like(coefficients)
        result[pyscf_permutation(self.basis, self.atoms.numbers)] = coefficients
        return result

    @cached_property
    def _free_atoms(self) -> torch.Tensor:
        if not self.basis.atomic_densities:
            return torch.zeros((4 if self.gradient else 1, len(self.points)), dtype=torch.float64)
        nothing = np.zeros(self.basis.size(self.atoms.numbers))
        return torch.from_numpy(self.values(nothing, baseline=True))

    @cached_property
    def _auxiliary(self) -> Any:
        return auxiliary_molecule(self.atoms, self.basis)


class _Values(torch.autograd.Function):
    """Coefficients to rows at points."""

    @staticmethod
    def forward(ctx: Any, coefficients: torch.Tensor, expansion: Expansion) -> torch.Tensor:
        ctx.expansion = expansion
        return torch.from_numpy(expansion.values(coefficients.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, fields: torch.Tensor) -> Any:
        return _Projections.apply(fields, ctx.expansion), None


class _Projections(torch.autograd.Function):
    """The transposed map: rows at points to one number a function."""

    @staticmethod
    def forward(ctx: Any, fields: torch.Tensor, expansion: Expansion) -> torch.Tensor:
        ctx.expansion = expansion
        return torch.from_numpy(expansion.projections(fields.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, coefficients: torch.Tensor) -> Any:
        return _Values.apply(coefficients, ctx.expansion), None


def _check_molecule(atoms: Atoms) -> None:
    if atoms.pbc.any():
        raise ValueError(
            f"atoms.pbc is {atoms.pbc.tolist()}: functionals are integrated over molecules; set "
            "pbc=False if this is one"
        )
