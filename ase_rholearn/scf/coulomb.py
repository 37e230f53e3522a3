r"""Coulomb interaction of a given density with that of orbitals, and its gradient. Atomic units.

Without a fit, the Coulomb part of the Harris energy is :math:`(\rho|D) - \frac12 (\rho|\rho)`, with
three-centre integrals between the orbitals' density D and all functions of the given density
:math:`\rho`. With the fit :math:`\tilde\rho` of :math:`\rho` in a smaller basis it is

.. math:: (\tilde\rho|D) - (\tilde\rho|\tilde\rho) + \tfrac12 (\rho|\rho)

whose error, :math:`(\rho - \tilde\rho|D - \rho)`, is the product of that of the fit and the change
of the density (compare B. I. Dunlap, Phys. Chem. Chem. Phys. 2, 2113 (2000)).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ..basis import from_pyscf_order, to_pyscf_order
from ..density import Density
from ..references.pyscf.integrals import auxiliary_molecule, baseline_molecule, shell_blocks
from ..references.pyscf.molecule import check_basis

#: A small fitting basis for elements up to radon.
COULOMB_BASIS = "def2-universal-jfit"

#: Functions as a PySCF molecule, and their coefficients.
Source = tuple[Any, np.ndarray]


@dataclass(frozen=True)
class Coulomb:
    """Coulomb potential of a density in an AO basis.

    Attributes
    ----------
    matrix
        (mn|rho~): (nao, nao), Hartree.
    constant
        1/2 (rho|rho) - (rho~|rho~), Hartree.
    fit
        Functions and coefficients of rho~.
    metric
        Cholesky factor of the Coulomb metric of these functions, as of scipy; None without a fit.
    """

    matrix: np.ndarray
    constant: float
    fit: list[Source] = field(repr=False)
    metric: Any = field(repr=False)
    _density: Density = field(repr=False)

    @classmethod
    def of(cls, molecule: Any, density: Density, fit_basis: str | None) -> Coulomb:
        """Of raw coefficients, by their own functions or by a fit in PySCF's basis of that name."""
        sources = _sources(density)
        metric = None
        own = interaction(sources, sources)
        fit, fitted = sources, own
        if fit_basis is not None:
            auxiliary = _fit_molecule(molecule, fit_basis)
            projections = _potentials(auxiliary, sources)
            metric = cho_factor(auxiliary.intor("int2c2e"))
            coefficients = cho_solve(metric, projections)
            fit, fitted = [(auxiliary, coefficients)], float(coefficients @ projections)
        matrix = sum(_contract(molecule, *source) for source in fit)
        return cls(np.asarray(matrix), 0.5 * own - fitted, fit, metric, density)

    def gradient(self, molecule: Any, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of (rho~|D) + constant for a density matrix D: (natoms, 3) and (size,).

        The first with fixed matrix and coefficients of rho, the second by these coefficients.
        """
        sources = _sources(self._density)
        gradient = np.zeros((molecule.natm, 3))
        for auxiliary, c in self.fit:
            gradient += _three_centre_gradient(molecule, matrix, auxiliary, c)
        if self.metric is None:
            gradient -= 0.5 * _two_centre_gradient(sources, sources)
            auxiliary, c = sources[0]
            by_coefficient = _projected(molecule, matrix, auxiliary) - _potentials(
                auxiliary, sources
            )
        else:
            [(auxiliary, c)] = self.fit
            d = cho_solve(self.metric, _projected(molecule, matrix, auxiliary))  # fit of D
            # d(rho~|D) brings d - rho~ to the projections, half of it to the metric twice
            change = [(auxiliary, d - 2 * c)]
            gradient += _two_centre_gradient(change, sources)
            gradient -= _two_centre_gradient([(auxiliary, d - c)], [(auxiliary, c)])
            gradient += 0.5 * _two_centre_gradient(sources, sources)
            by_coefficient = _potentials(sources[0][0], [*change, *sources])
        numbers = self._density.atoms.numbers
        return gradient, from_pyscf_order(self._density.basis, numbers, by_coefficient)


def interaction(first: list[Source], second: list[Source]) -> float:
    """Coulomb interaction of two densities, Hartree."""
    return float(sum(c @ _potentials(functions, second) for functions, c in first))


def _potentials(functions: Any, sources: list[Source]) -> np.ndarray:
    """(P|rho) for every function P."""
    from pyscf import gto

    return np.asarray(sum(gto.intor_cross("int2c2e", functions, other) @ c for other, c in sources))


def _two_centre_gradient(first: list[Source], second: list[Source]) -> np.ndarray:
    """Derivative of the interaction of two densities by the nuclei: (natoms, 3)."""
    if first is second:
        return 2 * _moved(first, first)
    return _moved(first, second) + _moved(second, first)


def _moved(first: list[Source], second: list[Source]) -> np.ndarray:
    """The same where only the first density moves."""
    from pyscf import gto

    gradient = np.zeros((first[0][0].natm, 3))
    for functions, c in first:
        slopes = sum(gto.intor_cross("int2c2e_ip1", functions, other) @ d for other, d in second)
        _add_by_atom(gradient, functions, -c * slopes)
    return gradient


def _add_by_atom(gradient: np.ndarray, functions: Any, values: np.ndarray) -> None:
    """Add (3, n) values of functions to their atoms' rows."""
    starts = functions.aoslice_by_atom()[:, 2]
    gradient += np.add.reduceat(values, starts, axis=1).T


def _sources(density: Density) -> list[Source]:
    """What the density is a sum of; the functions with coefficients come first."""
    basis, numbers = density.basis, density.atoms.numbers
    sources = [
        (
            auxiliary_molecule(density.atoms, basis),
            to_pyscf_order(basis, numbers, density.raw_coefficients),
        )
    ]
    if basis.atomic_densities:
        sources.append(baseline_molecule(density.atoms, basis))
    return sources


def _fit_molecule(molecule: Any, basis: str) -> Any:
    """The functions of a fitting basis, or an error that says for which element there are none."""
    from pyscf import df

    remedy = "give another density-fitting basis, or None to do without"
    for symbol in sorted(set(molecule.elements)):
        check_basis(basis, symbol, "coulomb_basis", remedy)
    return df.addons.make_auxmol(molecule, basis)


def three_centre_blocks(
    molecule: Any, auxiliary: Any, integral: str, symmetry: str, components: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Integrals (mn|P) in blocks of functions P."""
    from pyscf import df

    pairs = molecule.nao * (molecule.nao + 1) // 2 if symmetry == "s2ij" else molecule.nao**2
    starts = auxiliary.ao_loc_nr()
    for first, last in shell_blocks(starts, components * pairs):
        yield (
            slice(starts[first], starts[last]),
            df.incore.aux_e2(
                molecule,
                auxiliary,
                integral,
                aosym=symmetry,
                comp=components,
                shls_slice=(0, molecule.nbas, 0, molecule.nbas, first, last),
            ),
        )


def _contract(molecule: Any, auxiliary: Any, coefficients: np.ndarray) -> np.ndarray:
    """sum_P (mn|P) c_P: (nao, nao)."""
    from pyscf import lib

    packed = np.zeros(molecule.nao * (molecule.nao + 1) // 2)
    for chosen, integrals in three_centre_blocks(molecule, auxiliary, "int3c2e", "s2ij", 1):
        packed += integrals @ coefficients[chosen]
    return np.asarray(lib.unpack_tril(packed))


def packed_pairs(matrix: np.ndarray) -> np.ndarray:
    """A density matrix for products with packed integrals, whose pairs m < n stand for two."""
    from pyscf import lib

    return np.asarray(lib.pack_tril(2 * matrix - np.diag(np.diag(matrix))))


def _projected(molecule: Any, matrix: np.ndarray, auxiliary: Any) -> np.ndarray:
    """(D|P) of a density matrix: (n,)."""
    packed = packed_pairs(matrix)
    parts = [
        packed @ integrals
        for _, integrals in three_centre_blocks(molecule, auxiliary, "int3c2e", "s2ij", 1)
    ]
    return np.concatenate(parts)


def _three_centre_gradient(
    molecule: Any, matrix: np.ndarray, auxiliary: Any, coefficients: np.ndarray
) -> np.ndarray:
    """Derivative of sum_P (D|P) c_P by the nuclei: (natoms, 3)."""
    gradient = np.zeros((molecule.natm, 3))
    by_orbital = np.zeros((3, molecule.nao))
    by_function = np.zeros((3, auxiliary.nao))
    for chosen, integrals in three_centre_blocks(molecule, auxiliary, "int3c2e_ip1", "s1", 3):
        # (grad m n|P) D_mn, by m and P
        slopes = np.einsum("xmnp,mn->xmp", integrals, matrix)
        by_orbital += slopes @ coefficients[chosen]
        by_function[:, chosen] = slopes.sum(axis=1)
    _add_by_atom(gradient, molecule, -2 * by_orbital)
    # an integral does not change when all its centres move
    _add_by_atom(gradient, auxiliary, 2 * by_function * coefficients)
    return gradient
