"""A predicted density as the start of a self-consistent calculation with PySCF.

The Kohn-Sham matrix of the density is diagonalised, and its orbitals are filled as the calculation
would fill them: F = h + J[rho] + V_xc[rho], F C = S C eps, D = C n C^T. By linear response of these
orbitals the matrix is brought near to the self-consistent one, and diagonalised again (see
:mod:`ase_rholearn.scf.screening`). Such a start saves cycles where the density is good. Where it is
far off, as for a molecule that the model does not know, it would cost some; that is found out
before, and PySCF's own start is taken instead.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from ase import Atoms

from ..density import Density
from ..files import temporary_sibling
from ..references.pyscf.molecule import structure_of
from .coulomb import COULOMB_BASIS
from .exchange_correlation import binned, orbital_blocks
from .kohn_sham import kohn_sham_terms
from .molecular_grid import MolecularGrid
from .screening import Channel, linear_response
from .semilocal import needs_only_density

#: Functional of the start where that of the calculation needs more than a density.
_SUBSTITUTE = "PBE"

#: Change of the density by one diagonalisation, int |rho' - rho| / N, above which a start is looked
#: at more closely. Good densities change by 0.001 to 0.01, superpositions of free atoms by 0.07.
_SUSPICIOUS = 0.03


class GuessWarning(UserWarning):
    """A density was not good enough to start from, and was not used."""


class Predictor(Protocol):
    """Something that gives densities, such as :class:`~ase_rholearn.RhoCalculator`."""

    def get_density(self, atoms: Atoms, *, normalize: bool = True) -> Density:
        """The density of a structure."""


def initial_guess(
    mean_field: Any,
    density: Density | Predictor | str | os.PathLike[str],
    *,
    grid_level: int = 1,
    screening: bool = True,
    check: bool = True,
) -> np.ndarray:
    """Density matrix to start a calculation from: ``mf.kernel(dm0=initial_guess(mf, rho))``.

    Parameters
    ----------
    mean_field
        Hartree-Fock or Kohn-Sham object of PySCF for a molecule: restricted, unrestricted or
        restricted open-shell, with or without density fitting or second-order solver.
    density
        Of its molecule; or what predicts it: a calculator, a shipped model's name, a model file.
    grid_level
        PySCF's quadrature grid for exchange and correlation. Finer ones save no further cycles,
        the coarsest loses one or two.
    screening
        Whether to correct the matrix by linear response, which saves two cycles or so at the price
        of less than one. Molecules of some hundred atoms and more go without.
    check
        Whether to look at the start, and to take PySCF's own where it would be the better one.

    Returns
    -------
    numpy.ndarray
        (nao, nao), or (2, nao, nao) for unrestricted and restricted open-shell objects.

    Raises
    ------
    ValueError
        An object that is not one of a molecule, other atoms than those of the density, an
        all-electron density where there are core potentials, species that a model does not know.
    """
    rho = _density_of(density, _molecule_of(mean_field))
    start = _Start.of(mean_field, rho, grid_level=grid_level, screening=screening)
    usual = start.better_one(mean_field, rho) if check else None
    return start.orbitals.density_matrix(mean_field) if usual is None else usual


def write_checkpoint(
    path: str | os.PathLike[str],
    mean_field: Any,
    density: Density | Predictor | str | os.PathLike[str],
    *,
    grid_level: int = 1,
    screening: bool = True,
    check: bool = True,
) -> None:
    """Write a checkpoint that PySCF starts from: ``mf.kernel(mf.from_chk(path))``.

    It holds the molecule and the orbitals of :func:`initial_guess`, from which PySCF also starts
    calculations in other orbital bases. Where its own start is the better one, it holds the
    orbitals of that start's Fock matrix.

    Parameters
    ----------
    path
        The file; it appears complete or not at all.
    mean_field, density, grid_level, screening, check
        As for :func:`initial_guess`, which says what is refused, too.
    """
    from pyscf.scf import chkfile

    rho = _density_of(density, _molecule_of(mean_field))
    start = _Start.of(mean_field, rho, grid_level=grid_level, screening=screening)
    orbitals = start.orbitals
    if check:
        usual = start.better_one(mean_field, rho)
        if usual is not None:
            orbitals = Orbitals.of(mean_field, mean_field.get_fock(dm=usual))
    with temporary_sibling(path) as temporary:
        # energies of starts mean nothing
        chkfile.dump_scf(
            mean_field.mol,
            str(temporary),
            np.nan,
            orbitals.energies,
            orbitals.coefficients,
            orbitals.occupations,
        )


@dataclass(frozen=True)
class Orbitals:
    """Orbitals of one Fock matrix, filled as a calculation fills them, in PySCF's shapes.

    Attributes
    ----------
    energies
        Hartree: (nmo,), or (2, nmo) for unrestricted calculations.
    coefficients
        (nao, nmo) or (2, nao, nmo).
    occupations
        As the energies.
    """

    energies: np.ndarray
    coefficients: np.ndarray
    occupations: np.ndarray

    @classmethod
    def of(cls, mean_field: Any, fock: np.ndarray) -> Orbitals:
        """Diagonalise a Fock matrix; unrestricted calculations need one for each spin."""
        energies, coefficients = mean_field.eig(fock, mean_field.get_ovlp())
        occupations = mean_field.get_occ(energies, coefficients)
        return cls(np.asarray(energies), np.asarray(coefficients), np.asarray(occupations))

    def density_matrix(self, mean_field: Any) -> np.ndarray:
        """(nao, nao), or (2, nao, nao)."""
        return np.asarray(mean_field.make_rdm1(self.coefficients, self.occupations))

    def channels(self) -> list[Channel]:
        """Orbitals of both spins together where they are the same, else of each."""
        energies, coefficients, filled = self.energies, self.coefficients, self.occupations
        if filled.ndim == 2:
            return [
                Channel(e, c, n > 0.5, 1)
                for e, c, n in zip(energies, coefficients, filled, strict=True)
            ]
        up, down = filled > 0.5, filled > 1.5
        if (up == down).all():
            return [Channel(energies, coefficients, up, 2)]
        return [Channel(energies, coefficients, n, 1) for n in (up, down)]


def start_functional(mean_field: Any) -> str:
    """Functional of the one-shot orbitals: that of the calculation, or PBE in its place.

    Hybrids, meta-GGAs and Hartree-Fock need more than a density.
    """
    xc = getattr(mean_field, "xc", None)
    return str(xc) if xc is not None and needs_only_density(xc) else _SUBSTITUTE


def density_change(
    molecule: Any, density: Density, matrix: np.ndarray, *, grid_level: int = 0
) -> float:
    """Integral of |rho_D - rho| per electron, for a density matrix D: small near self-consistency.

    Parameters
    ----------
    molecule
        Of the density matrix.
    density
        rho.
    matrix
        D: (nao, nao), or (2, nao, nao).
    grid_level
        PySCF's quadrature grid.
    """
    total = matrix if matrix.ndim == 2 else matrix.sum(axis=0)
    grid = MolecularGrid.of(molecule, grid_level)
    difference = -binned(density).values(grid.points, gradient=False)[0]
    for block in orbital_blocks(molecule, grid, 1):
        phi = block.values[0]
        part = total[np.ix_(block.functions, block.functions)] @ phi
        difference[block.points] += np.einsum("mn,mn->n", phi, part)
    return float(grid.weights @ np.abs(difference)) / molecule.nelectron


def commutator_norm(mean_field: Any, matrix: np.ndarray) -> float:
    """Norm of F D S - S D F for the Fock matrix of D, which is built: Hartree.

    It vanishes at self-consistency; the convergence of calculations is judged by it.
    """
    overlap = mean_field.get_ovlp()
    fock = np.asarray(mean_field.get_fock(dm=matrix))
    if matrix.ndim == 3 and fock.ndim == 2:  # restricted open shells: an effective matrix
        matrix = matrix.sum(axis=0)
    product = fock @ matrix @ overlap
    return float(np.linalg.norm(product - np.swapaxes(product, -1, -2)))


def _molecule_of(mean_field: Any) -> Any:
    from pyscf import scf

    molecule = getattr(mean_field, "mol", None)
    if hasattr(molecule, "lattice_vectors"):
        raise ValueError("mean_field is periodic: starts are offered for molecules only")
    if molecule is None or not isinstance(mean_field, scf.hf.SCF):
        raise ValueError(
            f"mean_field is a {type(mean_field).__name__}: give a Hartree-Fock or Kohn-Sham object "
            "of PySCF, such as dft.RKS(mol)"
        )
    return molecule


def _density_of(density: Any, molecule: Any) -> Density:
    if isinstance(density, Density):
        return density
    if isinstance(density, str | os.PathLike):
        # a convenience that reaches up: whoever names a model wants it loaded
        from ..calculator import RhoCalculator

        density = RhoCalculator(density)
    return cast("Predictor", density).get_density(structure_of(molecule))


@dataclass(frozen=True)
class _Start:
    """Orbitals to start from, and those of the first diagonalisation, which tell their worth."""

    orbitals: Orbitals
    first: Orbitals

    @classmethod
    def of(cls, mean_field: Any, density: Density, *, grid_level: int, screening: bool) -> _Start:
        """Both spins see the same density."""
        from pyscf import scf

        terms = kohn_sham_terms(
            mean_field.mol,
            density,
            start_functional(mean_field),
            grid_level=grid_level,
            coulomb_basis=COULOMB_BASIS,
        )
        unrestricted = isinstance(mean_field, scf.uhf.UHF)
        fock = np.array([terms.matrix, terms.matrix]) if unrestricted else terms.matrix
        first = Orbitals.of(mean_field, fock)
        found = None
        if screening:
            overlap = mean_field.get_ovlp()
            found = linear_response(mean_field.mol, terms, first.channels(), overlap)
        if found is None:
            return cls(first, first)
        # restricted open shells have one matrix for both spins
        change = found.matrices
        correction = np.array(change) if unrestricted else sum(change) / len(change)
        return cls(Orbitals.of(mean_field, fock + correction), first)

    def better_one(self, mean_field: Any, density: Density) -> np.ndarray | None:
        """PySCF's own start if it is better than this one, with a warning."""
        first = self.first.density_matrix(mean_field)
        if density_change(mean_field.mol, density, first) < _SUSPICIOUS:
            return None
        start = self.orbitals.density_matrix(mean_field)
        usual = np.asarray(mean_field.get_init_guess())
        norms = [commutator_norm(mean_field, dm) for dm in (start, usual)]
        if norms[0] < norms[1]:
            return None
        warnings.warn(
            f"the density of {density.atoms.get_chemical_formula()} is no good start: its "
            f"commutator of Fock and density matrix is {norms[0]:.2g} Hartree, that of PySCF's own "
            f"start {norms[1]:.2g}, which is taken instead",
            GuessWarning,
            stacklevel=3,
        )
        return usual
