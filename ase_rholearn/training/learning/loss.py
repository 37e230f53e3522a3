"""What is minimised: the squared error of the density in a metric, per electron.

loss = dc^T M dc / electrons, with the error dc of the coefficients and

M = (1 - coulomb) S + coulomb J + electrons n n^T + dipole (d_x d_x^T + d_y d_y^T + d_z d_z^T)

S is the overlap matrix, J the Coulomb matrix, n . c the number of electrons and d . c the dipole
moment of the coefficients c. As all terms are quadratic in dc, gradient training and the closed
form minimise the same. Atomic units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms, units

from ...basis import Basis
from ...structures import total_charge
from .samples import BlockOrder
from .symmetric import pack, unpack


@dataclass(frozen=True)
class LossTerms:
    """Weights of the terms, see the module's formula.

    Attributes
    ----------
    coulomb
        Share of the Coulomb metric, 0 to 1. Overlap measures the density error pointwise,
        Coulomb the error of its potential.
    electrons
        Weight of the squared error in the number of electrons, bohr^-3.
    dipole
        Weight of the squared error of the dipole moment, bohr^-5; molecules only.
    mask
        Entry of ``atoms.info`` with the indices of the atoms that count. None counts all.
    cutoff
        Overlaps of atoms farther apart, in Angstrom, count as zero. None keeps all.
    """

    coulomb: float = 0.0
    electrons: float = 0.0
    dipole: float = 0.0
    mask: str | None = None
    cutoff: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.coulomb <= 1:
            raise ValueError(f"coulomb is {self.coulomb}: give 0 to 1")
        for name, value in (("electrons", self.electrons), ("dipole", self.dipole)):
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}: give 0 or more")
        if self.cutoff is not None and not self.cutoff > 0:
            raise ValueError(f"cutoff is {self.cutoff}: give a distance in Angstrom")


@dataclass(frozen=True)
class MetricOf:
    """The metric of one structure, computed each time that it is asked for.

    ``overlap`` is the upper triangle of the overlap matrix where the data set has it; otherwise
    it is computed.

    >>> from ase.build import molecule
    >>> from ase_rholearn.basis import Basis
    >>> basis = Basis.from_shells({"H": [(0, [1.0])]})
    >>> MetricOf(basis, molecule("H2"), LossTerms(), "overlap")().shape
    torch.Size([3])
    """

    basis: Basis
    atoms: Atoms
    terms: LossTerms
    orthonormal: str
    dtype: torch.dtype = torch.float64
    overlap: np.ndarray | None = None

    def __call__(self) -> torch.Tensor:
        """In the orthonormal basis and block order of training, packed: (size (size + 1) / 2,)."""
        order = BlockOrder(self.basis, self.atoms.numbers, self.orthonormal)
        matrix = order.metric(loss_metric(self.basis, self.atoms, self.terms, self.overlap))
        return pack(matrix).to(self.dtype)

    @property
    def n_bytes(self) -> int:
        """Memory that it needs."""
        size = self.basis.size(self.atoms.numbers)
        return size * (size + 1) // 2 * self.dtype.itemsize


def loss_metric(
    basis: Basis, atoms: Atoms, terms: LossTerms, overlap: np.ndarray | None = None
) -> np.ndarray:
    """The matrix M of one structure, in our flat order: (size, size).

    Parameters
    ----------
    basis, atoms
        The functions.
    terms
        What M consists of.
    overlap
        Upper triangle of S, row by row; computed if left out.

    Raises
    ------
    ValueError
        A term is not defined for a periodic structure, the mask is missing or wrong, or an
        overlap is neither given nor computable.
    """
    from ...references.pyscf import metric_matrix

    _check_periodic(atoms, terms)
    total = np.zeros((basis.size(atoms.numbers),) * 2)
    if terms.coulomb < 1:
        total += (1 - terms.coulomb) * _overlap(basis, atoms, terms.cutoff, overlap)
    if terms.coulomb > 0:
        total += terms.coulomb * metric_matrix(atoms, basis, "coulomb")
    if terms.electrons > 0:
        electrons = basis.electrons(atoms.numbers)
        total += terms.electrons * np.outer(electrons, electrons)
    if terms.dipole > 0:
        dipoles = basis.dipole_functionals(atoms.numbers, atoms.positions / units.Bohr)
        total += terms.dipole * dipoles @ dipoles.T
    if terms.mask is not None:
        counts = _counts(basis, atoms, terms.mask)
        total *= np.outer(counts, counts)
    return total


def full_matrix(triangle: np.ndarray, size: int) -> np.ndarray:
    """A symmetric matrix from its upper triangle, row by row: (size, size).

    >>> full_matrix(np.array([1.0, 2.0, 3.0]), 2).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    entries = np.array(triangle, dtype=float)  # a copy: data sets are mapped for reading alone
    packed = torch.from_numpy(entries.reshape(size * (size + 1) // 2))
    return unpack(packed).numpy()


def _overlap(
    basis: Basis, atoms: Atoms, cutoff: float | None, triangle: np.ndarray | None
) -> np.ndarray:
    """S, of the file or computed, without what lies beyond the cut-off."""
    from ...references.pyscf import metric_matrix

    if triangle is not None:
        matrix = full_matrix(triangle, basis.size(atoms.numbers))
    elif not basis.is_known:
        raise ValueError(
            f"{atoms.get_chemical_formula()} has no overlap matrix in the data set, and the radial "
            "functions of its basis are not known: collect it again with its overlap "
            "(ri_full_output), or leave it out of the split (split.file)"
        )
    else:
        matrix = metric_matrix(atoms, basis, "overlap")
    if cutoff is not None:
        distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
        atom = basis.layout(atoms.numbers).atom
        matrix = np.where((distances <= cutoff)[np.ix_(atom, atom)], matrix, 0.0)
    return matrix


def electrons_of(basis: Basis, atoms: Atoms) -> float:
    """Electrons that the density of a structure describes: those of its cores less its charge."""
    return sum(basis.core_charge(int(z)) for z in atoms.numbers) - total_charge(atoms)


def _check_periodic(atoms: Atoms, terms: LossTerms) -> None:
    if not atoms.pbc.any():
        return
    for name, value in (("coulomb", terms.coulomb), ("dipole", terms.dipole)):
        if value > 0:
            raise ValueError(
                f"loss.{name} is {value:g}, but {atoms.get_chemical_formula()} is periodic, where "
                "it is not defined: set it to 0"
            )


def _counts(basis: Basis, atoms: Atoms, mask: str) -> np.ndarray:
    """1 for functions of atoms that count, 0 for others: (size,)."""
    formula = atoms.get_chemical_formula()
    if mask not in atoms.info:
        raise ValueError(
            f"loss.mask is {mask!r}, but atoms.info of {formula} has no such entry: give the "
            "indices of the atoms that count there"
        )
    chosen = np.asarray(atoms.info[mask], dtype=float).reshape(-1)
    if not np.isin(chosen, np.arange(len(atoms))).all():
        raise ValueError(
            f"atoms.info[{mask!r}] of {formula} is {atoms.info[mask]}: give indices of its "
            f"{len(atoms)} atoms"
        )
    return np.isin(basis.layout(atoms.numbers).atom, chosen).astype(float)
