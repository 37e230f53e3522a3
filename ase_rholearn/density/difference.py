"""The difference of densities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms, units

from .density import Density
from .electrostatics.potential import AtomCharge, atom_charges
from .evaluation.terms import AtomTerms, density_terms
from .field import DensityField
from .frame import grid_frame
from .grid import Grid


class DensityDifference(DensityField):
    """A density minus others, with the same methods for values, moments and potentials.

    ``complex - donor - acceptor`` is how densities of fragments change when they meet. The
    structures may differ, but not their periods. Where two densities have the same structure
    and basis, only the difference of their coefficients is evaluated.

    Parameters
    ----------
    first
        What the others are subtracted from.
    *others
        One density or more.

    Attributes
    ----------
    first : Density
    others : tuple of Density
    atoms : ase.Atoms
        The structure of ``first``.

    Examples
    --------
    >>> from ase.build import molecule
    >>> from ase_rholearn import Basis, Density
    >>> basis = Basis.from_shells({"O": [(0, [1.0])], "H": [(0, [0.5])]})
    >>> water = molecule("H2O")
    >>> difference = Density(water, basis, [4.0, 1.0, 1.0]) - Density(water, basis, [3.0, 1.0, 2.0])
    >>> abs(round(difference.number_of_electrons, 8))
    0.0
    """

    _signed = True

    def __init__(self, first: Density, *others: Density) -> None:
        if not others:
            raise TypeError("others is missing: give one density or more to subtract")
        for other in others:
            _check_same_periods(first.atoms, other.atoms)
        self.atoms = first.atoms
        self.first = first
        self.others = others

    def __repr__(self) -> str:
        return f"DensityDifference({', '.join(map(repr, (self.first, *self.others)))})"

    def __sub__(self, other: Density) -> DensityDifference:
        if not isinstance(other, Density):
            return NotImplemented
        return DensityDifference(self.first, *self.others, other)

    @property
    def number_of_electrons(self) -> float:
        """Electrons that ``first`` has more than the others together."""
        return float(self._subtracted(lambda rho: rho.number_of_electrons))

    def dipole(self) -> np.ndarray:
        """Difference of the dipole moments: (3,) e Angstrom."""
        return self._subtracted(lambda rho: rho.dipole())

    def quadrupole(self, *, traceless: bool = True, origin: Any = None) -> np.ndarray:
        """Difference of the quadrupole moments, see :meth:`Density.quadrupole`: (3, 3).

        All about one origin, by default the centre of nuclear charge of ``first``.
        """
        about = self._origin(origin)
        return self._subtracted(lambda rho: rho.quadrupole(traceless=traceless, origin=about))

    def octupole(self, *, traceless: bool = True, origin: Any = None) -> np.ndarray:
        """Difference of the octupole moments, see :meth:`Density.octupole`: (3, 3, 3).

        All about one origin, by default the centre of nuclear charge of ``first``.
        """
        about = self._origin(origin)
        return self._subtracted(lambda rho: rho.octupole(traceless=traceless, origin=about))

    def frame(
        self,
        spacing: float = 0.1,
        margin: float = 3.0,
        *,
        shape: tuple[int, int, int] | None = None,
    ) -> Grid:
        """Where the grid of :meth:`on_grid` lies, which holds all structures."""
        together = self.first.atoms.copy()
        for other in self.others:
            together += other.atoms
        return grid_frame(together, spacing, margin, shape)

    # inside ------------------------------------------------------------------------

    def _subtracted(self, quantity: Callable[[Density], Any]) -> Any:
        return quantity(self.first) - sum(quantity(other) for other in self.others)

    def _origin(self, origin: Any) -> np.ndarray:
        if origin is not None:
            return np.asarray(origin, dtype=float)
        cores = self.first.core_charges
        return np.asarray(cores @ self.first.atoms.positions / cores.sum())

    def atom_terms(self, tolerance: float, smallest: float = 0.0) -> list[AtomTerms]:
        """What is summed up, see :func:`density_terms`; in atomic units."""
        first, (twin, others) = self.first, self._twin()
        if twin is None:
            terms = first.atom_terms(tolerance, smallest)
        else:
            terms = density_terms(
                first.basis,
                first.atoms.numbers,
                first.atoms.positions / units.Bohr,
                first.coefficients - twin.coefficients,
                tolerance=tolerance,
                baseline=False,
                smallest=smallest,
            )
        return terms + [-term for rho in others for term in rho.atom_terms(tolerance, smallest)]

    def atom_charges(self) -> list[AtomCharge]:
        """Nuclei and electrons as a distribution of charge, in atomic units.

        Those of the other densities have the opposite sign.
        """
        twin, others = self._twin()
        if twin is None:
            charges = self.first.atom_charges()
        else:
            charges = atom_charges(
                self.first.basis.with_atomic_densities({}),
                self.atoms.numbers,
                self.atoms.positions / units.Bohr,
                self.first.coefficients - twin.coefficients,
                np.zeros(len(self.atoms)),
            )
        return charges + [-charge for rho in others for charge in rho.atom_charges()]

    def _twin(self) -> tuple[Density | None, list[Density]]:
        """One of the others that differs from the first by coefficients only, and the rest."""
        others = list(self.others)
        for index, rho in enumerate(others):
            if _share_functions(self.first, rho):
                return others.pop(index), others
        return None, others

    def _metadata(self) -> dict[str, Any]:
        return {
            "quantity": f"difference of electron densities, {self.first.basis.kind}",
            "kind": self.first.basis.kind,
            "basis": self.first.basis.name,
            "electrons": self.number_of_electrons,
        }


def _check_same_periods(first: Atoms, second: Atoms) -> None:
    """Raise a ValueError unless two structures repeat in the same way."""
    same = (first.pbc == second.pbc).all() and np.allclose(
        first.cell.array[first.pbc], second.cell.array[second.pbc]
    )
    if not same:
        raise ValueError(
            f"the densities have different periods: pbc {first.pbc.tolist()} and "
            f"{second.pbc.tolist()}, cells {first.cell.array.tolist()} and "
            f"{second.cell.array.tolist()}; give both the same pbc and cell"
        )


def _share_functions(first: Density, second: Density) -> bool:
    """Whether two densities differ by nothing but their coefficients."""
    a, b = first.atoms, second.atoms
    return (
        np.array_equal(a.numbers, b.numbers)
        and np.array_equal(a.positions, b.positions)
        and np.array_equal(a.pbc, b.pbc)
        and np.array_equal(a.cell.array[a.pbc], b.cell.array[b.pbc])
        and (first.basis is second.basis or first.basis == second.basis)
    )
